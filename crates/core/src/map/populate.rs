//! Bringing pages in: before a map is handed out, or while it is used already.

#![allow(unsafe_code, reason = "advises about owned ranges; listed in docs/SOUNDNESS.md")]

use std::sync::Arc;

use super::access::{Access, sealed};
use super::holder::Holder;
use super::region::Region;
use super::{Map, Populate};
use crate::error::{Error, Fault, Result};
use crate::sys::{memory as kernel, page};

impl<A: Access> Map<A> {
    /// Brings pages in as the options ask.
    pub(super) fn begin_populating(&self, when: Populate) -> Result<()> {
        match when {
            Populate::Lazily => Ok(()),
            Populate::Now => self.populate_span(0, self.len()),
            Populate::InBackground => {
                in_background::<A>(&self.region);
                Ok(())
            }
        }
    }

    fn populate_span(&self, offset: usize, len: usize) -> Result<()> {
        populate::<A>(&self.region, offset, len).map_err(|failure| failure.explained(self.name()))
    }
}

/// Lets a helper bring all pages in.
pub(super) fn in_background<A: Access>(region: &Holder) {
    let region = Arc::clone(region);
    region.note_helpers();
    let work = move || populate_in_pieces::<A>(&region);
    // A process that cannot start a thread gets its pages when it touches them.
    let _lazily = std::thread::Builder::new().name("mapwright-warm".into()).spawn(work);
}

/// How much is populated at once: small enough to stop soon, large enough to keep a disk busy.
const POPULATE_PIECE: usize = 2 << 20;

fn populate_in_pieces<A: Access>(region: &Arc<Region>) {
    let mut offset = 0;
    // Alone with the region: its map was dropped.
    while !region.helpers_must_stop() && Arc::strong_count(region) > 1 {
        // Asked once: it may become less at any time. The capacity does not, while a helper holds the region.
        let piece = POPULATE_PIECE.min(region.len().saturating_sub(offset));
        if piece == 0 || populate::<A>(region, offset, piece).is_err() {
            return;
        }
        offset += piece;
    }
}

/// Brings the pages of visible bytes in, for writing where the map's stores are shared or memory.
///
/// A file's pages are touched one by one by guarded accesses, which say what is wrong with a page that cannot
/// be had; `MADV_POPULATE_READ` would say only that one cannot, and before Linux 6.9 never returns where the
/// disk fails.
///
/// # Kernel
/// For memory `MADV_POPULATE_WRITE` (Linux 5.14); before that its pages come when they are touched.
pub(crate) fn populate<A: Access>(region: &Region, offset: usize, len: usize) -> Result<(), Populating> {
    assert!(offset.checked_add(len).is_some_and(|end| end <= region.capacity()));
    if len == 0 {
        return Ok(());
    }
    region.look();
    if region.origin().source.is_some() {
        let writes = <A as sealed::Sealed>::PROTECTION & libc::PROT_WRITE != 0 && !region.origin().private;
        let touched = if writes { region.touch_for_writing(offset, len) } else { region.probe(offset, len) };
        return touched.map_err(Populating::Faulted);
    }
    let from = page::round_down(region.before() + offset);
    let to = page::round_up(region.before() + offset + len).unwrap_or(region.owned()).min(region.owned());
    // SAFETY: from lies inside the owned range.
    let base = unsafe { region.base().add(from) };
    // SAFETY: the range is the region's; populating discards nothing.
    match unsafe { kernel::advise(base, to - from, libc::MADV_POPULATE_WRITE) } {
        Err(error) if error.raw_os_error() != Some(libc::EINVAL) => Err(Populating::Refused(error)),
        _ => Ok(()),
    }
}

/// Why pages could not be brought in.
#[derive(Debug)]
pub(crate) enum Populating {
    Faulted(Fault),
    Refused(std::io::Error),
}

impl Populating {
    /// Describes the failure.
    pub(crate) fn explained(self, name: String) -> Error {
        match self {
            Self::Faulted(fault) => {
                let error = Error::from(fault);
                Error::new(error.kind(), "populate", name, fault.to_string())
            }
            Self::Refused(cause) => Error::os("populate", name, cause),
        }
    }
}
