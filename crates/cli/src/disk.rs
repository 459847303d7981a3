//! What a path lies on: the file system, the device, and how far the kernel reads ahead on it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::ui::{name, words};

/// Where a file's bytes are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Disk {
    /// The type of the file system, as mount(8) names it.
    pub(crate) file_system: String,
    /// What is mounted: a device, or a word for none.
    pub(crate) device: String,
    /// The kernel's read-ahead for the device in bytes, where it says so.
    pub(crate) read_ahead: Option<u64>,
}

impl Disk {
    /// Finds out what a path lies on. Nothing where /proc is not mounted.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let device = fs::metadata(path).ok()?.dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let (file_system, mounted) = mounted(&mounts, &format!("{major}:{minor}"))?;
        Some(Self { file_system, device: mounted, read_ahead: read_ahead(major, minor) })
    }

    /// Whether it is memory, and no disk at all.
    pub(crate) fn is_memory(&self) -> bool {
        ["tmpfs", "ramfs", "devtmpfs", "hugetlbfs"].contains(&self.file_system.as_str())
    }

    /// In words: `/dev/vda (ext4, read-ahead 128 KiB)`.
    pub(crate) fn in_words(&self) -> String {
        let device = if self.is_memory() { "memory".to_owned() } else { name(&self.device) };
        let ahead = self.read_ahead.map(|ahead| format!(", read-ahead {}", words::bytes(ahead)));
        format!("{device} ({}{})", self.file_system, ahead.unwrap_or_default())
    }
}

/// The type and source of the last mount of a device.
fn mounted(mounts: &str, device: &str) -> Option<(String, String)> {
    let line = mounts.lines().rfind(|line| line.split(' ').nth(2) == Some(device))?;
    let (_, behind) = line.split_once(" - ")?;
    let mut fields = behind.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
}

/// The device's read-ahead; a partition's is that of its disk.
fn read_ahead(major: u32, minor: u32) -> Option<u64> {
    let device = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
    let setting = |path: &str| fs::read_to_string(device.join(path)).ok();
    let kibibytes = setting("queue/read_ahead_kb").or_else(|| setting("../queue/read_ahead_kb"))?;
    Some(kibibytes.trim().parse::<u64>().ok()?.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /tmp rw,nosuid shared:2 master:3 - tmpfs tmpfs rw
24 22 8:1 /home /home rw - ext4 /dev/disk/by-label/x rw\n";

    #[test]
    fn the_last_mount_of_a_device_names_it() {
        assert_eq!(mounted(MOUNTS, "8:1"), Some(("ext4".into(), "/dev/disk/by-label/x".into())));
        assert_eq!(mounted(MOUNTS, "0:21"), Some(("tmpfs".into(), "tmpfs".into())));
        assert_eq!(mounted(MOUNTS, "9:9"), None);
    }

    #[test]
    fn memory_has_no_device_in_words() {
        let disk = |file_system: &str, read_ahead| Disk {
            file_system: file_system.into(),
            device: "/dev/sda1".into(),
            read_ahead,
        };
        assert_eq!(disk("tmpfs", None).in_words(), "memory (tmpfs)");
        assert_eq!(disk("ext4", Some(131_072)).in_words(), "/dev/sda1 (ext4, read-ahead 128 KiB)");
    }
}
