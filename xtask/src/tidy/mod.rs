//! Our own lint of the tree: what no compiler checks, but every reader relies on.
//!
//! A rule looks at a [`Tree`] (text in memory, so that tests can make one up) and adds [`Finding`]s. Rules
//! about Rust files are in `rust`, about pages in `markdown`, about manifests in `manifest`, about the house
//! in `house`. `cargo test` runs the whole lint too, so an untidy tree is a failed test.

mod house;
mod lexer;
mod manifest;
mod markdown;
mod rust;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fmt, fs};

use anyhow::{Context, Result, bail};

use crate::project;
use crate::stage::Outcome;

/// Something that a rule refuses, with the place and what to do.
#[derive(Debug)]
pub(crate) struct Finding {
    path: String,
    line: Option<usize>,
    message: String,
}

/// The project's files, by their path from the root with `/` between the parts.
#[derive(Default)]
pub(crate) struct Tree {
    /// The text of those files that rules read.
    texts: BTreeMap<String, String>,
    /// Every file and folder.
    paths: BTreeSet<String>,
}

/// Checks the project's own tree.
pub(crate) fn run() -> Result<Outcome> {
    let tree = Tree::read(&project::root())?;
    let findings = check(&tree);
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} findings in {} files", findings.len(), tree.paths.len());
    }
    Ok(Outcome::Passed(format!("{} files", tree.paths.len())))
}

/// Applies every rule.
fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in [rust::check, markdown::check, manifest::check, house::check] {
        rule(tree, &mut findings);
    }
    findings
}

impl Tree {
    /// Reads everything below `root` but build results and the version control's own files.
    fn read(root: &Path) -> Result<Tree> {
        let mut tree = Tree::default();
        tree.add_folder(root, "")?;
        Ok(tree)
    }

    fn add_folder(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if [".git", "target", "corpus", "artifacts"].contains(&name.as_str()) {
                continue;
            }
            if kind.is_dir() {
                self.add_folder(&entry.path(), &format!("{path}/"))?;
            } else if kind.is_file() && is_text(&name) {
                let text = fs::read_to_string(entry.path());
                self.texts.insert(path.clone(), text.with_context(|| format!("reading {path}"))?);
            }
            self.paths.insert(path);
        }
        Ok(())
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// The files whose names end so, with their texts.
    fn ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let all = self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        all.filter(move |(path, _)| path.ends_with(end))
    }
}

/// Whether a rule might read a file of this name.
fn is_text(name: &str) -> bool {
    let ends = [".rs", ".md", ".toml", ".sh", ".c", ".h", ".py", ".yml"];
    name == "run" || name.starts_with("LICENSE") || ends.iter().any(|end| name.ends_with(end))
}

impl Finding {
    fn new(path: &str, line: impl Into<Option<usize>>, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: line.into(), message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(out, "{}:{line}: {}", self.path, self.message),
            None => write!(out, "{}: {}", self.path, self.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of these files, and the folders that hold them.
    pub(super) fn tree(files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::default();
        for (path, text) in files {
            tree.texts.insert((*path).to_owned(), (*text).to_owned());
            tree.paths.insert((*path).to_owned());
            let folders = path.match_indices('/').map(|(end, _)| path[..end].to_owned());
            tree.paths.extend(folders);
        }
        tree
    }

    /// What one rule finds, one line each.
    pub(super) fn found(rule: fn(&Tree, &mut Vec<Finding>), files: &[(&str, &str)]) -> Vec<String> {
        let mut findings = Vec::new();
        rule(&tree(files), &mut findings);
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn this_project_is_tidy() {
        let findings = check(&Tree::read(&project::root()).unwrap());
        let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert!(findings.is_empty(), "`cargo xtask tidy` finds:\n{}", lines.join("\n"));
    }

    #[test]
    fn a_tree_is_read_without_build_results() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("target/debug")).unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("target/debug/x.rs"), "").unwrap();
        fs::write(folder.path().join("a/b/lib.rs"), "//! Yes.\n").unwrap();
        fs::write(folder.path().join("a/picture.png"), [0xff, 0xfe]).unwrap();
        let tree = Tree::read(folder.path()).unwrap();
        assert_eq!(tree.paths.iter().collect::<Vec<_>>(), ["a", "a/b", "a/b/lib.rs", "a/picture.png"]);
        assert_eq!(tree.text("a/b/lib.rs"), Some("//! Yes.\n"));
    }
}
