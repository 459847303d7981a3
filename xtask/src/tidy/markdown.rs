//! Rules about Markdown pages: a relative link leads to a file of this tree, its `#anchor` to a heading
//! there; and the program that the README opens with is the one that is tested.

use std::iter::repeat;

use super::{Finding, Tree};

/// The pages that open with a program, and the file whose first example, which `cargo test` runs, is that
/// program.
const OPENING: [&str; 2] = ["README.md", "crates/mapwright/README.md"];
const EXAMPLE: &str = "crates/mapwright/src/lib.rs";

/// Applies the rules.
pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    check_links(tree, findings);
    check_program(tree, findings);
}

fn check_links(tree: &Tree, findings: &mut Vec<Finding>) {
    for (path, page) in tree.ending(".md") {
        for (number, line) in prose(page) {
            for link in links(&line) {
                if let Some(problem) = problem(tree, path, &link) {
                    findings.push(Finding::new(path, number, problem));
                }
            }
        }
    }
}

/// Line by line, without the example's hidden lines and all empty ones.
fn check_program(tree: &Tree, findings: &mut Vec<Finding>) {
    let Some(source) = tree.text(EXAMPLE) else { return };
    let doc = source.lines().filter_map(|line| line.strip_prefix("//!"));
    let doc = doc.map(|line| line.strip_prefix(' ').unwrap_or(line));
    let tested: Vec<&str> =
        first_block(doc, "```").map(|(_, line)| line).filter(|line| !is_hidden(line)).collect();
    for path in OPENING {
        let Some(page) = tree.text(path) else { continue };
        let shown = first_block(page.lines(), "```rust").map(|(number, line)| (Some(number), Some(line)));
        let mut pairs = shown.chain(repeat((None, None))).zip(tested.iter().copied().map(Some).chain([None]));
        if let Some(((number, _), tested)) = pairs.find(|((_, shown), tested)| shown != tested) {
            let there =
                tested.map_or_else(|| "it ends there".to_owned(), |line| format!("it has `{line}` there"));
            let message = format!("not the program of {EXAMPLE}, which is tested: {there}");
            findings.push(Finding::new(path, number, message));
        }
    }
}

/// The lines of the first fenced block that opens so, with their numbers, but for empty ones.
fn first_block<'a>(
    lines: impl Iterator<Item = &'a str>,
    opening: &str,
) -> impl Iterator<Item = (usize, &'a str)> {
    let from = (1..).zip(lines).skip_while(move |(_, line)| !line.starts_with(opening)).skip(1);
    let inside = from.take_while(|(_, line)| !line.starts_with("```"));
    inside.map(|(number, line)| (number, line.trim_end())).filter(|(_, line)| !line.is_empty())
}

/// Whether rustdoc runs the line and does not show it.
fn is_hidden(line: &str) -> bool {
    line == "#" || line.starts_with("# ")
}

