//! Mutants of memory orderings, so that models can be tried: a model that notices none of them shows nothing.
//!
//! Where `MAPWRIGHT_WEAKEN` is `slot.rs:73`, the access or the fence in that line of that file is relaxed;
//! `slot.rs:73:acquire` and `slot.rs:73:release` take away that half of it alone, and several stand
//! between commas. One build tries them all.

use std::panic::Location;
use std::sync::OnceLock;

use super::word::Ordering;

#[derive(Debug)]
struct Mutant {
    place: String,
    acquire: bool,
    release: bool,
}

fn mutants() -> &'static [Mutant] {
    static MUTANTS: OnceLock<Vec<Mutant>> = OnceLock::new();
    let parse = |text: &str| {
        let (acquire, release) = (text.ends_with(":acquire"), text.ends_with(":release"));
        let place = text.trim_end_matches(":acquire").trim_end_matches(":release");
        Mutant { place: format!("/{place}"), acquire: !release, release: !acquire }
    };
    let named = || std::env::var("MAPWRIGHT_WEAKEN").unwrap_or_default();
    MUTANTS.get_or_init(|| named().split(',').filter(|it| !it.is_empty()).map(parse).collect())
}

/// Returns the order of the caller's access: the one it asks for, unless it is a mutant.
#[track_caller]
pub(super) fn weakened(order: Ordering) -> Ordering {
    if mutants().is_empty() {
        return order;
    }
    let caller = Location::caller();
    let here = format!("/{}:{}", caller.file(), caller.line());
    let Some(mutant) = mutants().iter().find(|it| here.ends_with(&it.place)) else { return order };
    match order {
        Ordering::Acquire if !mutant.acquire => Ordering::Acquire,
        Ordering::Release if !mutant.release => Ordering::Release,
        Ordering::AcqRel | Ordering::SeqCst if !mutant.acquire => Ordering::Acquire,
        Ordering::AcqRel | Ordering::SeqCst if !mutant.release => Ordering::Release,
        _ => Ordering::Relaxed,
    }
}
