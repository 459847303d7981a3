//! Buffers for I/O that bypasses the page cache: aligned, on huge pages where the system gives them.

use std::ops::{Deref, DerefMut};

use anyhow::{Context, Result};
use memmap2::{Advice, MmapMut};

const HUGE: usize = 2 << 20;

/// Memory that begins on a huge page's boundary and was touched.
///
/// With small pages each request of 1 MiB is 256 pieces and the device takes 254: measured, that halves the
/// speed.
pub(crate) struct AlignedBuffer {
    memory: MmapMut,
    start: usize,
    len: usize,
}

impl AlignedBuffer {
    pub(crate) fn new(len: usize) -> Result<Self> {
        let memory = MmapMut::map_anon(len + HUGE).context("map an aligned buffer")?;
        memory.advise(Advice::HugePage).context("ask for huge pages")?;
        let start = memory.as_ptr().addr().next_multiple_of(HUGE) - memory.as_ptr().addr();
        let mut buffer = Self { memory, start, len };
        buffer.fill(1);
        Ok(buffer)
    }
}

impl Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }
}
