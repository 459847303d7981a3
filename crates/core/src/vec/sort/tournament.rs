//! A tournament: which of many sorted runs has the smallest element at its head.
//!
//! ```text
//!        1            nodes[i] holds the winner of nodes 2i and 2i+1;
//!      /   \          the players are the leaves, at runs..2*runs
//!     2     3
//!    / \   / \        after the winner has taken a step, only the games on its way
//!   4   5 6   7       up are played again: one comparison a level
//! ```
//! Deliberately absent: the runs themselves. Who would win a game is asked of the caller.

/// The winners of all games.
#[derive(Debug)]
pub(super) struct Tournament {
    nodes: Vec<usize>,
}

impl Tournament {
    /// Plays all games among `runs` runs (at least 1). `beats` says whether the first run's head comes before
    /// the second's.
    pub(super) fn new(runs: usize, mut beats: impl FnMut(usize, usize) -> bool) -> Self {
        assert!(runs > 0, "a tournament has players");
        let mut tournament = Self { nodes: vec![0; runs] };
        for node in (1..runs).rev() {
            tournament.play(node, &mut beats);
        }
        tournament
    }

    /// Returns the run that has won.
    pub(super) fn winner(&self) -> usize {
        self.nodes.get(1).copied().unwrap_or(0)
    }

    /// Plays the winner's games again, after its head has changed.
    pub(super) fn replay(&mut self, mut beats: impl FnMut(usize, usize) -> bool) {
        let mut node = (self.winner() + self.nodes.len()) / 2;
        while node > 0 {
            self.play(node, &mut beats);
            node /= 2;
        }
    }

    fn play(&mut self, node: usize, beats: &mut impl FnMut(usize, usize) -> bool) {
        let (one, other) = (self.player(2 * node), self.player(2 * node + 1));
        self.nodes[node] = if beats(other, one) { other } else { one };
    }

    fn player(&self, place: usize) -> usize {
        place.checked_sub(self.nodes.len()).unwrap_or_else(|| self.nodes[place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_winner_is_always_the_smallest_head(mut runs in prop::collection::vec(
            prop::collection::vec(0u8..20, 0..12), 1..20,
        )) {
            for run in &mut runs {
                run.sort_unstable_by(|one, other| other.cmp(one));
            }
            let mut expected: Vec<_> = runs.concat();
            expected.sort_unstable();
            let beats = |runs: &[Vec<u8>], one: usize, other: usize| {
                match (runs[one].last(), runs[other].last()) {
                    (Some(a), Some(b)) => a < b,
                    (head, _) => head.is_some(),
                }
            };
            let mut tournament = Tournament::new(runs.len(), |one, other| beats(&runs, one, other));
            let mut merged = Vec::new();
            while let Some(head) = runs[tournament.winner()].pop() {
                merged.push(head);
                tournament.replay(|one, other| beats(&runs, one, other));
            }
            prop_assert_eq!(merged, expected);
        }
    }
}
