//! Rules about Rust files: size, the doc at the top, where unsafe code may be, nothing half-done.

use std::collections::BTreeSet;

use super::lexer::{code_only, has_word};
use super::{Finding, Tree};

/// The widest line, as in `rustfmt.toml`; rustfmt itself leaves long comments and strings alone.
const COLUMNS: usize = 110;

/// The longest file that needs no reason.
const LINES: usize = 600;

/// Where a file says why it is longer.
const LONG_FILE: &str = "// tidy: long-file(";

/// The page that argues for every file with unsafe code, and the beginning of the headings of its lists.
const SOUNDNESS: &str = "docs/SOUNDNESS.md";
const UNSAFE_LIST: &str = "Files with unsafe code";

/// Code that does not ship: its unsafe code needs no place in the argument.
const UNSAFE_EXEMPT: [&str; 4] = ["bench/", "compat/mapwright-memmap2/tests/", "fuzz/", "tests/"];

/// Marks of work left undone (in two halves, so that this file has none).
const MARKS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Applies the rules of this file.
pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    let mut with_unsafe = BTreeSet::new();
    for (path, text) in tree.ending(".rs") {
        let code = code_only(text);
        check_size(path, text, findings);
        check_marks(path, text, &code, findings);
        if has_word(&code, "unsafe") && !UNSAFE_EXEMPT.iter().any(|folder| path.starts_with(folder)) {
            with_unsafe.insert(path);
        }
    }
    check_unsafe(tree, &with_unsafe, findings);
}

fn check_size(path: &str, text: &str, findings: &mut Vec<Finding>) {
    for (number, line) in (1..).zip(text.lines()) {
        let columns = line.chars().count();
        if columns > COLUMNS {
            let message = format!("the line has {columns} columns, {COLUMNS} are allowed");
            findings.push(Finding::new(path, number, message));
        }
    }
    let lines = text.lines().count();
    if lines > LINES && !text.lines().any(|line| line.trim_start().starts_with(LONG_FILE)) {
        let message = format!(
            "the file has {lines} lines, over {LINES}: split it, or say why with `{LONG_FILE}reason)`"
        );
        findings.push(Finding::new(path, None, message));
    }
    if !text.starts_with("//!") {
        findings.push(Finding::new(path, 1, "the file does not begin with a `//!` module doc"));
    }
}

fn check_marks(path: &str, text: &str, code: &str, findings: &mut Vec<Finding>) {
    for ((number, line), code) in (1..).zip(text.lines()).zip(code.lines()) {
        for mark in MARKS.into_iter().filter(|mark| has_word(line, mark)) {
            findings.push(Finding::new(path, number, format!("`{mark}`: finish it, or make it an issue")));
        }
        if code.contains("#[ignore") {
            let message = "an ignored test never runs: let it skip itself out loud where it cannot run";
            findings.push(Finding::new(path, number, message));
        }
    }
}

/// The page lists exactly the files that have unsafe code.
fn check_unsafe(tree: &Tree, with_unsafe: &BTreeSet<&str>, findings: &mut Vec<Finding>) {
    let listed = match tree.text(SOUNDNESS) {
        Some(page) => listed_files(page),
        None if with_unsafe.is_empty() => return,
        None => {
            let message =
                format!("the page is missing; it must list under a heading \"{UNSAFE_LIST}\" each file");
            findings.push(Finding::new(SOUNDNESS, None, message));
            return;
        }
    };
    for path in with_unsafe.iter().filter(|path| !listed.iter().any(|(_, name)| name == *path)) {
        let message = format!("unsafe code in a file that {SOUNDNESS} does not list under \"{UNSAFE_LIST}\"");
        findings.push(Finding::new(path, None, message));
    }
    for (number, path) in listed.iter().filter(|(_, path)| !with_unsafe.contains(path)) {
        let message = match tree.text(path) {
            Some(_) => format!("`{path}` is listed and has no unsafe code: take it off the list"),
            None => format!("`{path}` is listed and does not exist (paths are from the project's root)"),
        };
        findings.push(Finding::new(SOUNDNESS, *number, message));
    }
}

