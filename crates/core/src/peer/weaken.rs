//! Mutants of memory orderings, so that models can be tried: a model that notices none of them shows nothing.
//!
//! Where `MAPWRIGHT_WEAKEN` is `slot.rs:73`, the access or the fence in that line of that file is relaxed;
//! `slot.rs:73:acquire` and `slot.rs:73:release` take away that half of it alone. One build tries them all.

use std::panic::Location;
use std::sync::OnceLock;

use super::word::Ordering;

#[derive(Debug)]
struct Mutant {
    place: String,
    acquire: bool,
    release: bool,
}

fn mutant() -> Option<&'static Mutant> {
    static MUTANT: OnceLock<Option<Mutant>> = OnceLock::new();
    let parse = |text: String| {
        let (acquire, release) = (text.ends_with(":acquire"), text.ends_with(":release"));
        let place = text.trim_end_matches(":acquire").trim_end_matches(":release");
        Mutant { place: format!("/{place}"), acquire: !release, release: !acquire }
    };
    MUTANT.get_or_init(|| std::env::var("MAPWRIGHT_WEAKEN").ok().map(parse)).as_ref()
}

/// Returns the order of the caller's access: the one it asks for, unless it is the mutant.
#[track_caller]
pub(super) fn weakened(order: Ordering) -> Ordering {
    let caller = Location::caller();
    let is_it = |mutant: &&Mutant| format!("/{}:{}", caller.file(), caller.line()).ends_with(&mutant.place);
    let Some(mutant) = mutant().filter(is_it) else { return order };
    match order {
        Ordering::Acquire if !mutant.acquire => Ordering::Acquire,
        Ordering::Release if !mutant.release => Ordering::Release,
        Ordering::AcqRel | Ordering::SeqCst if !mutant.acquire => Ordering::Acquire,
        Ordering::AcqRel | Ordering::SeqCst if !mutant.release => Ordering::Release,
        _ => Ordering::Relaxed,
    }
}
