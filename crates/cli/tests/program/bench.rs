//! `bench`: every way is measured, and the file stays as it was.

use crate::start::{Folder, bytes, finish, program};

#[test]
fn every_way_is_measured_in_every_field_and_the_file_is_untouched() {
    let folder = Folder::new();
    let content = bytes(2 << 20);
    let path = folder.file("a", &content);
    let before = std::fs::metadata(&path).unwrap();
    let run =
        finish(program().args(["bench", "--json", "--rounds", "1", "--time", "0.05"]).arg(&path)).ended(0);
    let json = run.json();
    assert_eq!(
        (json["schema"].as_str(), json["size_bytes"].as_u64()),
        (Some("mapwright.bench/1"), Some(2 << 20))
    );
    let fields = json["fields"].as_array().unwrap();
    assert_eq!(fields.len(), 4);
    for field in fields {
        let ways = field["ways"].as_array().unwrap();
        let named = |name: &str| ways.iter().any(|way| way["way"] == name);
        assert!(named("read") && named("mmap") && named("mapwright"), "{field}");
        assert!(ways.iter().all(|way| way["cost"]["amount"].as_u64().unwrap() > 0), "{field}");
    }
    assert!(json["verdict"].as_str().unwrap().ends_with('.'));
    let after = std::fs::metadata(&path).unwrap();
    assert_eq!((before.modified().unwrap(), before.len()), (after.modified().unwrap(), after.len()));
    assert!(std::fs::read(&path).unwrap() == content);
}

#[test]
fn the_report_fits_and_ends_with_a_sentence() {
    let folder = Folder::new();
    let path = folder.file("a", &bytes(1 << 20));
    let run = finish(program().args(["bench", "--rounds", "1", "--time", "0.02"]).arg(&path)).ended(0);
    assert!(run.out.lines().skip(1).all(|line| line.chars().count() <= 80), "{}", run.out);
    for heading in [
        "From the disk, in order",
        "From the disk, at random",
        "From memory, in order",
        "From memory, at random",
    ] {
        assert!(run.out.contains(heading), "{}", run.out);
    }
    assert!(run.out.trim_end().ends_with('.'), "{}", run.out);
}

#[test]
fn a_file_without_a_block_is_refused_with_its_size() {
    let folder = Folder::new();
    let run = finish(program().arg("bench").arg(folder.file("tiny", b"abc"))).ended(1);
    assert!(run.err.contains("3 bytes") && run.err.contains("4096"), "{}", run.err);
}
