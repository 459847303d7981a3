//! Rule about manifests: every package says what a registry asks for, and inherits what must be the same
//! everywhere.
//!
//! Manifests are read line by line: whether a value is *inherited* is in no output of cargo's, and a parser
//! for the few lines of our `[package]` tables would be one more dependency.

use std::collections::BTreeMap;

use super::{Finding, Tree};

/// What every published package carries beside its manifest, since a registry shows and ships nothing else.
const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

/// What every package inherits from the workspace.
const INHERITED: [&str; 5] = ["version", "edition", "rust-version", "license", "repository"];

/// Applies the rule to every package of our workspace; those beside it (`bench`, `fuzz`) are never published.
pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    let beside = ["bench/", "fuzz/"];
    for (path, text) in tree.ending("Cargo.toml") {
        let package = table(text, "[package]");
        if package.is_empty() || beside.iter().any(|folder| path.starts_with(folder)) {
            continue;
        }
        check_package(tree, path, &package, findings);
        if !inherits(&table(text, "[lints]"), "workspace") {
            findings.push(Finding::new(path, None, "`[lints]` must say `workspace = true`"));
        }
    }
}

fn check_package(tree: &Tree, path: &str, package: &BTreeMap<&str, &str>, findings: &mut Vec<Finding>) {
    let is_copy = path.starts_with("compat/");
    let is_published = package.get("publish") != Some(&"false");
    for key in INHERITED {
        // What stands in for another crate has that crate's version and keywords.
        let is_own = is_copy && key == "version";
        if !is_own && !inherits(package, &format!("{key}.workspace")) {
            findings.push(Finding::new(path, None, format!("`[package]` must say `{key}.workspace = true`")));
        }
    }
    if is_published
        && !is_copy
        && !inherits(package, "keywords.workspace")
        && !package.contains_key("keywords")
    {
        findings.push(Finding::new(path, None, "`[package]` must say `keywords.workspace = true`"));
    }
    if package.get("description").is_none_or(|text| text.len() < 12) {
        findings.push(Finding::new(path, None, "`[package]` has no description worth the name"));
    }
    let folder = path.strip_suffix("Cargo.toml").unwrap_or_default();
    for licence in LICENCES.iter().filter(|_| is_published) {
        if !tree.paths.contains(&format!("{folder}{licence}")) {
            let message = format!("the package has no `{licence}`: link to the root's");
            findings.push(Finding::new(path, None, message));
        }
    }
    match package.get("readme").map(|file| file.trim_matches('"')) {
        Some(file) if !tree.paths.contains(&flat(&format!("{folder}{file}"))) => {
            findings.push(Finding::new(path, None, format!("the readme `{file}` does not exist")));
        }
        Some(_) => {}
        None if is_published => findings.push(Finding::new(path, None, "`[package]` names no readme")),
        None => {}
    }
}

/// The `key = value` lines of one table.
fn table<'a>(text: &'a str, header: &str) -> BTreeMap<&'a str, &'a str> {
    let lines = text.lines().skip_while(|line| line.trim() != header).skip(1);
    let inside = lines.take_while(|line| !line.starts_with('['));
    let pairs = inside.filter_map(|line| line.split_once('='));
    pairs.map(|(key, value)| (key.trim(), value.trim())).collect()
}

fn inherits(table: &BTreeMap<&str, &str>, key: &str) -> bool {
    table.get(key) == Some(&"true")
}

/// The path without its `..`.
fn flat(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            ".." => parts.truncate(parts.len().saturating_sub(1)),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::super::tests::found;
    use super::*;

    const WHOLE: &str = "[package]\nname = \"a\"\ndescription = \"Maps files into memory\"\n\
        version.workspace = true\nedition.workspace = true\nrust-version.workspace = true\n\
        license.workspace = true\nrepository.workspace = true\nkeywords.workspace = true\n\
        readme = \"../../README.md\"\n\n[lints]\nworkspace = true\n";

    fn findings(manifest: &str) -> Vec<String> {
        let licences = [("crates/a/LICENSE-APACHE", ""), ("crates/a/LICENSE-MIT", "")];
        found(check, &[[("crates/a/Cargo.toml", manifest), ("README.md", "")], licences].concat())
    }

    #[test]
    fn a_whole_manifest_is_fine() {
        assert_eq!(findings(WHOLE), [""; 0]);
    }

    #[test]
    fn each_missing_line_is_named() {
        for key in
            ["license", "repository", "rust-version", "keywords", "description", "readme", "workspace = true"]
        {
            let without: Vec<_> = WHOLE.lines().filter(|line| !line.starts_with(key)).collect();
            let found = findings(&without.join("\n"));
            assert_eq!(found.len(), 1, "without {key}: {found:#?}");
        }
    }

    #[test]
    fn a_value_of_its_own_is_not_inherited() {
        let own = WHOLE.replace("license.workspace = true", "license = \"GPL\"");
        assert_eq!(findings(&own), ["crates/a/Cargo.toml: `[package]` must say `license.workspace = true`"]);
    }

    #[test]
    fn a_readme_must_exist() {
        let gone = WHOLE.replace("../../README.md", "README.md");
        assert_eq!(findings(&gone), ["crates/a/Cargo.toml: the readme `README.md` does not exist"]);
    }

    #[test]
    fn a_licence_must_be_beside_the_manifest() {
        let found = found(check, &[("a/Cargo.toml", &WHOLE.replace("../../", "../")), ("README.md", "")]);
        assert_eq!(
            found,
            [
                "a/Cargo.toml: the package has no `LICENSE-APACHE`: link to the root's",
                "a/Cargo.toml: the package has no `LICENSE-MIT`: link to the root's",
            ]
        );
    }

    #[test]
    fn what_is_never_published_needs_no_readme_and_keywords() {
        let lines = WHOLE.lines().filter(|line| !line.starts_with("readme") && !line.starts_with("keywords"));
        let private = lines.collect::<Vec<_>>().join("\n").replace("[package]", "[package]\npublish = false");
        assert_eq!(findings(&private), [""; 0]);
    }

    #[test]
    fn a_workspace_without_a_package_is_left_alone() {
        assert_eq!(findings("[workspace]\nmembers = []\n"), [""; 0]);
    }
}
