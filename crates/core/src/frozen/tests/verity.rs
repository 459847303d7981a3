//! fs-verity, where `MAPWRIGHT_TEST_VERITY_DIR` names a folder on a file system that has it.

use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::{forked, pattern, skip};
use crate::sys::verity;
use crate::{ErrorKind, FaultKind, Frozen, FrozenBy};

const LEN: usize = (1 << 20) + 77;

/// A file with verity, or `None` and a loud skip.
fn verity_file(name: &str) -> Option<(PathBuf, Vec<u8>)> {
    let Some(folder) = std::env::var_os("MAPWRIGHT_TEST_VERITY_DIR") else {
        skip("verity", "MAPWRIGHT_TEST_VERITY_DIR names no folder");
        return None;
    };
    let path = PathBuf::from(folder).join(format!("{name}-{}", std::process::id()));
    let bytes = pattern(LEN);
    std::fs::write(&path, &bytes).unwrap();
    // Blocks get their places on the disk now, not when the kernel likes.
    let file = File::open(&path).unwrap();
    file.sync_all().unwrap();
    let error = Frozen::from_verity(&file).unwrap_err();
    assert!(error.to_string().contains("it has no fs-verity"), "{error}");
    verity::enable(file.as_fd()).unwrap();
    Some((path, bytes))
}

#[test]
fn a_verity_file_is_frozen_in_place() {
    let Some((path, bytes)) = verity_file("whole") else { return };
    let frozen = Frozen::open(&path).unwrap();
    assert_eq!(frozen.origin(), FrozenBy::Verity);
    frozen.populate().unwrap();
    assert!(OpenOptions::new().write(true).open(&path).is_err(), "nobody may write it");
    std::fs::remove_file(&path).unwrap();
    assert!(*frozen == *bytes);
}

#[test]
fn a_file_system_without_verity_is_named() {
    let file = File::open("/proc/self/status").unwrap();
    let error = Frozen::from_verity(&file).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("only ext4, f2fs and btrfs"), "{error}");
    let plain = tempfile::tempfile().unwrap();
    let error = Frozen::from_verity(&plain).unwrap_err();
    assert!(error.to_string().contains("Frozen::snapshot"), "{error}");
}

#[test]
fn a_block_that_rots_is_an_error_or_ends_the_process_but_never_shows() {
    let Some((path, bytes)) = verity_file("rotten") else { return };
    let file = File::open(&path).unwrap();
    // Looked at through a map that is gone by then: the kernel forgets no page that is mapped.
    assert!(*Frozen::from_verity(&file).unwrap() == *bytes);
    if let Err(why) = overwrite_block_at(&file, 512 << 10) {
        return skip("verity-device", why);
    }
    let frozen = Frozen::from_verity(&file).unwrap();
    let part = frozen.slice(500 << 10..);
    let fault = part.populate().unwrap_err();
    assert_eq!((fault.kind(), fault.file_offset()), (FaultKind::Io, 512 << 10), "{fault}");
    let ended = forked(|| {
        std::hint::black_box(frozen[512 << 10]);
    });
    ended.died_of(libc::SIGBUS);
    assert!(
        ended.stderr.contains("mapwright: byte 524288 of") && ended.stderr.contains("is error 5"),
        "{ended:?}"
    );
    assert!(frozen[..512 << 10] == bytes[..512 << 10], "the rest is as it was");
}

/// Writes nonsense to the disk below a file's block, and makes the kernel forget the page.
fn overwrite_block_at(file: &File, offset: u32) -> Result<(), String> {
    /// `FIBMAP`: in: the number of a file's block; out: its number on the device.
    const FIBMAP: libc::c_ulong = 1;
    const BLOCK: u32 = 4096;
    let mut block = i32::try_from(offset / BLOCK).unwrap();
    // SAFETY: for this number the kernel reads and writes one int.
    let asked = unsafe { libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(file), FIBMAP, &raw mut block) };
    if asked != 0 || block == 0 {
        return Err(format!("FIBMAP: {}", std::io::Error::last_os_error()));
    }
    let device = std::os::unix::fs::MetadataExt::dev(&file.metadata().unwrap());
    let name = std::fs::read_link(format!("/sys/dev/block/{}:{}", libc::major(device), libc::minor(device)));
    let name = name.map_err(|error| format!("the device: {error}"))?;
    let device = PathBuf::from("/dev").join(name.file_name().unwrap());
    let device =
        OpenOptions::new().write(true).open(&device).map_err(|error| format!("{device:?}: {error}"))?;
    let place = u64::try_from(block).unwrap() * u64::from(BLOCK);
    device.write_all_at(&[0x5A; 4096], place).map_err(|error| format!("writing: {error}"))?;
    device.sync_all().map_err(|error| format!("writing: {error}"))?;
    rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)
        .map_err(|error| format!("fadvise: {error}"))
}
