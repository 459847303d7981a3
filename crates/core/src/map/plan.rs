//! Where in the address space a new map goes: a place of the kernel's choice or the caller's, between guards
//! or not.

#![allow(unsafe_code, reason = "maps new ranges; listed in docs/SOUNDNESS.md")]

use std::ptr::NonNull;

use super::options::{Commitment, MapOptions, Placement};
use super::region::ATTEMPTS;
use crate::error::{Error, ErrorKind, Result};
use crate::sys::memory::{self as kernel, Backing};
use crate::sys::page;

/// The owned range, and how far into it the mapping proper begins (behind a guard).
pub(super) type Mapped = std::io::Result<(NonNull<u8>, usize, usize)>;

/// An exact place must be the beginning of a page, and leave room for the guard before it.
pub(super) fn refuse_misplaced(options: &MapOptions, unit: usize) -> Result<()> {
    let Placement::Exactly(address) = options.placement else { return Ok(()) };
    let why = if address % unit != 0 {
        format!("the address {address:#x} is not the beginning of a page of {unit} bytes")
    } else if options.guard.checked_next_multiple_of(unit).is_none_or(|guard| address < guard) {
        format!("before the address {address:#x} there is no room for a guard of {} bytes", options.guard)
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::InvalidInput, "place", "a map", why))
}

/// What will be asked of mmap, apart from its flags.
pub(super) struct Plan<'a> {
    pub(super) options: &'a MapOptions,
    pub(super) before: usize,
    pub(super) capacity: usize,
    pub(super) unit: usize,
    pub(super) protection: i32,
}

impl Plan<'_> {
    /// Maps; returns the owned range and how far into it the mapping proper begins (behind a guard).
    pub(super) fn map(&self, flags: i32, backing: Backing<'_>) -> Mapped {
        let too_large = || std::io::Error::from_raw_os_error(libc::ENOMEM);
        let len =
            self.before.checked_add(self.capacity).and_then(|len| len.checked_next_multiple_of(self.unit));
        let len = len.filter(|&len| isize::try_from(len).is_ok()).ok_or_else(too_large)?;
        let flags = flags | self.common_flags(backing);
        if self.options.guard == 0 {
            let (hint, fixed) = match self.options.placement {
                Placement::Anywhere => (0, 0),
                Placement::Near(address) => (page::round_down(address), 0),
                Placement::Exactly(address) => (address, libc::MAP_FIXED_NOREPLACE),
            };
            // SAFETY: without MAP_FIXED nothing that exists is replaced.
            let base = unsafe { kernel::map(hint, len, self.protection, flags | fixed, backing) }?;
            return Ok((base, 0, len));
        }
        self.map_between_guards(len, flags, backing)
    }

    fn common_flags(&self, backing: Backing<'_>) -> i32 {
        // Room beyond a file's end must not be charged, or taken from a pool of huge pages, before it is
        // used.
        let reserving = backing.file.is_some() && self.options.reserve > 0;
        if reserving || self.options.commitment == Commitment::NotCharged { libc::MAP_NORESERVE } else { 0 }
    }

    /// Reserves the whole range without access, then maps its middle. Another thread may take the place while
    /// it is free: then somewhere else.
    fn map_between_guards(&self, len: usize, flags: i32, backing: Backing<'_>) -> Mapped {
        let mut attempts = 0;
        loop {
            match self.try_between_guards(len, flags, backing) {
                Err(error) if error.raw_os_error() == Some(libc::EEXIST) && self.may_lie_elsewhere() => {
                    attempts += 1;
                    if attempts == ATTEMPTS {
                        return Err(error);
                    }
                }
                result => return result,
            }
        }
    }

    fn may_lie_elsewhere(&self) -> bool {
        !matches!(self.options.placement, Placement::Exactly(_))
    }

    fn try_between_guards(&self, len: usize, flags: i32, backing: Backing<'_>) -> Mapped {
        let too_large = || std::io::Error::from_raw_os_error(libc::ENOMEM);
        let guard = self.options.guard.checked_next_multiple_of(self.unit).ok_or_else(too_large)?;
        // One unit more, so that the middle can be aligned to huge pages.
        let slack = if self.unit > page::size() { self.unit } else { 0 };
        let owned = guard.checked_mul(2).and_then(|both| both.checked_add(len)?.checked_add(slack));
        let owned = owned.filter(|&owned| isize::try_from(owned).is_ok()).ok_or_else(too_large)?;
        let hint = match self.options.placement {
            Placement::Anywhere => 0,
            Placement::Near(address) => page::round_down(address).saturating_sub(guard),
            Placement::Exactly(address) => address.checked_sub(guard).ok_or_else(too_large)?,
        };
        let reserved = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let fixed = if self.may_lie_elsewhere() { 0 } else { libc::MAP_FIXED_NOREPLACE };
        // SAFETY: without MAP_FIXED nothing that exists is replaced.
        let base =
            unsafe { kernel::map(hint, owned, libc::PROT_NONE, reserved | fixed, Backing::ANONYMOUS) }?;
        let before = (base.addr().get() + guard).next_multiple_of(self.unit) - base.addr().get();
        // SAFETY: lies inside the range that was reserved just now.
        let middle = unsafe { base.add(before) };
        // The place is freed first and not replaced by MAP_FIXED: a mapping that fails may leave it free all
        // the same, and then it is not ours to unmap.
        // SAFETY: as above; nobody else knows of the reservation.
        if let Err(error) = unsafe { kernel::unmap(middle, len) } {
            // SAFETY: as above, for all of it, which needs no cut.
            let _leaked = unsafe { kernel::unmap(base, owned) };
            return Err(error);
        }
        let fixed = libc::MAP_FIXED_NOREPLACE;
        // SAFETY: with MAP_FIXED_NOREPLACE nothing that exists is replaced.
        match unsafe { kernel::map(middle.addr().get(), len, self.protection, flags | fixed, backing) } {
            Ok(_) => Ok((base, before, owned)),
            Err(error) => {
                // SAFETY: what is left of the reservation on this side is ours and unused.
                let _leaked = unsafe { kernel::unmap(base, before) };
                let after = before + len;
                // SAFETY: lies inside the range that was reserved.
                let other_side = unsafe { base.add(after) };
                // SAFETY: and on the other side.
                let _leaked = unsafe { kernel::unmap(other_side, owned - after) };
                Err(error)
            }
        }
    }
}
