//! Debian's packages as a source of compilers, kernels and tools: fetched by `apt-get`, unpacked into our
//! target folder, never installed.
//!
//! Each release has an apt of its own (lists, cache, sources), so no root is needed, the machine's own
//! packages and settings stay as they are, and every machine with apt and Debian's key can do it, whatever it
//! runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};

use crate::{project, run};

const MIRROR: &str = "http://deb.debian.org";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Held by whoever uses an apt of ours: machines are made ready two at a time, and one release may serve
/// both.
static IN_USE: Mutex<()> = Mutex::new(());

/// One release of Debian, as seen by an apt of our own.
pub(crate) struct Debian {
    folder: PathBuf,
}

impl Debian {
    /// Opens a release by its code name; fetches its package lists if we have none yet.
    ///
    /// # Errors
    ///
    /// Fails where there is no apt, no key of Debian's, or no network at the first time.
    pub(crate) fn release(name: &str) -> Result<Self> {
        ensure!(run::exists("apt-get"), "this machine has no apt-get, which fetches Debian's packages");
        ensure!(
            Path::new(KEYRING).exists(),
            "{KEYRING} is missing: install the package debian-archive-keyring"
        );
        let _ours = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        let debian = Self { folder: project::target().join("debian").join(name) };
        if !debian.folder.join("up-to-date").exists() {
            debian.write_settings(name)?;
            debian.update()?;
        }
        Ok(debian)
    }

    /// The one package that a package depends on whose name begins so: the real one behind a "newest"
    /// package.
    pub(crate) fn dependency(&self, package: &str, beginning: &str) -> Result<String> {
        let _ours = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        let listed = run::read(self.apt("apt-cache").args(["depends", "--important", package]))?;
        let mut names = listed.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        let found = names.find(|name| name.starts_with(beginning)).map(str::to_owned);
        found.with_context(|| format!("{package} depends on no package that begins with {beginning}"))
    }

    /// Unpacks packages into one folder, unless it holds exactly these versions already.
    pub(crate) fn unpack(&self, packages: &[&str], folder: &Path) -> Result<()> {
        let _ours = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = match self.versions(packages) {
            // The lists may name a version that the mirror no longer has.
            Err(_) => self.update().and_then(|()| self.versions(packages))?,
            Ok(wanted) => wanted,
        };
        let stamp = beside(folder, "packages");
        if folder.exists() && fs::read_to_string(&stamp).is_ok_and(|unpacked| unpacked == wanted) {
            return Ok(());
        }
        let downloads = self.folder.join("downloads");
        remove(folder)?;
        remove(&downloads)?;
        create(folder)?;
        create(&downloads)?;
        if self.download(packages, &downloads).is_err() {
            self.update()?;
            self.download(packages, &downloads)?;
        }
        for package in fs::read_dir(&downloads).context("listing the downloaded packages")? {
            let package = package?.path();
            run::must_succeed(run::command("dpkg-deb").arg("--extract").arg(package).arg(folder))?;
        }
        remove(&downloads)?;
        fs::write(&stamp, self.versions(packages)?).with_context(|| format!("writing {}", stamp.display()))
    }

    /// The packages' files with their versions, as one text to compare.
    fn versions(&self, packages: &[&str]) -> Result<String> {
        let addresses = run::read(self.apt("apt-get").args(["--print-uris", "download"]).args(packages))?;
        // 'http://…/name_version_arch.deb' name_version_arch.deb size hash
        let mut files: Vec<_> = addresses.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
        if files.len() != packages.len() {
            bail!("{} packages were asked for and {} are known: {packages:?}", packages.len(), files.len());
        }
        files.sort_unstable();
        Ok(files.join("\n"))
    }

    fn download(&self, packages: &[&str], folder: &Path) -> Result<()> {
        run::must_succeed(self.apt("apt-get").args(["-qq", "download"]).args(packages).current_dir(folder))
    }

    fn update(&self) -> Result<()> {
        // Without the last setting a failed fetch is a warning only.
        let fail = ["-qq", "-o", "APT::Update::Error-Mode=any", "update"];
        run::must_succeed(self.apt("apt-get").args(fail))?;
        fs::write(self.folder.join("up-to-date"), "").context("noting that the package lists are there")
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = run::command(program);
        command.env("APT_CONFIG", self.folder.join("apt.conf")).env("LC_ALL", "C");
        command
    }

    fn write_settings(&self, name: &str) -> Result<()> {
        let folder = self.folder.display();
        for part in ["lists/partial", "cache/archives/partial"] {
            create(&self.folder.join(part))?;
        }
        let settings = format!(
            r#"Dir::State::lists "{folder}/lists";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
APT::Architectures {{ "amd64"; "arm64"; }};
APT::Default-Release "";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
"#
        );
        let source = |archive: &str, suite: &str| {
            format!("deb [signed-by={KEYRING}] {MIRROR}/{archive} {suite} main\n")
        };
        let sources = source("debian", name) + &source("debian-security", &format!("{name}-security"));
        for (file, text) in [("apt.conf", settings), ("sources.list", sources), ("status", String::new())] {
            let path = self.folder.join(file);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }
}

/// A file beside a folder: its name with one more ending (a version has dots of its own).
pub(crate) fn beside(folder: &Path, ending: &str) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

fn create(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}
