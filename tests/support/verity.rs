//! Turning fs-verity on, which nothing of ours does.
#![allow(unsafe_code, reason = "an ioctl without a safe form")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Makes a file unchangeable for ever; nobody may have it open for writing.
pub(crate) fn enable(file: &File) -> io::Result<()> {
    /// `FS_IOC_ENABLE_VERITY`, which takes the kernel's `fsverity_enable_arg` of 128 bytes.
    const ENABLE: libc::c_ulong = 0x4080_6685;
    // Version 1, SHA-256, blocks of 4096 bytes; no salt, no signature.
    let mut argument = [0u32; 32];
    argument[..3].copy_from_slice(&[1, 1, 4096]);
    // SAFETY: the request reads the argument, which lives and is as long as it says, and follows no pointer
    // in it.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), ENABLE, argument.as_ptr()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
