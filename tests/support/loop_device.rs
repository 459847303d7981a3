//! Block devices made of files, and xfs (the file system that shares blocks between files) on top of them.

use super::mount::Mount;
use super::skip::{Need, Skip};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A loop device over a file. The kernel detaches it with its last user, so not even kill -9 leaks one.
pub(crate) struct LoopDevice {
    path: PathBuf,
}

impl LoopDevice {
    /// Attaches a file.
    pub(crate) fn over(file: &Path) -> Result<Self, Skip> {
        if !rustix::process::geteuid().is_root() {
            return Err(Skip::new(Need::Root, "loop devices belong to root"));
        }
        let output = Command::new("losetup").args(["--find", "--show"]).arg(file).output();
        let output = output.map_err(|error| Skip::new(Need::Root, format!("losetup: {error}")))?;
        if !output.status.success() {
            return Err(Skip::new(Need::Root, String::from_utf8_lossy(&output.stderr).trim()));
        }
        Ok(Self { path: PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        // A mounted device is detached by the kernel when the mount goes.
        let output = Command::new("losetup").arg("--detach").arg(&self.path).output().unwrap();
        if !output.status.success() {
            eprintln!(
                "detaching {}: {}",
                self.path.display(),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
    }
}

/// An xfs in a file of its own.
pub(crate) struct Xfs {
    mount: Mount,
    _device: LoopDevice,
    _folder: TempDir,
}

impl Xfs {
    /// Makes and mounts one.
    pub(crate) fn new() -> Result<Self, Skip> {
        let folder = super::scratch::folder();
        let image = folder.path().join("image.xfs");
        // The smallest size that mkfs.xfs makes; it stays sparse.
        File::create_new(&image).unwrap().set_len(320 << 20).unwrap();
        let made = Command::new("mkfs.xfs").args(["-q", "-m", "reflink=1"]).arg(&image).output();
        let made = made.map_err(|error| Skip::new(Need::Xfs, format!("mkfs.xfs: {error}")))?;
        assert!(made.status.success(), "mkfs.xfs: {}", String::from_utf8_lossy(&made.stderr));
        let device = LoopDevice::over(&image)?;
        let mount = Mount::new("xfs", device.path(), "")?;
        Ok(Self { mount, _device: device, _folder: folder })
    }

    pub(crate) fn path(&self) -> &Path {
        self.mount.path()
    }
}
