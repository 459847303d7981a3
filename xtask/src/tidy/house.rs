//! Rules about the house: the pages and files that a project must have, and that CI runs what the README
//! promises.

use super::{Finding, Tree};

/// The command that the README gives for the tests, and that `.ci/run` must call.
const TEST_COMMAND: &str = "cargo test --workspace";

/// Files that must exist and not be empty.
const NEEDED: [&str; 6] =
    ["LICENSE-APACHE", "LICENSE-MIT", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", ".ci/run"];

/// Applies the rules.
pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for path in NEEDED {
        if !tree.paths.contains(path) {
            findings.push(Finding::new(path, None, "the file is missing"));
        } else if tree.text(path).is_some_and(|text| text.trim().is_empty()) {
            findings.push(Finding::new(path, None, "the file is empty"));
        }
    }
    for path in ["README.md", ".ci/run"] {
        let mut lines = tree.text(path).unwrap_or_default().lines().map(code_of);
        if tree.paths.contains(path) && !lines.any(|line| line.contains(TEST_COMMAND)) {
            findings.push(Finding::new(
                path,
                None,
                format!("the test command `{TEST_COMMAND}` is not in it"),
            ));
        }
    }
}

/// The line without a shell comment, which calls nothing.
fn code_of(line: &str) -> &str {
    if line.trim_start().starts_with("# ") { "" } else { line }
}

#[cfg(test)]
mod tests {
    use super::super::tests::found;
    use super::*;

    const README: (&str, &str) = ("README.md", "cargo test --workspace   # all tests\n");
    const CI: (&str, &str) = (".ci/run", "cargo test --workspace || failed=1\n");
    const REST: [(&str, &str); 4] = [
        ("LICENSE-APACHE", "Apache"),
        ("LICENSE-MIT", "MIT"),
        ("CHANGELOG.md", "# Changes"),
        ("CONTRIBUTING.md", "# How"),
    ];

    #[test]
    fn a_whole_house_is_fine() {
        let files = [[README, CI].as_slice(), &REST].concat();
        assert_eq!(found(check, &files), [""; 0]);
    }

    #[test]
    fn a_missing_or_empty_file_is_named() {
        let files = [[README, CI, ("CHANGELOG.md", " \n")].as_slice(), &REST[..2], &REST[3..]].concat();
        assert_eq!(found(check, &files), ["CHANGELOG.md: the file is empty"]);
        let files = [[README, CI].as_slice(), &REST[1..]].concat();
        assert_eq!(found(check, &files), ["LICENSE-APACHE: the file is missing"]);
    }

    #[test]
    fn ci_must_call_the_test_command_of_the_readme() {
        let files = [[README, (".ci/run", "# cargo test --workspace\n")].as_slice(), &REST].concat();
        assert_eq!(found(check, &files), [".ci/run: the test command `cargo test --workspace` is not in it"]);
    }
}
