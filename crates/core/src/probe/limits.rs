//! What this process may do and use.

use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};
use rustix::thread::CapabilitySet;

use super::{Capability, Subject, Topic, bytes, pages, setting, words};
use crate::changes::{locked_bytes, locking_limit};

pub(super) fn rows() -> Vec<Capability> {
    let mut rows = vec![
        pages::fault_handler(),
        locked(),
        address_space(),
        file_size(),
        overcommit(),
        mappings(),
        cgroup(),
        kernel_pages(),
        lockdown(),
    ];
    rows.extend(POWERS.map(power));
    rows
}

fn locked() -> Capability {
    let subject = Subject {
        name: "RLIMIT_MEMLOCK",
        topic: Topic::Process,
        purpose: "how much may be locked in memory (lock, secret memory, registered buffers)",
        without: "pages can be evicted or swapped out",
    };
    let locked = bytes(locked_bytes().unwrap_or(0));
    match locking_limit() {
        None => subject.have(format!("unlimited; {locked} locked")),
        Some(0) => subject
            .off("0: nothing may be locked", "raise it (ulimit -l, LimitMEMLOCK=) or grant CAP_IPC_LOCK"),
        Some(limit) => subject.have(format!("{}; {locked} locked", bytes(limit))),
    }
}

fn address_space() -> Capability {
    let subject = Subject {
        name: "RLIMIT_AS",
        topic: Topic::Process,
        purpose: "how much address space there may be: room to grow in place is address space",
        without: "maps move when they grow",
    };
    limit(subject, Resource::As)
}

fn file_size() -> Capability {
    let subject = Subject {
        name: "RLIMIT_FSIZE",
        topic: Topic::Process,
        purpose: "how long a file may become",
        without: "growing beyond it is an error",
    };
    limit(subject, Resource::Fsize)
}

fn limit(subject: Subject, resource: Resource) -> Capability {
    subject.have(getrlimit(resource).current.map_or_else(|| "unlimited".to_owned(), bytes))
}

fn overcommit() -> Capability {
    let subject = Subject {
        name: "vm.overcommit_memory",
        topic: Topic::Process,
        purpose: "whether private memory may be promised that is not there",
        without: "reserving much private memory needs MapOptions::commitment(NotCharged)",
    };
    match setting("/proc/sys/vm/overcommit_memory").as_deref() {
        Some("0") => subject.have("0: what is plainly too much is refused"),
        Some("1") => subject.have("1: everything is promised"),
        Some("2") => subject.off(
            "2: nothing beyond the commit limit, not even with MAP_NORESERVE",
            "set vm.overcommit_memory=0, or raise vm.overcommit_ratio",
        ),
        other => subject.have(other.unwrap_or("unknown")),
    }
}

fn mappings() -> Capability {
    let subject = Subject {
        name: "vm.max_map_count",
        topic: Topic::Process,
        purpose: "how many mappings there may be; a part advised or protected differently is one more",
        without: "there is always a limit",
    };
    let now = std::fs::read_to_string("/proc/self/maps").map_or(0, |text| text.lines().count());
    match setting("/proc/sys/vm/max_map_count").and_then(|text| text.parse::<usize>().ok()) {
        Some(most) if now.saturating_mul(10) > most.saturating_mul(9) => {
            subject.off(format!("{now} of {most} in use"), "raise vm.max_map_count")
        }
        Some(most) => subject.have(format!("{now} of {most} in use")),
        None => subject.have(format!("{now} in use; the limit cannot be read")),
    }
}

fn cgroup() -> Capability {
    let subject = Subject {
        name: "cgroup memory limit",
        topic: Topic::Process,
        purpose: "how much memory this process's group may have, cached pages included",
        without: "all memory of the machine",
    };
    subject.have(
        cgroup_limit().map_or_else(
            || "none".to_owned(),
            |(limit, path)| format!("{} ({})", bytes(limit), path.display()),
        ),
    )
}

/// The tightest limit on the way from this process's group to the root, and where it stands.
fn cgroup_limit() -> Option<(u64, PathBuf)> {
    let groups = setting("/proc/self/cgroup")?;
    let mut tightest: Option<(u64, PathBuf)> = None;
    for line in groups.lines() {
        // `0::/path` in version 2, `4:memory:/path` in version 1.
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let group = Path::new(root).join(path.trim_start_matches('/'));
        for folder in group.ancestors().take_while(|folder| folder.starts_with(root)) {
            let path = folder.join(file);
            // Version 1 says "none" by a number close to the largest.
            let limit =
                setting(&path).and_then(|text| text.parse().ok()).filter(|&limit: &u64| limit < 1 << 60);
            if let Some(limit) = limit
                && tightest.as_ref().is_none_or(|(least, _)| limit < *least)
            {
                tightest = Some((limit, path));
            }
        }
    }
    tightest
}

fn kernel_pages() -> Capability {
    let subject = Subject {
        name: "/proc/kpageflags",
        topic: Topic::Process,
        purpose: "tells which cached pages somebody has locked",
        without: "only what a map itself has locked is known",
    };
    match std::fs::File::open("/proc/kpageflags") {
        Ok(_) => subject.have("can be read"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            subject.missing(words(&error), "a kernel built with CONFIG_PROC_PAGE_MONITOR")
        }
        Err(error) => subject.off(words(&error), "run as the superuser"),
    }
}

fn lockdown() -> Capability {
    let subject = Subject {
        name: "no lockdown",
        topic: Topic::Process,
        purpose: "physical memory and device memory can be mapped by the superuser",
        without: "/dev/mem and PCI BARs cannot be mapped, by nobody",
    };
    match setting("/sys/kernel/security/lockdown") {
        Some(text) if text.contains("[none]") => subject.have("none"),
        Some(text) => {
            let mode = text.split(['[', ']']).nth(1).unwrap_or("unknown").to_owned();
            subject.off(format!("locked down: {mode}"), "boot without Secure Boot, or with lockdown=none")
        }
        None => subject.have("this kernel has no lockdown, or does not show it"),
    }
}

/// What a process may be allowed to do beyond others, as far as maps profit.
const POWERS: [(Subject, CapabilitySet); 4] = [
    (
        Subject {
            name: "CAP_IPC_LOCK",
            topic: Topic::Process,
            purpose: "locks any amount of memory",
            without: "RLIMIT_MEMLOCK says how much",
        },
        CapabilitySet::IPC_LOCK,
    ),
    (
        Subject {
            name: "CAP_SYS_PTRACE",
            topic: Topic::Process,
            purpose: "maps other users' processes; answers the kernel's own page faults",
            without: "own processes only, as far as yama lets; userfaultfd by its device or for user code",
        },
        CapabilitySet::SYS_PTRACE,
    ),
    (
        Subject {
            name: "CAP_SYS_RAWIO",
            topic: Topic::Process,
            purpose: "maps physical memory and device registers",
            without: "only what a driver hands out (VFIO, UIO)",
        },
        CapabilitySet::SYS_RAWIO,
    ),
    (
        Subject {
            name: "CAP_SYS_ADMIN",
            topic: Topic::Process,
            purpose: "tells physical page numbers, drops caches",
            without: "locked pages of others are not known; eviction goes file by file",
        },
        CapabilitySet::SYS_ADMIN,
    ),
];

fn power((subject, capability): (Subject, CapabilitySet)) -> Capability {
    if has(capability) {
        subject.have("granted")
    } else {
        subject.off("not granted", "run as the superuser, or grant it (setcap(8), AmbientCapabilities=)")
    }
}

fn has(capability: CapabilitySet) -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(capability))
}
