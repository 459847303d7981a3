//! The test suites of memmap2's well-known dependents, run against our memmap2 (`compat/memmap2`).
//!
//! Each dependent's published source is copied and gets the one line that we promise is enough: a `[patch]`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::cargo::{Tests, cargo};
use crate::stage::Outcome;
use crate::{project, run};

/// One package that depends on memmap2, and how its tests are run.
struct Dependent {
    name: &'static str,
    version: &'static str,
    /// What its tests need beside its defaults.
    arguments: &'static [&'static str],
    /// Lines for the end of its manifest.
    manifest: &'static str,
}

const DEPENDENTS: &[Dependent] = &[
    Dependent { name: "grep-searcher", version: "0.1.17", arguments: &[], manifest: "" },
    // Optimised, as its authors run them: they hash a lot. One test looks at the size of a type of the
    // stand-in.
    Dependent {
        name: "blake3",
        version: "1.8.7",
        arguments: &[
            "--lib",
            "--release",
            "--features",
            "mmap,rayon",
            "--",
            "--skip",
            "test_reference_impl_size",
        ],
        manifest: "[dev-dependencies.reference_impl]\npath = \"../reference_impl\"\n",
    },
    Dependent { name: "b3sum", version: "1.8.7", arguments: &[], manifest: "" },
];

/// blake3's tests compare it with a package that is not published. This one gives them the answers of the
/// published blake3, without memory maps, so that the two still differ in what matters here.
const REFERENCE_MANIFEST: &str = r#"[package]
name = "reference_impl"
version = "0.0.0"
edition = "2021"

[dependencies.plain]
package = "blake3"
version = "=1.8.7"
features = ["pure"]
"#;

const REFERENCE_SOURCE: &str = r#"//! Stands in for an unpublished package.

pub struct Hasher(plain::Hasher);

impl Hasher {
    pub fn new() -> Self {
        Self(plain::Hasher::new())
    }

    pub fn new_keyed(key: &[u8; 32]) -> Self {
        Self(plain::Hasher::new_keyed(key))
    }

    pub fn new_derive_key(context: &str) -> Self {
        Self(plain::Hasher::new_derive_key(context))
    }

    pub fn update(&mut self, input: &[u8]) {
        self.0.update(input);
    }

    pub fn finalize(&self, output: &mut [u8]) {
        self.0.finalize_xof().fill(output);
    }
}
"#;

/// What to run against.
#[derive(Args, Default)]
pub(crate) struct Options {
    /// Leave memmap2 itself in place: shows that a failure is not ours
    #[arg(long)]
    original: bool,
}

/// Fetches the dependents, patches them, runs their tests.
pub(crate) fn run(options: &Options) -> Result<Outcome> {
    let ours = project::root().join("compat/memmap2");
    if !options.original && !ours.join("Cargo.toml").exists() {
        return Ok(Outcome::Skipped(format!("{} does not exist", ours.display())));
    }
    let folder = project::target().join("compat");
    let sources = match fetch(&folder.join("fetch")) {
        Ok(sources) => sources,
        Err(error) => return Ok(Outcome::Skipped(format!("cannot fetch the dependents: {error:#}"))),
    };
    write(&folder.join("reference_impl/Cargo.toml"), REFERENCE_MANIFEST)?;
    write(&folder.join("reference_impl/src/lib.rs"), REFERENCE_SOURCE)?;
    let (mut notes, mut failed) = (Vec::new(), 0);
    for (dependent, source) in DEPENDENTS.iter().zip(&sources) {
        let copy = folder.join(dependent.name);
        let tested = prepare(dependent, source, &copy, (!options.original).then_some(&ours))
            .and_then(|manifest| test(dependent, &manifest));
        notes.push(match tested {
            Ok(tests) => format!("{} {}: {tests}", dependent.name, dependent.version),
            Err(error) => {
                failed += 1;
                format!("{} {}: {error:#}", dependent.name, dependent.version)
            }
        });
    }
    let notes = notes.join("; ");
    if failed > 0 {
        bail!("{notes}");
    }
    Ok(Outcome::Passed(notes))
}

