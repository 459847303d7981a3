//! How long to look before sleeping: about as long as it takes to be woken.

/// How often a spinning waiter looks; not at all where nobody else could run meanwhile.
#[cfg(not(any(loom, shuttle)))]
pub(crate) fn looks() -> u32 {
    /// With a pause between them, some 30 µs: what waking another processor takes.
    const LOOKS: u32 = 500;
    static CHOSEN: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *CHOSEN.get_or_init(|| match std::thread::available_parallelism() {
        Ok(processors) if processors.get() > 1 => LOOKS,
        _ => 0,
    })
}

/// A model checker tries every order anyway.
#[cfg(any(loom, shuttle))]
pub(crate) const fn looks() -> u32 {
    0
}
