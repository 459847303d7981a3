//! Page sizes, huge pages, and memory that is a file.

use std::os::fd::AsFd;

use super::{Capability, Subject, Topic, bytes, setting, words};
use crate::changes::{huge_page_pools, transparent_mode};
use crate::error::FaultKind;
use crate::fault::{HandlerState, signal_report};
use crate::map::MapOptions;
use crate::sys::memory;
use crate::sys::page;
use crate::sys::seal::{self, Execution};

pub(super) fn rows() -> Vec<Capability> {
    vec![page_size(), transparent(), transparent_shared(), reserved(), sealed_files(), secret(), swap()]
}

fn page_size() -> Capability {
    let subject = Subject {
        name: "page size",
        topic: Topic::Memory,
        purpose: "the unit in which the kernel maps, protects and caches",
        without: "there is always one",
    };
    subject.have(bytes(wide(page::size())))
}

fn transparent() -> Capability {
    let subject = Subject {
        name: "transparent huge pages",
        topic: Topic::Memory,
        purpose: "private memory in pages of 2 MiB: fewer faults, fewer misses of the address cache",
        without: "small pages",
    };
    thp(subject, "enabled", "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled")
}

fn transparent_shared() -> Capability {
    let subject = Subject {
        name: "transparent huge pages, shared",
        topic: Topic::Memory,
        purpose: "the same for memory files and shared memory",
        without: "small pages, or a reserved pool",
    };
    thp(subject, "shmem_enabled", "echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled")
}

fn thp(subject: Subject, name: &str, enable: &str) -> Capability {
    match transparent_mode(name).as_deref() {
        Some("never" | "deny") => subject.off("never", enable),
        Some(mode @ ("madvise" | "advise")) => subject.have(format!("{mode}: where they are asked for")),
        Some(mode) => subject.have(mode),
        None => subject.missing("this kernel makes none", "a kernel built with CONFIG_TRANSPARENT_HUGEPAGE"),
    }
}

fn reserved() -> Capability {
    let subject = Subject {
        name: "reserved huge pages",
        topic: Topic::Memory,
        purpose: "huge pages for certain, of each size that the processor has",
        without: "transparent huge pages, which are a wish",
    };
    let pools = huge_page_pools();
    if pools.is_empty() {
        return subject.missing("no size is known", "a kernel built with CONFIG_HUGETLBFS");
    }
    let describe = |pool: &crate::changes::HugePool| {
        format!("{}: {} of {} to be had", bytes(wide(pool.page_size)), pool.available(), pool.total)
    };
    let detail = pools.iter().map(describe).collect::<Vec<_>>().join("; ");
    if pools.iter().any(|pool| pool.available() > 0) {
        subject.have(detail)
    } else {
        let kib = pools[0].page_size / 1024;
        let path = format!("/sys/kernel/mm/hugepages/hugepages-{kib}kB/nr_hugepages");
        subject.off(detail, format!("write how many pages to {path}"))
    }
}

fn sealed_files() -> Capability {
    let subject = Subject {
        name: "sealed memory files",
        topic: Topic::Memory,
        purpose: "bytes that nobody can change or take away: plain slices, without unsafe, between processes",
        without: "private copies",
    };
    let sealed = seal::memory_file("mapwright-probe", Execution::Never, None).and_then(|file| {
        let all = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
        seal::add_seals(file.as_fd(), u32::try_from(all).unwrap_or(0))
    });
    match sealed {
        Ok(()) => subject.have("works"),
        Err(error) => {
            subject.missing(words(&error), "Linux 3.17 or newer, and no filter against memfd_create(2)")
        }
    }
}

fn secret() -> Capability {
    let subject = Subject {
        name: "memfd_secret",
        topic: Topic::Memory,
        purpose: "memory that not even the kernel maps: for keys",
        without: "memory that is locked and left out of core dumps",
    };
    match memory::secret_file() {
        Ok(_) => subject.have("works"),
        Err(error) => subject.missing(
            words(&error),
            "Linux 5.14 or newer on a machine that can, booted with secretmem.enable=1",
        ),
    }
}

fn swap() -> Capability {
    let subject = Subject {
        name: "swap",
        topic: Topic::Memory,
        purpose: "private memory can be paged out",
        without: "only pages of files can: private memory stays until it is given back",
    };
    // Name, kind, size and use in KiB, priority; under one line of headings.
    let text = setting("/proc/swaps").unwrap_or_default();
    let kib: u64 = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split_ascii_whitespace().nth(2)?.parse::<u64>().ok())
        .fold(0, u64::saturating_add);
    if kib > 0 { subject.have(bytes(kib.saturating_mul(1024))) } else { subject.off("none", "swapon(8)") }
}

/// Lets an access fail, to see whether the handler turns it into a fault.
pub(super) fn fault_handler() -> Capability {
    let subject = Subject {
        name: "fault handler",
        topic: Topic::Process,
        purpose: "turns SIGBUS and SIGSEGV at our accesses into errors",
        without: "a truncated file ends the process",
    };
    // Making a map installs the handler.
    let map = MapOptions::new().guard(page::size()).shared_memory(page::size());
    let report = signal_report();
    if report.bus != HandlerState::Installed || report.segv != HandlerState::Installed {
        let detail = format!("SIGBUS: {:?}, SIGSEGV: {:?}", report.bus, report.segv);
        return subject.off(detail, "let the handler that was installed later call the one before it");
    }
    if !report.blocking_threads.is_empty() {
        let detail = format!("threads {:?} block SIGBUS or SIGSEGV", report.blocking_threads);
        return subject.off(detail, "unblock both signals in every thread that touches maps");
    }
    let tried = map.and_then(|map| {
        let _closed = map.protect_for_now(.., crate::changes::Protection::Inaccessible)?;
        Ok(map.view().load::<u8>(0).map_err(crate::error::Fault::kind))
    });
    match tried {
        Ok(Err(FaultKind::Protected)) => {
            subject.have("works: an access was made to fail, and came back as a fault")
        }
        Ok(other) => {
            subject.off(format!("an access that must fail returned {other:?}"), "please report this")
        }
        Err(error) => subject.off(error.to_string(), "make room for one page of memory"),
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
