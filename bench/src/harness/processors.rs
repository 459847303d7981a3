//! The two processors on which two processes meet, and staying on one of them.

use anyhow::{Context, Result, ensure};

/// A processor for each of the two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Processors {
    pub(crate) first: usize,
    pub(crate) second: usize,
}

impl Processors {
    /// The first processor that we may use, and the first that is another core.
    ///
    /// # Errors
    /// Where we may use only one.
    pub(crate) fn two() -> Result<Self> {
        let allowed = current()?;
        let usable: Vec<usize> =
            (0..libc::CPU_SETSIZE as usize).filter(|&number| contains(&allowed, number)).collect();
        ensure!(usable.len() >= 2, "two processes need two processors, and we may use {}", usable.len());
        let first = usable[0];
        let siblings = siblings(first);
        let other_core = usable[1..].iter().find(|number| !siblings.contains(number));
        Ok(Self { first, second: *other_core.unwrap_or(&usable[1]) })
    }
}

/// The numbers of the hardware threads of the same core, in the kernel's list format ("0,4" or "0-1").
fn siblings(processor: usize) -> Vec<usize> {
    let path = format!("/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list");
    let list = std::fs::read_to_string(path).unwrap_or_default();
    let range = |part: &str| -> Option<std::ops::RangeInclusive<usize>> {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        Some(from.parse().ok()?..=to.parse().ok()?)
    };
    list.trim().split(',').filter_map(range).flatten().collect()
}

/// The calling thread stays on one processor until this is dropped.
pub(crate) struct Pinned {
    before: libc::cpu_set_t,
}

impl Pinned {
    /// # Errors
    /// Where the processor is not ours to use.
    pub(crate) fn to(processor: usize) -> Result<Self> {
        let before = current()?;
        // SAFETY: a set of bits may be all zero.
        let mut only: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: the set is valid and the number is below CPU_SETSIZE.
        unsafe { libc::CPU_SET(processor, &mut only) };
        apply(&only).with_context(|| format!("stay on processor {processor}"))?;
        Ok(Self { before })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // Where we were before is where we may be; if not, the next measurement says so.
        let _still_pinned = apply(&self.before);
    }
}

fn contains(set: &libc::cpu_set_t, processor: usize) -> bool {
    // SAFETY: the set is valid and the number is below CPU_SETSIZE.
    unsafe { libc::CPU_ISSET(processor, set) }
}

fn current() -> Result<libc::cpu_set_t> {
    // SAFETY: a set of bits may be all zero.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is valid for writes of this size.
    let status = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) };
    ensure!(status == 0, "ask for our processors: {}", std::io::Error::last_os_error());
    Ok(set)
}

fn apply(set: &libc::cpu_set_t) -> Result<()> {
    // SAFETY: the pointer is valid for reads of this size.
    let status = unsafe { libc::sched_setaffinity(0, size_of_val(set), set) };
    ensure!(status == 0, "sched_setaffinity: {}", std::io::Error::last_os_error());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processors_are_not_the_same() {
        // A machine with one processor cannot run these rows, and says so.
        if let Ok(processors) = Processors::two() {
            assert_ne!(processors.first, processors.second);
        }
    }

    #[test]
    fn a_thread_goes_back_to_where_it_might_be() {
        let count = |set: &libc::cpu_set_t| (0..1024).filter(|&number| contains(set, number)).count();
        let before = current().expect("the kernel says where we may be");
        let first = (0..1024).find(|&number| contains(&before, number)).expect("we are somewhere");
        let pinned = Pinned::to(first).expect("we may stay where we may be");
        assert_eq!(current().map(|now| count(&now)).expect("as above"), 1);
        drop(pinned);
        assert_eq!(current().map(|now| count(&now)).expect("as above"), count(&before));
    }
}
