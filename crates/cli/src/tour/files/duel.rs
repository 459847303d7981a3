//! The same job done in two ways, in turn.

use crate::measure::Cost;
use crate::outcome::Failure;

/// What came out of both ways, and the better run of each.
pub(super) struct Duel<T> {
    pub(super) ours: Cost,
    pub(super) theirs: Cost,
    pub(super) result: T,
}

/// Runs both ways in turn, so that neither profits from a quiet moment, and keeps the better run of each.
/// Each way says how many bytes it went through and what it found.
///
/// # Errors
/// Where a way fails, or the two found something different: somebody changes the file.
pub(super) fn in_turn<T: PartialEq>(
    rounds: usize,
    mut ours: impl FnMut() -> Result<(u64, T), Failure>,
    mut theirs: impl FnMut() -> Result<(u64, T), Failure>,
) -> Result<Duel<T>, Failure> {
    let (our_cost, result) = Cost::of(&mut ours)?;
    let (their_cost, other) = Cost::of(&mut theirs)?;
    let mut duel = Duel { ours: our_cost, theirs: their_cost, result };
    duel.agree(&other)?;
    for _ in 1..rounds {
        let (cost, result) = Cost::of(&mut ours)?;
        duel.agree(&result)?;
        duel.ours = better(duel.ours, cost);
        let (cost, result) = Cost::of(&mut theirs)?;
        duel.agree(&result)?;
        duel.theirs = better(duel.theirs, cost);
    }
    Ok(duel)
}

impl<T: PartialEq> Duel<T> {
    fn agree(&self, other: &T) -> Result<(), Failure> {
        if self.result == *other {
            return Ok(());
        }
        let what = "two ways to read the same file found different bytes in it";
        Err(Failure::new(what).advice("somebody writes to it now; take the tour with another file"))
    }
}

fn better(left: Cost, right: Cost) -> Cost {
    if left.speed() >= right.speed() { left } else { right }
}
