//! Bringing pages in: before a map is handed out, or while it is used already.

#![allow(unsafe_code, reason = "advises about owned ranges; listed in docs/SOUNDNESS.md")]

use std::sync::Arc;

use super::access::{Access, sealed};
use super::region::Region;
use super::{Map, Populate};
use crate::error::{Error, Result};
use crate::fault::raw;
use crate::sys::{memory as kernel, page};

impl<A: Access> Map<A> {
    /// Brings pages in as the options ask.
    pub(super) fn begin_populating(&self, when: Populate) -> Result<()> {
        match when {
            Populate::Lazily => Ok(()),
            Populate::Now => self.populate_span(0, self.len()),
            Populate::InBackground => {
                let region = Arc::clone(&self.region);
                region.note_helpers();
                let work = move || populate_in_pieces::<A>(&region);
                // A process that cannot start a thread gets its pages when it touches them.
                let _lazily = std::thread::Builder::new().name("mapwright-warm".into()).spawn(work);
                Ok(())
            }
        }
    }

    fn populate_span(&self, offset: usize, len: usize) -> Result<()> {
        populate::<A>(&self.region, offset, len).map_err(|cause| {
            let error = Error::os("populate", self.name(), cause);
            match error.raw_os_error() {
                Some(libc::EFAULT) => error.advice("the file is shorter than the map, or the disk is full"),
                _ => error,
            }
        })
    }
}

/// How much is populated at once: small enough to stop soon, large enough to keep a disk busy.
const POPULATE_PIECE: usize = 4 << 20;

fn populate_in_pieces<A: Access>(region: &Arc<Region>) {
    let mut offset = 0;
    // Alone with the region: its map was dropped.
    while offset < region.len() && !region.helpers_must_stop() && Arc::strong_count(region) > 1 {
        let piece = POPULATE_PIECE.min(region.len() - offset);
        if populate::<A>(region, offset, piece).is_err() {
            return;
        }
        offset += piece;
    }
}

/// Brings the pages of visible bytes in, for writing where the map's stores are shared or memory.
///
/// # Kernel
/// `MADV_POPULATE_READ`/`_WRITE` (Linux 5.14); before that, one guarded read a page.
pub(crate) fn populate<A: Access>(region: &Region, offset: usize, len: usize) -> std::io::Result<()> {
    if len == 0 {
        return Ok(());
    }
    region.look();
    let from = page::round_down(region.before() + offset);
    let to = page::round_up(region.before() + offset + len).unwrap_or(region.owned()).min(region.owned());
    let writes = <A as sealed::Sealed>::PROTECTION & libc::PROT_WRITE != 0 && !region.origin().private;
    let anonymous = region.origin().source.is_none();
    let advice = if writes || anonymous { libc::MADV_POPULATE_WRITE } else { libc::MADV_POPULATE_READ };
    // SAFETY: from lies inside the owned range.
    let base = unsafe { region.base().add(from) };
    // SAFETY: the range is the region's; populating discards nothing.
    match unsafe { kernel::advise(base, to - from, advice) } {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            touch(region, offset, len);
            Ok(())
        }
        result => result,
    }
}

/// Reads one byte of each page; what cannot be read is left to the access that will need it.
fn touch(region: &Region, offset: usize, len: usize) {
    for at in (offset..offset + len).step_by(page::size()) {
        // SAFETY: the byte is visible, so it lies in the owned range.
        let source = unsafe { region.start().add(at) };
        // SAFETY: a guarded load from the owned range.
        let _left_to_the_access = unsafe { <u8 as raw::Word>::load(source) };
    }
}
