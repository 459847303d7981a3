//! States and answers of pools; a plain model of them; deaths; the model checker.

#[cfg(not(any(loom, shuttle)))]
mod deaths;
#[cfg(any(loom, shuttle))]
mod orders;
#[cfg(not(any(loom, shuttle)))]
mod states;
