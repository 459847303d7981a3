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
        let list = |key: &str| field[key].as_array().cloned().unwrap_or_default();
        let (ways, missing) = (list("ways"), list("missing"));
        let names: Vec<&str> = ways.iter().chain(&missing).map(|way| way["way"].as_str().unwrap()).collect();
        let all: &[&str] = match field["from"].as_str() {
            Some("disk") => &["read", "mmap", "direct", "io_uring", "mapwright"],
            _ => &["read", "mmap", "mapwright"],
        };
        assert_eq!(sorted(&names), sorted(all), "{field}");
        // What is missing is so because the machine has it not, and says so.
        assert!(missing.iter().all(|way| ["direct", "io_uring"].contains(&way["way"].as_str().unwrap())));
        assert!(missing.iter().all(|way| way["why"].as_str().unwrap().len() > 10), "{field}");
        for way in &ways {
            let number = |key: &str| way["cost"][key].as_f64().unwrap();
            assert!(number("amount") > 0.0 && number("seconds") > 0.0, "{way}");
            let faults = &way["cost"]["faults"];
            let counted = faults["minor"].as_u64().unwrap() + faults["major"].as_u64().unwrap();
            // A map that was just made is touched page by page; from memory its pages are there.
            assert!(counted > 0 || way["way"] != "mmap" || field["from"] == "memory", "{way}");
        }
    }
    assert!(json["verdict"].as_str().unwrap().ends_with('.'));
    let after = std::fs::metadata(&path).unwrap();
    assert_eq!((before.modified().unwrap(), before.len()), (after.modified().unwrap(), after.len()));
    assert!(std::fs::read(&path).unwrap() == content);
}

fn sorted(names: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    names.sort();
    names
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
    let sections: Vec<&str> = run.out.split("\n\n").collect();
    let [_, disk, disk_at_random, memory, memory_at_random, verdict, foot] = sections[..] else {
        panic!("{}", run.out)
    };
    let rows = |section: &str, ways: &[&str]| {
        let rows: Vec<&str> = section.lines().skip(1).collect();
        for way in ways {
            let row = rows.iter().find(|row| row.trim_start().starts_with(way)).unwrap_or_else(|| {
                panic!("no {way} in {section}");
            });
            let complete = row.contains(['\u{2588}', '▏', '▎', '▍', '▌', '▋', '▊', '▉'])
                && row.contains("/s")
                && row.contains('±')
                && row.contains("fault");
            assert!(complete || row.contains("not here: "), "{row}");
        }
    };
    let all = ["read(2)", "plain mmap", "O_DIRECT", "io_uring", "mapwright"];
    [disk, disk_at_random].iter().for_each(|section| rows(section, &all));
    [memory, memory_at_random]
        .iter()
        .for_each(|section| rows(section, &["read(2)", "plain mmap", "mapwright"]));
    assert!(disk.contains('\u{2588}') && memory.contains('\u{2588}'), "a bar is drawn: {}", run.out);
    assert!(verdict.starts_with("Map this file") || verdict.starts_with("Read this file"), "{verdict}");
    assert!(foot.contains("plain mmap is a map without advice"), "{foot}");
}

#[test]
fn a_file_without_a_block_is_refused_with_its_size() {
    let folder = Folder::new();
    let run = finish(program().arg("bench").arg(folder.file("tiny", b"abc"))).ended(1);
    assert!(run.err.contains("3 bytes") && run.err.contains("4096"), "{}", run.err);
    let run = finish(program().args(["bench", "--size", "0"]).arg(folder.file("a", &bytes(9000)))).ended(2);
    assert!(run.err.contains("cannot measure 0 bytes"), "{}", run.err);
}