/// Lets cargo fetch the published sources, and says where it put them.
fn fetch(folder: &Path) -> Result<Vec<PathBuf>> {
    let versions =
        DEPENDENTS.iter().map(|dependent| format!("{} = \"={}\"\n", dependent.name, dependent.version));
    let head =
        "[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n";
    let manifest = folder.join("Cargo.toml");
    write(&manifest, &(head.to_owned() + &versions.collect::<String>()))?;
    write(&folder.join("src/lib.rs"), "")?;
    run::must_succeed(cargo(["fetch", "--quiet", "--manifest-path"]).arg(&manifest))?;
    // A program without a library is fetched, but not in the metadata: it lies beside the first, a library.
    let packages = packages(&manifest)?;
    let library = packages.iter().find(|(name, _)| name == DEPENDENTS[0].name);
    let registry = library.and_then(|(_, manifest)| manifest.parent()?.parent());
    let registry = registry.with_context(|| format!("cargo did not fetch {}", DEPENDENTS[0].name))?;
    Ok(DEPENDENTS.iter().map(|it| registry.join(format!("{}-{}", it.name, it.version))).collect())
}

/// Copies a dependent's source and puts our memmap2 under it; gives its manifest.
fn prepare(dependent: &Dependent, source: &Path, copy: &Path, ours: Option<&PathBuf>) -> Result<PathBuf> {
    if copy.exists() {
        fs::remove_dir_all(copy).with_context(|| format!("removing {}", copy.display()))?;
    }
    copy_folder(source, copy)?;
    let manifest = copy.join("Cargo.toml");
    let published =
        fs::read_to_string(&manifest).with_context(|| format!("reading {}", manifest.display()))?;
    // It lies below our workspace and is none of its members.
    let mut text = format!("{published}\n{}\n[workspace]\n", dependent.manifest);
    if let Some(ours) = ours {
        text += &format!("[patch.crates-io]\nmemmap2 = {{ path = \"{}\" }}\n", ours.display());
    }
    write(&manifest, &text)?;
    if let Some(ours) = ours {
        // Its lock file names another memmap2, and older versions of what ours needs.
        let lock = copy.join("Cargo.lock");
        fs::remove_file(&lock).with_context(|| format!("removing {}", lock.display()))?;
        let used = packages(&manifest)?;
        let memmap2: Vec<_> =
            used.iter().filter(|(name, _)| name == "memmap2").map(|(_, path)| path).collect();
        if memmap2 != [&ours.join("Cargo.toml")] {
            bail!("{} uses {memmap2:?} and not only {}", dependent.name, ours.display());
        }
    }
    Ok(manifest)
}

fn test(dependent: &Dependent, manifest: &Path) -> Result<Tests> {
    let mut command = cargo(["test", "--manifest-path"]);
    command.arg(manifest).arg("--target-dir").arg(project::target()).args(dependent.arguments);
    let watched = run::watch(&mut command)?;
    let tests = Tests::counted_in(&watched.printed);
    if !watched.succeeded || tests.passed == 0 {
        bail!("cargo test ended with {} ({tests})", watched.status);
    }
    Ok(tests)
}

/// The packages that a manifest resolves to, with the path of each one's own manifest.
fn packages(manifest: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut command =
        cargo(["metadata", "--quiet", "--all-features", "--format-version=1", "--manifest-path"]);
    let metadata = run::read(command.arg(manifest))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo's metadata is not JSON")?;
    let packages = metadata["packages"].as_array().context("cargo's metadata lists no packages")?;
    let entry = |package: &Value| {
        let (name, manifest) = (package["name"].as_str()?, package["manifest_path"].as_str()?);
        Some((name.to_owned(), PathBuf::from(manifest)))
    };
    packages.iter().map(entry).collect::<Option<_>>().context("a package in cargo's metadata lacks its name")
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("creating {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("listing {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).with_context(|| format!("copying {}", entry.path().display()))?;
        }
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().with_context(|| format!("{} lies in no folder", path.display()))?;
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
