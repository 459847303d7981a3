//! The table of listed instructions, written by the assembler and bounded by the linker.
//!
//! ```text
//!  section mapwright_faults_0_1   one entry, 12 bytes
//!  ┌────────┬────────┬────────┐        instruction: i32, relative to the field itself
//!  │ insn   │ exit   │ kind   │        exit:        i32, relative to the field itself
//!  ├────────┼────────┼────────┤        kind:        0 the exit sets a flag, 1 the handler also leaves
//!  │ …      │        │        │                       address and signal in the two return registers
//!  ```
//! The name carries our version, so that two versions can live in one program without reading each other's
//! entries.

#![allow(unsafe_code, reason = "guarded accesses; listed in docs/SOUNDNESS.md")]

use std::sync::OnceLock;

/// The section's name; the assembler text in `raw` and the bounds below must agree with it.
#[cfg(test)]
pub(crate) const SECTION: &str = "mapwright_faults_0_1";

/// One listed instruction. Invariant: written only by [`listed!`], so both fields lead into code of this
/// object.
#[repr(C)]
struct Entry {
    instruction: i32,
    exit: i32,
    kind: i32,
}

/// What to do about a fault at a listed instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    /// Where to go on.
    pub(crate) address: usize,
    /// Whether the handler leaves the fault's address and signal in the return registers.
    pub(crate) returns_trap: bool,
}

unsafe extern "C" {
    #[link_name = "__start_mapwright_faults_0_1"]
    static FIRST: Entry;
    #[link_name = "__stop_mapwright_faults_0_1"]
    static END: Entry;
}

/// Assembler text of one instruction that may fault, and of its table entry.
///
/// `$exit` is a label such as `772f`; `$kind` is `0` (flag) or `1` (trap in the return registers).
macro_rules! listed {
    ($instruction:literal, $exit:literal, $kind:literal) => {
        concat!(
            "771: ",
            $instruction,
            "\n.pushsection mapwright_faults_0_1, \"aR\", %progbits\n.balign 4\n.long 771b - .\n.long ",
            $exit,
            " - .\n.long ",
            $kind,
            "\n.popsection"
        )
    };
}
pub(crate) use listed;

/// The entries by their instruction's address; made by [`sort`].
static SORTED: OnceLock<Box<[(usize, Exit)]>> = OnceLock::new();

/// Sorts the table, so that the handler need not walk through it: there are some entries for each place where
/// an access was inlined, and every fault of somebody else is looked up, too.
pub(crate) fn sort() {
    SORTED.get_or_init(|| {
        let (first, end) = (&raw const FIRST, &raw const END);
        let count = (end.addr() - first.addr()) / size_of::<Entry>();
        let entry = |index| {
            // SAFETY: the linker bounds the section by the two symbols, and index is below the number of
            // entries in it.
            let at = unsafe { first.add(index) };
            // SAFETY: at points to an entry of the section, which is constant, aligned to 4 and written whole
            // by `listed!`.
            let entry: &Entry = unsafe { &*at };
            let exit = Exit { address: relative(&entry.exit), returns_trap: entry.kind == 1 };
            (relative(&entry.instruction), exit)
        };
        let mut sorted: Box<[_]> = (0..count).map(entry).collect();
        sorted.sort_unstable_by_key(|&(instruction, _)| instruction);
        sorted
    });
}

/// Finds the exit for a program counter, or `None` where the instruction is not ours.
///
/// Async-signal-safe: reads what [`sort`] has left behind, and nothing changes any more.
pub(crate) fn find(program_counter: usize) -> Option<Exit> {
    let sorted = SORTED.get()?;
    let place = sorted.binary_search_by_key(&program_counter, |&(instruction, _)| instruction).ok()?;
    Some(sorted[place].1)
}

/// Resolves a field that is relative to its own address.
fn relative(field: &i32) -> usize {
    let distance = isize::try_from(*field).unwrap_or(0);
    std::ptr::from_ref(field).addr().wrapping_add_signed(distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_name_carries_this_version() {
        let version = concat!(env!("CARGO_PKG_VERSION_MAJOR"), "_", env!("CARGO_PKG_VERSION_MINOR"));
        assert_eq!(SECTION, format!("mapwright_faults_{version}"));
    }

    #[test]
    fn an_address_that_is_not_listed_is_not_found() {
        sort();
        assert_eq!(find(0), None);
        assert_eq!(find((find as fn(usize) -> Option<Exit>) as usize), None);
    }

    #[test]
    fn every_entry_is_found() {
        sort();
        let sorted = SORTED.get().unwrap();
        assert!(!sorted.is_empty() && sorted.is_sorted_by(|left, right| left.0 < right.0));
        assert!(sorted.iter().all(|&(instruction, exit)| find(instruction) == Some(exit)));
    }
}
