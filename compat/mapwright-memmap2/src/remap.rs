//! How a map may change its length.

use mapwright_core::mapping::Place;

/// How [`Mmap::remap`](crate::Mmap::remap) and its siblings may change a map's length.
#[derive(Copy, Clone, Default, Debug)]
pub struct RemapOptions {
    may_move: bool,
}

impl RemapOptions {
    /// Starts with the default: the map stays where it is.
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses whether the map may move to another address where it cannot grow in place.
    ///
    /// With the feature `stable_deref_trait` others may rely on the address: then moving is for those who
    /// know that nobody does.
    pub fn may_move(mut self, may_move: bool) -> Self {
        self.may_move = may_move;
        self
    }

    pub(crate) fn place(self) -> Place {
        if self.may_move { Place::MayMove } else { Place::Fixed }
    }
}
