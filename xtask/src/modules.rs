//! Kernel modules: which files to load, and in which order.
//!
//! A package's modules come without the index that `depmod` would write; each file says itself what it
//! depends on.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::run;

/// A module's content, ready to be loaded.
pub(crate) struct Module {
    pub(crate) name: String,
    pub(crate) content: Vec<u8>,
}

/// The wanted modules and what they depend on, each after its dependencies.
///
/// What has no file is left out: a kernel may have it built in, and where it is missing the tests say so.
pub(crate) fn in_load_order(folder: &Path, wanted: &[&str]) -> Result<Vec<Module>> {
    let mut files = BTreeMap::new();
    index(folder, &mut files)?;
    let mut loaded = Vec::new();
    for name in wanted {
        add(name, &files, &mut loaded)?;
    }
    Ok(loaded)
}

fn add(name: &str, files: &BTreeMap<String, PathBuf>, loaded: &mut Vec<Module>) -> Result<()> {
    let name = plain(name);
    let Some(file) = files.get(&name) else { return Ok(()) };
    if loaded.iter().any(|module| module.name == name) {
        return Ok(());
    }
    let content = read(file)?;
    for dependency in dependencies(&content) {
        add(&dependency, files, loaded)?;
    }
    loaded.push(Module { name, content });
    Ok(())
}

fn index(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            index(&entry.path(), files)?;
        } else if let Some((name, "" | ".xz")) = entry.file_name().to_string_lossy().split_once(".ko") {
            files.insert(plain(name), entry.path());
        }
    }
    Ok(())
}

/// The one way to write a name that files spell with `-` or `_`.
fn plain(name: &str) -> String {
    name.replace('-', "_")
}

fn read(file: &Path) -> Result<Vec<u8>> {
    if file.extension().is_some_and(|end| end == "xz") {
        return run::read_bytes(run::command("xz").args(["--decompress", "--stdout"]).arg(file));
    }
    fs::read(file).with_context(|| format!("reading {}", file.display()))
}

/// The names after `depends=` among a module's facts, which are strings that end in NUL.
fn dependencies(content: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(start) = content.windows(KEY.len()).position(|window| window == KEY) else { return Vec::new() };
    let value = content[start + KEY.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    let names = String::from_utf8_lossy(value).into_owned();
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_depends_on_comes_before_it_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("drivers/block");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("virtio_blk.ko"), "ELF\0license=GPL\0depends=virtio_ring,virtio\0x").unwrap();
        fs::write(deep.join("virtio-ring.ko"), "ELF\0depends=virtio\0").unwrap();
        fs::write(deep.join("virtio.ko"), "ELF\0depends=\0").unwrap();
        fs::write(deep.join("notes.txt"), "").unwrap();
        let modules = in_load_order(folder.path(), &["virtio_blk", "virtio", "built_in"]).unwrap();
        let names: Vec<_> = modules.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["virtio", "virtio_ring", "virtio_blk"]);
    }
}
