//! The two interfaces compared as a whole.
//!
//! `api.txt` lists the original's public items: `cargo public-api -s --all-features` in memmap2 0.9.12,
//! sorted, without the compiler's unstable traits. `surface` gives each function's exact type, which the
//! compiler checks for both crates; here we check that `surface` leaves nothing out. Where there is a nightly
//! compiler, which alone describes interfaces, the list is made again from our crate and must be the same,
//! line for line.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::support::skip;

const ORIGINAL: &str = include_str!("api.txt");
const SURFACE: &str = include_str!("surface.rs");

/// The compiler's own traits, which come and go.
const UNSTABLE: [&str; 3] = ["marker::Freeze", "marker::StructuralPartialEq", "marker::UnsafeUnpin"];

/// The functions that a list names, as `Type::function`.
fn functions(list: &str) -> BTreeSet<String> {
    let lines = list.lines().filter_map(|line| line.split_once("fn memmap2::"));
    let names = lines.filter_map(|(_, signature)| signature.split(['(', '<']).next());
    // Those of traits are checked by their traits.
    let of_traits =
        ["clone", "eq", "fmt", "hash", "as_ref", "as_mut", "deref", "deref_mut", "from", "default"];
    let own = |name: &&str| !of_traits.iter().any(|method| name.ends_with(&format!("::{method}")));
    names.filter(own).map(str::to_owned).collect()
}

#[test]
fn every_function_of_the_original_is_in_the_surface() {
    let all = functions(ORIGINAL);
    assert_eq!(all.len(), 65);
    let missing: Vec<_> = all
        .iter()
        // The trait's method is called on its types.
        .filter(|name| *name != "MmapAsRawDesc::as_raw_desc")
        .filter(|name| ![";", "::<"].iter().any(|end| SURFACE.contains(&format!("= {name}{end}"))))
        .collect();
    assert_eq!(missing, [&""; 0]);
    assert_eq!(all.iter().filter(|name| name.starts_with("MmapAsRawDesc::")).count(), 1);
}

#[test]
fn both_crates_have_the_same_public_items() {
    let ours = match public_items() {
        Ok(list) => list.replace("mapwright_memmap2", "memmap2"),
        Err(why) => return skip("both_crates_have_the_same_public_items", &why),
    };
    let is_stable = |line: &&str| !UNSTABLE.iter().any(|name| line.contains(name));
    let ours: BTreeSet<_> = ours.lines().filter(is_stable).collect();
    let original: BTreeSet<_> = ORIGINAL.lines().collect();
    let missing: Vec<_> = original.difference(&ours).collect();
    let more: Vec<_> = ours.difference(&original).collect();
    assert!(missing.is_empty() && more.is_empty(), "missing: {missing:#?}\nmore: {more:#?}");
}

/// Our public items, a line each, as the nightly compiler describes them; or why that cannot be had.
fn public_items() -> Result<String, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("public-items");
    let mut cargo = Command::new("cargo");
    cargo.args(["rustdoc", "--quiet", "--lib", "--all-features", "--target-dir"]).arg(&folder);
    cargo.args(["--", "-Zunstable-options", "--output-format=json", "--cap-lints=allow"]);
    cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")));
    // Another compiler must not see what this one's cargo tells a test.
    cargo.env("RUSTUP_TOOLCHAIN", "nightly").env_remove("CARGO").env_remove("RUSTFLAGS").env_remove("RUSTC");
    let output = cargo.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("cargo +nightly rustdoc: {}", complaint.lines().last().unwrap_or_default()));
    }
    let items = public_api::Builder::from_rustdoc_json(folder.join("doc/mapwright_memmap2.json"))
        .omit_blanket_impls(true)
        .build()
        .map_err(|error| format!("public-api and this nightly do not go together: {error}"))?;
    Ok(items.to_string())
}
