//! Kernel calls, tried without effect.

use std::io;
use std::os::fd::AsFd;

use io_uring::IoUring;

use super::{Availability, Capability, Subject, Topic, setting, words};
use crate::changes::Advice;
use crate::map::MapOptions;
use crate::sys::probe::{self, Faults};
use crate::sys::seal::{self, Execution};
use crate::sys::{memory, page, pagemap};

pub(super) fn rows() -> Vec<Capability> {
    let mut rows = vec![
        kernel_release(),
        known(
            "MADV_POPULATE_READ",
            Advice::PopulateRead,
            "Linux 5.14",
            "brings pages in at once, and says why it cannot, instead of a fault later",
            "pages are touched one by one",
        ),
        known(
            "MADV_PAGEOUT",
            Advice::PageOut,
            "Linux 5.4, with swap or files",
            "gives memory back now: MADV_COLD and MADV_PAGEOUT",
            "the kernel decides when memory runs short",
        ),
        known(
            "MADV_COLLAPSE",
            Advice::Collapse,
            "Linux 6.1 with transparent huge pages",
            "makes huge pages of what is there already",
            "the kernel's own thread does so, some day",
        ),
        guards(),
        cachestat(),
        seals(),
    ];
    rows.extend([page_scan(), userfaultfd(), io_uring()]);
    rows
}

fn kernel_release() -> Capability {
    let subject = Subject {
        name: "kernel",
        topic: Topic::Kernel,
        purpose: "everything below was tried out, whatever this version would suggest",
        without: "nothing works",
    };
    let release = setting("/proc/sys/kernel/osrelease").unwrap_or_else(|| "of unknown version".to_owned());
    subject.have(format!("Linux {release} on {}", std::env::consts::ARCH))
}

fn known(
    name: &'static str,
    advice: Advice,
    first: &'static str,
    purpose: &'static str,
    without: &'static str,
) -> Capability {
    Subject { name, topic: Topic::Kernel, purpose, without }.since(advice.is_known(), first)
}

fn guards() -> Capability {
    let subject = Subject {
        name: "MADV_GUARD_INSTALL",
        topic: Topic::Kernel,
        purpose: "makes single pages inaccessible without splitting the mapping",
        without: "mprotect(2): each guard costs a mapping",
    };
    if !Advice::GuardInstall.is_known() {
        return subject.missing("this kernel lacks it", "Linux 6.13 or newer, for files 6.15");
    }
    // Memory that children share is a file to the kernel.
    let on_a_file =
        MapOptions::new().shared_memory(page::size()).and_then(|map| map.advise(Advice::GuardInstall, ..));
    match on_a_file {
        Ok(()) => subject.have("private memory and files"),
        Err(_) => subject.have("private memory; files from Linux 6.15"),
    }
}

fn cachestat() -> Capability {
    let subject = Subject {
        name: "cachestat",
        topic: Topic::Kernel,
        purpose: "counts what is cached, dirty and evicted of a file in one call",
        without: "mincore(2): maps the file, knows what is cached and no more, and tells only the owner",
    };
    let works = seal::memory_file("mapwright-probe", Execution::Never, None)
        .and_then(|file| memory::cache_stat(file.as_fd(), 0, 0));
    subject.since(works.is_ok(), "Linux 6.5")
}

fn seals() -> Capability {
    let subject = Subject {
        name: "mseal",
        topic: Topic::Kernel,
        purpose: "makes a mapping unchangeable for the rest of the process's life",
        without: "a map can be unmapped and changed by any code in the process",
    };
    subject.since(probe::seal_nothing().is_ok(), "Linux 6.10")
}

fn page_scan() -> Capability {
    let subject = Subject {
        name: "PAGEMAP_SCAN",
        topic: Topic::Kernel,
        purpose: "finds huge and written pages without being the superuser",
        without: "/proc/self/smaps, which counts them for whole mappings only",
    };
    let scan = pagemap::scan(page::size()..2 * page::size(), pagemap::IS_PRESENT, |_| {});
    subject.since(scan.is_ok(), "Linux 6.7")
}

fn userfaultfd() -> Capability {
    let subject = Subject {
        name: "userfaultfd",
        topic: Topic::Kernel,
        purpose: "lets us answer page faults ourselves: any store as plain slices, within a budget",
        without: "guards, which need no page fault, work fully; slices do not",
    };
    let roads = [
        ("all faults, by /dev/userfaultfd", probe::userfaultfd_by_device()),
        ("all faults, by the system call", probe::userfaultfd(Faults::All)),
        (
            "faults of user code only: system calls that touch absent pages fail with EFAULT",
            probe::userfaultfd(Faults::OfUserCode),
        ),
    ];
    let mut refused = None;
    for (road, made) in roads {
        match made {
            Ok(fd) => {
                let features = probe::userfaultfd_features(&fd).map_or(0, |features| features);
                return subject.have(format!("{road}; {}", feature_names(features)));
            }
            Err(error) => refused = Some(error),
        }
    }
    let error = refused.unwrap_or_else(|| io::Error::from_raw_os_error(libc::ENOSYS));
    if error.raw_os_error() == Some(libc::ENOSYS) {
        return subject.missing(words(&error), "a kernel built with CONFIG_USERFAULTFD");
    }
    subject.off(
        words(&error),
        "give the user access to /dev/userfaultfd, set vm.unprivileged_userfaultfd=1, or grant \
         CAP_SYS_PTRACE; in a container, allow the call in its seccomp profile",
    )
}

fn feature_names(features: u64) -> String {
    const NAMES: [(u64, &str); 7] = [
        (1 << 5, "shared memory"),
        (1 << 0, "write protection"),
        (1 << 10, "minor faults"),
        (1 << 12, "write protection of files"),
        (1 << 14, "poison"),
        (1 << 15, "asynchronous write protection"),
        (1 << 16, "move"),
    ];
    let has: Vec<_> = NAMES.iter().filter(|(bit, _)| features & bit != 0).map(|&(_, name)| name).collect();
    has.join(", ")
}

fn io_uring() -> Capability {
    let subject = Subject {
        name: "io_uring",
        topic: Topic::Kernel,
        purpose: "keeps a disk busy with many reads at once from one thread",
        without: "read-ahead by posix_fadvise(2) and pread(2): nearly as fast, one more copy",
    };
    match IoUring::new(2) {
        Ok(ring) => {
            let waiting: io::Result<IoUring> =
                IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(2);
            let completions = if waiting.is_ok() { ", completions by the thread that waits" } else { "" };
            let lossless = if ring.params().is_feature_nodrop() { "" } else { ", may drop completions" };
            subject.have(format!("works{lossless}{completions}"))
        }
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
            subject.missing(words(&error), "a kernel built with CONFIG_IO_URING")
        }
        Err(error) => {
            let disabled =
                setting("/proc/sys/kernel/io_uring_disabled").unwrap_or_else(|| "unknown".to_owned());
            subject.row(
                Availability::Off,
                format!("{}; kernel.io_uring_disabled is {disabled}", words(&error)),
                Some(
                    "set kernel.io_uring_disabled=0; in a container, allow it in its seccomp profile".into(),
                ),
            )
        }
    }
}