/// The first backticked `.rs` path of each line between the heading of a list and the next heading, with its
/// line number.
fn listed_files(page: &str) -> Vec<(usize, &str)> {
    let mut in_list = false;
    let mut listed = Vec::new();
    for (number, line) in (1..).zip(page.lines()) {
        if line.starts_with('#') {
            in_list = line.trim_start_matches('#').trim_start().starts_with(UNSAFE_LIST);
        } else if let (true, Some(path)) =
            (in_list, line.split('`').skip(1).step_by(2).find(|path| path.ends_with(".rs")))
        {
            listed.push((number, path));
        }
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::super::tests::found;
    use super::*;

    const DOC: &str = "//! Doc.\n";

    #[track_caller]
    fn finds(files: &[(&str, &str)], expected: &[&str]) {
        let found = found(check, files);
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found} is not {expected}");
        }
    }

    #[test]
    fn a_line_may_have_110_columns_and_no_more() {
        let fits = format!("{DOC}// {}\n", "ä".repeat(COLUMNS - 3));
        finds(&[("a.rs", &fits)], &[]);
        let wide = format!("{DOC}// {}\n", "ä".repeat(COLUMNS - 2));
        finds(&[("a.rs", &wide)], &["a.rs:2: the line has 111 columns"]);
    }

    #[test]
    fn a_file_may_have_600_lines_or_a_reason() {
        let fits = format!("{DOC}{}", "\n".repeat(LINES - 1));
        finds(&[("a.rs", &fits)], &[]);
        let long = format!("{fits}\n");
        finds(&[("a.rs", &long)], &["a.rs: the file has 601 lines"]);
        let reasoned = format!("{DOC}{LONG_FILE}a table)\n{long}");
        finds(&[("a.rs", &reasoned)], &[]);
    }

    #[test]
    fn a_file_begins_with_its_doc() {
        finds(&[("a.rs", "use std::fs;\n")], &["a.rs:1: the file does not begin"]);
        finds(&[("a.rs", "")], &["a.rs:1: the file does not begin"]);
    }

    #[test]
    fn unfinished_work_and_ignored_tests_are_found() {
        let [mark, _, third] = MARKS;
        let text = format!(
            "{DOC}// {mark}: later\nlet {third}S = 1; // mktemp({third}{third})\n#[ignore = \"slow\"]\n"
        );
        finds(&[("a.rs", &text)], &["a.rs:2: `", "a.rs:4: an ignored test"]);
        finds(&[("a.rs", "//! Never write `#[ignore]`.\n")], &[]);
    }

    #[test]
    fn the_list_of_files_with_unsafe_code_is_checked_both_ways() {
        let page = "# Soundness\n`crates/x.rs` is not in the list.\n## Files with unsafe code\n\n\
            - `crates/a.rs`: maps with `mmap`\n| `crates/b.rs` | table |\n- `crates/c.rs`\n\
            ## Next\n- `crates/d.rs`\n## Files with unsafe code beside it\n- `compat/f.rs`\n";
        let files = [
            ("docs/SOUNDNESS.md", page),
            ("crates/a.rs", "//! Doc.\nunsafe fn f() {}\n"),
            ("crates/b.rs", "//! Doc about unsafe code.\n"),
            ("crates/d.rs", "//! Doc.\nfn f() { unsafe { g() } }\n"),
            ("tests/e.rs", "//! Doc.\nunsafe impl Send for X {}\n"),
            ("compat/f.rs", "//! Doc.\nunsafe fn f() {}\n"),
            ("compat/g.rs", "//! Doc.\nunsafe fn g() {}\n"),
        ];
        let expected = [
            "compat/g.rs: unsafe code in a file",
            "crates/d.rs: unsafe code in a file",
            "docs/SOUNDNESS.md:6: `crates/b.rs` is listed and has no unsafe code",
            "docs/SOUNDNESS.md:7: `crates/c.rs` is listed and does not exist",
        ];
        finds(&files, &expected);
    }

    #[test]
    fn without_the_page_no_file_may_have_unsafe_code() {
        finds(&[("a.rs", DOC)], &[]);
        finds(&[("a.rs", "//! Doc.\nunsafe fn f() {}\n")], &["docs/SOUNDNESS.md: the page is missing"]);
    }
}