/// What is wrong with a link on the page `from`, if something is.
fn problem(tree: &Tree, from: &str, link: &str) -> Option<String> {
    let is_elsewhere = link.contains("://") || link.starts_with("mailto:");
    if is_elsewhere {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() { Some(from.to_owned()) } else { resolve(from, file) };
    let Some(target) = target else { return Some(format!("the link `{link}` leads out of the project")) };
    if !target.is_empty() && !tree.paths.contains(&target) {
        return Some(format!("the link `{link}` leads to `{target}`, which does not exist"));
    }
    let page = tree.text(&target).filter(|_| target.ends_with(".md") && !anchor.is_empty())?;
    let found = prose(page).any(|(_, line)| anchor_of(&line).is_some_and(|name| name == anchor));
    (!found).then(|| format!("the link `{link}` names a heading that `{target}` does not have"))
}

/// The path from the root that `link` on the page `from` leads to, unless that is outside.
fn resolve(from: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The lines outside of fenced code, without their inline code.
fn prose(page: &str) -> impl Iterator<Item = (usize, String)> {
    let mut fenced = false;
    (1..).zip(page.lines()).filter_map(move |(number, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        (!fenced).then(|| (number, line.to_owned()))
    })
}

/// The targets of the inline links and images on a line, and of a reference's definition.
fn links(line: &str) -> Vec<String> {
    let without_code: String = line.split('`').step_by(2).collect::<Vec<_>>().join(" ");
    let inline = without_code.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let definition =
        without_code.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target);
    let targets = inline.chain(definition);
    // A title may follow the target: [text](target "title").
    targets.filter_map(|target| target.split_whitespace().next()).map(str::to_owned).collect()
}

/// The anchor that a heading gets where such pages are shown; nothing if the line is no heading.
fn anchor_of(line: &str) -> Option<String> {
    let title = line.starts_with('#').then(|| line.trim_start_matches('#').trim())?;
    let kept = title.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
    Some(kept.map(|c| if c == ' ' { '-' } else { c }).flat_map(char::to_lowercase).collect())
}

#[cfg(test)]
mod tests {
    use super::super::tests::found;
    use super::*;

    #[track_caller]
    fn finds(page: &str, expected: &[&str]) {
        let other = "# Other page\n\n## What it's for, `really`\n";
        let found = found(check, &[("docs/page.md", page), ("docs/other.md", other), ("README.md", "")]);
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found} does not say {expected}");
        }
    }

    const TESTED: &str = "//! A crate.\n//!\n//! ```\n//! use a::b;\n//! # hidden();\n//!\n//! b(1)?;\n\
        //! ```\n//! ```\n//! other();\n//! ```\n";

    #[track_caller]
    fn finds_in_readme(page: &str, expected: Option<&str>) {
        let found = found(check, &[("README.md", page), (EXAMPLE, TESTED)]);
        let what = format!("not the program of {EXAMPLE}, which is tested: ");
        assert_eq!(
            found.iter().map(|found| found.replace(&what, "")).collect::<Vec<_>>(),
            Vec::from_iter(expected)
        );
    }

    #[test]
    fn the_readme_opens_with_the_tested_program() {
        finds_in_readme("# A\n```sh\nmake\n```\n```rust\nuse a::b;\n\n\nb(1)?;\n```\n", None);
        finds_in_readme("```rust\nuse a::b;\nb(2)?;\n```\n", Some("README.md:3: it has `b(1)?;` there"));
        finds_in_readme("```rust\nuse a::b;\nb(1)?;\nc();\n```\n", Some("README.md:4: it ends there"));
        finds_in_readme("```rust\nuse a::b;\n```\n", Some("README.md: it has `b(1)?;` there"));
        finds_in_readme("no program\n", Some("README.md: it has `use a::b;` there"));
    }

    #[test]
    fn links_to_what_exists_are_fine() {
        finds(
            "[a](other.md) and ![b](../README.md \"title\"), [c](..), [d](./other.md#what-its-for-really)",
            &[],
        );
        finds("[a]: other.md\n[site](https://example.org/x) [mail](mailto:a@example.org)", &[]);
        finds("# Here\n[up](#here)", &[]);
    }

    #[test]
    fn links_to_nowhere_are_found() {
        finds("\n[a](gone.md)", &["docs/page.md:2: the link `gone.md` leads to `docs/gone.md`"]);
        finds("[a](../../etc/passwd)", &["out of the project"]);
        finds("[a]: gone.md", &["`docs/gone.md`, which does not exist"]);
        finds(
            "[a](other.md#nothing), [b](#nothing)",
            &["`docs/other.md` does not have", "`docs/page.md` does not have"],
        );
    }

    #[test]
    fn code_is_not_read_for_links() {
        finds("```text\n[a](gone.md)\n```\n`[a](gone.md)` and a[0](x) in `code`\n", &["`x`"]);
    }
}
