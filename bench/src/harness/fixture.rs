//! Files for the rows: made once in a run, on the disk that the user names, and removed at its end.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

const BLOCK: usize = 1 << 20;

/// The folder in which a run keeps its files. Dropping it, or an interrupt, removes them.
pub(crate) struct Folder {
    folder: TempDir,
    memory: TempDir,
    quick: bool,
    seed: u64,
    made: RefCell<HashMap<String, Arc<Fixture>>>,
    /// As long as they are held, other runs leave the folders alone.
    _locks: [File; 2],
}

/// A file with known contents that is synced to its disk.
#[derive(Debug)]
pub(crate) struct Fixture {
    path: PathBuf,
    file: File,
    len: usize,
}

impl Folder {
    /// Makes a fresh folder in `parent`.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(crate) fn new(parent: &Path, quick: bool, seed: u64) -> Result<Self> {
        std::fs::create_dir_all(parent).with_context(|| format!("make the folder {}", parent.display()))?;
        let (folder, folder_lock) =
            fresh(parent).with_context(|| format!("make a folder in {}", parent.display()))?;
        let (memory, memory_lock) = fresh(Path::new("/dev/shm")).context("make a folder in /dev/shm")?;
        let paths = [folder.path().to_owned(), memory.path().to_owned()];
        ctrlc::set_handler(move || {
            // The run is over either way; what could not be removed is in a folder that names its owner.
            remove_named_after(&paths[1]);
            paths.iter().for_each(|path| remove_folder(path));
            #[allow(clippy::disallowed_methods, reason = "an interrupt ends the process")]
            std::process::exit(130);
        })
        .context("watch for an interrupt")?;
        let _locks = [folder_lock, memory_lock];
        Ok(Self { folder, memory, quick, seed, made: RefCell::default(), _locks })
    }

    /// Where the files are.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where files in shared memory are.
    pub(crate) fn memory(&self) -> &Path {
        self.memory.path()
    }

    /// The seed of everything random in this run.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// `full`, or `quick` where the user is in a hurry.
    pub(crate) fn size(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }

    /// A file of random bytes; the same one for the same length.
    pub(crate) fn random(&self, len: usize) -> Result<Arc<Fixture>> {
        let mut random = fastrand::Rng::with_seed(self.seed ^ len as u64);
        self.made(format!("random-{len}"), len, |block| random.fill(block))
    }

    /// A file of words in lines, as text has them; the same one for the same length.
    pub(crate) fn text(&self, len: usize) -> Result<Arc<Fixture>> {
        let mut random = fastrand::Rng::with_seed(self.seed ^ len as u64);
        let words: Vec<String> = (0..4096).map(|_| word(&mut random)).collect();
        let mut line = String::new();
        self.made(format!("text-{len}"), len, move |block| {
            let mut filled = 0;
            while filled < block.len() {
                line.clear();
                while line.len() < 70 {
                    // Squaring prefers the words in front, as languages do.
                    let place = random.f32() * random.f32() * words.len() as f32;
                    line.push_str(&words[place as usize]);
                    line.push(' ');
                }
                line.push('\n');
                let part = line.len().min(block.len() - filled);
                block[filled..filled + part].copy_from_slice(&line.as_bytes()[..part]);
                filled += part;
            }
        })
    }

    fn made(&self, name: String, len: usize, fill: impl FnMut(&mut [u8])) -> Result<Arc<Fixture>> {
        if let Some(fixture) = self.made.borrow().get(&name) {
            return Ok(Arc::clone(fixture));
        }
        let path = self.path().join(&name);
        let fixture = Fixture::make(path, len, fill).with_context(|| format!("make the file {name}"))?;
        let fixture = Arc::new(fixture);
        self.made.borrow_mut().insert(name, Arc::clone(&fixture));
        Ok(fixture)
    }
}

impl Fixture {
    fn make(path: PathBuf, len: usize, mut fill: impl FnMut(&mut [u8])) -> Result<Self> {
        let style =
            ProgressStyle::with_template("  making {msg} {bar:30} {binary_bytes}/{binary_total_bytes}")?;
        let progress = ProgressBar::new(len as u64).with_style(style);
        progress.set_message(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        let mut block = vec![0; BLOCK.min(len)];
        let mut written = 0;
        while written < len {
            let part = block.len().min(len - written);
            fill(&mut block[..part]);
            file.write_all(&block[..part])?;
            written += part;
            progress.set_position(written as u64);
        }
        file.sync_all()?;
        progress.finish_and_clear();
        Ok(Self { path, file, len })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The file as it was opened to make it.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The file opened anew for reading: read-ahead state and advice belong to an open file.
    pub(crate) fn open(&self) -> Result<File> {
        File::open(&self.path).with_context(|| format!("open {}", self.path.display()))
    }

    /// The file opened for reads that bypass the page cache.
    pub(crate) fn open_direct(&self) -> Result<File> {
        let open = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(&self.path);
        open.with_context(|| format!("open {} with O_DIRECT", self.path.display()))
    }

    /// Reads the file once, so that it is in memory.
    pub(crate) fn warm(&self) -> Result<()> {
        std::io::copy(&mut self.open()?, &mut std::io::sink())?;
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        remove_named_after(self.memory.path());
    }
}

/// What the names of all our folders begin with.
const PREFIX: &str = "mapwright-bench-";

/// Makes a folder that is locked for as long as this run lives, and removes what runs have left that were
/// killed: their folders are not locked any more.
fn fresh(parent: &Path) -> Result<(TempDir, File)> {
    // Held while a folder is there and not locked yet.
    let making = File::open(parent)?;
    flock(&making, FlockOperation::LockExclusive)?;
    for entry in std::fs::read_dir(parent)?.flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let Some(folder) = File::open(entry.path()).ok().filter(|_| is_ours && entry.path().is_dir()) else {
            continue;
        };
        if flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok() {
            remove_named_after(&entry.path());
            remove_folder(&entry.path());
        }
    }
    let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
    let lock = File::open(folder.path())?;
    flock(&lock, FlockOperation::LockExclusive)?;
    Ok((folder, lock))
}

/// Removes a folder while the run may still be at work in it.
fn remove_folder(path: &Path) {
    for _ in 0..100 {
        let _gone = std::fs::remove_dir_all(path);
        if !path.exists() {
            return;
        }
    }
}

/// Removes the files whose names begin with that of a folder beside them: rivals that put their files where
/// they like are told to name them so.
fn remove_named_after(folder: &Path) {
    let (Some(parent), Some(prefix)) = (folder.parent(), folder.file_name().and_then(OsStr::to_str)) else {
        return;
    };
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.path() != folder && entry.file_name().to_string_lossy().starts_with(prefix) {
            // Not ours to report: the file is small, and its name says whose it is.
            let _gone = std::fs::remove_file(entry.path());
        }
    }
}

fn word(random: &mut fastrand::Rng) -> String {
    (0..random.usize(2..11)).map(|_| random.lowercase()).collect()
}
