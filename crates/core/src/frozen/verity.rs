//! Files that the kernel checks against a hash tree whenever it reads them from the disk.
//!
//! A verity file can never again be opened for writing or shortened, not by the superuser either, and a
//! page appears in the page cache only after it was checked. What is on the disk may rot or be
//! overwritten: then reading the page fails, and no other bytes appear. That is all that a reference
//! needs.
//!
//! Pages are not read and checked ahead. It would cost reading the whole file, and prove nothing about a
//! page that the kernel drops and reads again. So a disk that fails under the bytes ends the process with
//! an explanation; who wants an error calls [`Frozen::populate`], and who wants neither takes a copy.
//!
//! The digest is asked for by the ioctl, and only on the file systems that check in the kernel. statx(2)
//! has a bit for verity, but an overlay answers it for the layer that it would open *now*, and a FUSE
//! server answers what it likes.

#![allow(unsafe_code, reason = "adopts what fs-verity protects; listed in docs/SOUNDNESS.md")]

use super::slice::{Frozen, FrozenBy};
use crate::error::{Error, ErrorKind, Result};
use crate::map::{IntoSource, Map, Source};
use crate::sys::file_system::{self, FileSystem};
use crate::sys::verity;

impl Frozen {
    /// Shows all bytes of a file with fs-verity.
    ///
    /// # Errors
    /// Where the file has no verity, or its file system is none that checks in the kernel.
    ///
    /// # Kernel
    /// `FS_IOC_MEASURE_VERITY` on ext4, f2fs (Linux 5.4) and btrfs (5.15).
    ///
    /// ```
    /// use mapwright_core::{Frozen, FrozenBy};
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, b"release").unwrap();
    /// // A file gets verity by `fsverity enable FILE`; this one has none.
    /// match Frozen::from_verity(std::fs::File::open(&path)?) {
    ///     Ok(frozen) => assert_eq!(frozen.origin(), FrozenBy::Verity),
    ///     Err(error) => println!("{error}"),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_verity(source: impl IntoSource) -> Result<Self> {
        let source = source.into_source()?;
        check(&source)?;
        let region = Map::of(source)?.into_region();
        // SAFETY: the kernel itself checks every page of this file against a hash that it holds (asked
        // above), so by its promise (module doc) each byte is the same whenever it can be read at all.
        // The map can only be read.
        Ok(unsafe { Self::from_region(region, FrozenBy::Verity) })
    }

    /// Whether [`from_verity`](Self::from_verity) would take the file.
    pub(super) fn has_verity(source: &Source) -> bool {
        check(source).is_ok()
    }
}

fn check(source: &Source) -> Result<()> {
    const INSTEAD: &str = "freeze a Frozen::snapshot of it";
    let measure = |cause| {
        let error = Error::os("freeze", source.name(), cause);
        match error.raw_os_error() {
            Some(libc::ENODATA) => error
                .with_kind(ErrorKind::InvalidInput)
                .advice(format!("it has no fs-verity; turn it on (`fsverity enable`), or {INSTEAD}")),
            Some(libc::ENOTTY | libc::EOPNOTSUPP) => error.with_kind(ErrorKind::Unsupported).advice(format!(
                "its file system, or this kernel, has no fs-verity (ext4: `tune2fs -O verity`); {INSTEAD}"
            )),
            _ => error,
        }
    };
    match file_system::of(source.fd()).map_err(|cause| Error::os("examine", source.name(), cause))? {
        FileSystem::Ext4 | FileSystem::F2fs | FileSystem::Btrfs => {
            verity::measure(source.fd()).map_err(measure)
        }
        _ => {
            let why =
                format!("only ext4, f2fs and btrfs have an fs-verity that the kernel checks; {INSTEAD}");
            Err(Error::new(ErrorKind::Unsupported, "freeze", source.name(), why))
        }
    }
}
