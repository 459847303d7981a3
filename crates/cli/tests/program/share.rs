//! `share`: segments as people find, feed and remove them.

use mapwright::share::{
    Log, LogOptions, Mutex, Records, RecordsOptions, Segment, Snapshot, SnapshotBytes, SnapshotBytesOptions,
    SnapshotOptions,
};

use crate::start::{Folder, Run, finish, program};

fn share(folder: &Folder, arguments: &[&str]) -> Run {
    finish(program().arg("share").args(arguments).arg("--dir").arg(folder.path()))
}

fn make(folder: &Folder, name: &str) -> Segment {
    Segment::builder(name)
        .directory(folder.path())
        .with::<Mutex<u64>>("stock", 100)
        .with::<Records>("events", RecordsOptions::new(4096))
        .with::<Log>("history", LogOptions::new(4096))
        .with::<Snapshot<[f64; 2]>>("prices", SnapshotOptions::new([1.5, 2.0]))
        .with::<SnapshotBytes>("notice", SnapshotBytesOptions::new(100))
        .create()
        .unwrap()
}

#[test]
fn segments_are_listed_shown_and_pruned() {
    let folder = Folder::new();
    let empty = share(&folder, &["list"]).ended(0);
    assert!(empty.out.is_empty() && empty.err.contains("no segments in"), "{}", empty.err);
    let shop = make(&folder, "shop");
    drop(make(&folder, "old"));
    let list = share(&folder, &["list"]).ended(0);
    assert!(list.out.contains("shop") && list.out.contains("nobody holds it"), "{}", list.out);
    let stock = shop.get::<Mutex<u64>>("stock").unwrap();
    let guard = stock.lock().unwrap();
    let shown = share(&folder, &["show", "shop"]).ended(0);
    let id = std::process::id().to_string();
    for part in
        ["stock  mutex of u64", "state held", &id, "prices  snapshot of [f64;2]", "1 of 64 seats are taken"]
    {
        assert!(shown.out.contains(part), "{part}: {}", shown.out);
    }
    drop(guard);
    let json = share(&folder, &["show", "shop", "--json"]).ended(0).json();
    assert_eq!(
        (&json["schema"], &json["participants"][0]["state"]),
        (&"mapwright.share.show/1".into(), &"alive".into())
    );
    assert_eq!(json["objects"].as_array().unwrap().len(), 5);
    let watched = share(&folder, &["watch", "shop", "--once"]).ended(0);
    assert!(watched.out.contains("stock  mutex of u64"), "{}", watched.out);
    let pruned = share(&folder, &["prune"]).ended(0);
    assert!(pruned.out.contains("removed  old") && pruned.out.contains("in use   shop"), "{}", pruned.out);
    share(&folder, &["prune", "shop"]).ended(1);
    drop((stock, shop));
    share(&folder, &["prune", "shop"]).ended(0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn messages_go_through_records_and_stay_in_logs() {
    let folder = Folder::new();
    let shop = make(&folder, "shop");
    let mut receiver = shop.get::<Records>("events").unwrap().receiver().unwrap();
    share(&folder, &["send", "shop", "events", "one", "two words"]).ended(0);
    let mut message = Vec::new();
    receiver.receive_into(&mut message).unwrap();
    assert_eq!(message, b"one");
    receiver.receive_into(&mut message).unwrap();
    assert_eq!(message, b"two words");
    drop(receiver);
    let mut sender = shop.get::<Records>("events").unwrap().sender().unwrap();
    sender.send(b"three").unwrap();
    let received = share(&folder, &["recv", "shop", "events", "--count", "1"]).ended(0);
    assert_eq!(received.out, "three\n");
    share(&folder, &["recv", "shop", "events", "--count", "1", "--timeout", "0"]).ended(3);
    share(&folder, &["send", "shop", "history", "first", "second"]).ended(0);
    for _ in 0..2 {
        let read = share(&folder, &["recv", "shop", "history", "--timeout", "0"]).ended(0);
        assert_eq!(read.out, "first\nsecond\n");
    }
    let wrong = share(&folder, &["send", "shop", "stock", "x"]).ended(1);
    assert!(wrong.err.contains("\"stock\" is a mutex"), "{}", wrong.err);
}

#[test]
fn snapshots_are_printed_by_the_layout_of_their_type_and_set_where_they_are_bytes() {
    let folder = Folder::new();
    let _shop = make(&folder, "shop");
    let prices = share(&folder, &["snapshot", "shop", "prices", "--json"]).ended(0).json();
    assert_eq!((&prices["value"][0], &prices["layout"]), (&1.5.into(), &"[f64;2]".into()));
    share(&folder, &["snapshot", "shop", "notice", "--set", "closed on Monday"]).ended(0);
    let notice = share(&folder, &["snapshot", "shop", "notice"]).ended(0);
    assert_eq!(notice.out, "closed on Monday\n");
    let typed = share(&folder, &["snapshot", "shop", "prices", "--set", "x"]).ended(1);
    assert!(typed.err.contains("holds [f64;2], and this program expects bytes"), "{}", typed.err);
}

#[test]
fn what_cannot_be_opened_is_listed_and_skipped() {
    let folder = Folder::new();
    std::fs::write(folder.path().join("odd"), "no segment").unwrap();
    drop(make(&folder, "old"));
    let list = share(&folder, &["list"]).ended(0);
    assert!(list.out.contains("odd  cannot be opened") && list.out.contains("old"), "{}", list.out);
    let json = share(&folder, &["list", "--json"]).ended(0).json();
    assert_eq!(
        (&json["unreadable"][0]["name"], &json["segments"][0]["name"]),
        (&"odd".into(), &"old".into())
    );
    let pruned = share(&folder, &["prune"]).ended(3);
    assert!(pruned.out.contains("removed  old") && pruned.err.contains("skipped odd"), "{}", pruned.err);
    share(&folder, &["prune"]).ended(3);
    std::fs::remove_file(folder.path().join("odd")).unwrap();
    share(&folder, &["prune"]).ended(0);
}

#[test]
fn looking_makes_no_folder_and_advice_is_given_in_options() {
    let folder = Folder::new();
    let missing = folder.path().join("none");
    let run = |arguments: &[&str]| {
        finish(program().arg("share").args(arguments).env("MAPWRIGHT_SHARE_DIR", &missing))
    };
    assert!(run(&["list"]).ended(0).err.contains("no segments in"));
    run(&["prune"]).ended(0);
    assert!(run(&["show", "shop"]).ended(1).err.contains("--dir"));
    assert!(!missing.exists());
    let none = share(&folder, &["show", "shop"]).ended(1);
    assert!(none.err.contains("--dir or $MAPWRIGHT_SHARE_DIR") && !none.err.contains("()"), "{}", none.err);
}

#[test]
fn each_look_is_one_line_of_json_and_messages_are_none() {
    let folder = Folder::new();
    let shop = make(&folder, "shop");
    let stock = shop.get::<Mutex<u64>>("stock").unwrap();
    let _guard = stock.lock().unwrap();
    let watched = share(&folder, &["watch", "shop", "--once", "--json"]).ended(0);
    assert_eq!(watched.out.trim_end().lines().count(), 1, "{}", watched.out);
    let objects = &watched.json()["objects"];
    let figures = objects[0]["figures"].as_array().unwrap();
    let process = u64::from(std::process::id());
    assert!(figures.iter().any(|figure| figure["value"]["process"] == process), "{figures:?}");
    share(&folder, &["send", "shop", "events", "one", "--json"]).ended(2);
    share(&folder, &["recv", "shop", "events", "--json"]).ended(2);
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    let folder = Folder::new();
    let _shop = make(&folder, "shop");
    let none = share(&folder, &["show", "ship"]).ended(1);
    assert!(none.err.contains("ship"), "{}", none.err);
    let none = share(&folder, &["snapshot", "shop", "price"]).ended(1);
    assert!(none.err.contains("there are: \"stock\""), "{}", none.err);
    share(&folder, &["show", "../shop"]).ended(1);
    share(&folder, &["watch", "shop", "--every", "0"]).ended(2);
    finish(program().args(["share", "list", "--dir", "/no/such/folder"])).ended(1);
}
