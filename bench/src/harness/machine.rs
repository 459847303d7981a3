//! Facts about the machine that every figure depends on.

use std::os::linux::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use super::cache::Eviction;

/// What the figures were taken on.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    processor: String,
    processors: usize,
    memory_gib: u64,
    kernel: String,
    device: String,
    /// The device's read-ahead in KiB; none where the folder is not on a device.
    pub(crate) read_ahead_kib: Option<u64>,
    pub(crate) eviction: &'static str,
}

impl Machine {
    /// Looks at this machine and at the device that holds `folder`.
    ///
    /// # Errors
    /// Where the folder cannot be examined.
    pub(crate) fn of(folder: &Path, eviction: Eviction) -> Result<Self> {
        let metadata = std::fs::metadata(folder).with_context(|| format!("examine {}", folder.display()))?;
        let (major, minor) = (libc::major(metadata.st_dev()), libc::minor(metadata.st_dev()));
        let device = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
        let name = std::fs::canonicalize(&device).ok().and_then(|path| Some(path.file_name()?.to_owned()));
        Ok(Self {
            processor: field("/proc/cpuinfo", "model name")
                .unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: memory_kib() >> 20,
            kernel: first_line("/proc/sys/kernel/osrelease").unwrap_or_default(),
            device: name
                .map_or_else(|| "no block device".to_owned(), |name| name.to_string_lossy().into_owned()),
            read_ahead_kib: first_line(&format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb"))
                .and_then(|text| text.parse().ok()),
            eviction: eviction.describe(),
        })
    }

    /// All of it in a line or two.
    pub(crate) fn describe(&self) -> String {
        let read_ahead = match self.read_ahead_kib {
            Some(kib) => format!("read-ahead {kib} KiB"),
            None => "no read-ahead setting".to_owned(),
        };
        format!(
            "{} × {}, {} GiB, Linux {}\nfiles on {} ({read_ahead}); cold rows: {}",
            self.processors, self.processor, self.memory_gib, self.kernel, self.device, self.eviction
        )
    }
}

fn memory_kib() -> u64 {
    let total = field("/proc/meminfo", "MemTotal").unwrap_or_default();
    total.trim_end_matches(" kB").parse().unwrap_or(0)
}

fn first_line(path: &str) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.lines().next()?.trim().to_owned())
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
