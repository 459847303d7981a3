//! States and answers of topics; a plain model of them; deaths; the model checker.

#[cfg(not(any(loom, shuttle)))]
mod deaths;
#[cfg(not(any(loom, shuttle)))]
mod model;
#[cfg(any(loom, shuttle))]
mod orders;
#[cfg(not(any(loom, shuttle)))]
mod states;
