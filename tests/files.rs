//! Maps and the names, lengths, locks and holes of their files, across processes.

use crate::support::process::{Parent, Process};
use crate::support::scratch;
use crate::support::suite::{role, suite};
use mapwright::{
    ErrorKind, ExtentKind, FaultKind, FileLock, Map, MapOptions, MapVec, extents, mapped_here, set_len,
    set_len_even_if_mapped,
};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::Arc;

suite!(
    tests: [
        map_knows_whether_a_path_still_means_its_file,
        lock_lives_exactly_as_long_as_its_map,
        lock_of_a_killed_process_is_free,
        file_that_is_mapped_here_is_not_cut_by_mistake,
        openers_share_one_map,
        growing_file_is_followed_across_processes,
        punched_hole_gives_its_blocks_back,
        odd_names_stay_on_one_line_of_a_message,
    ],
    roles: [hold_lock, append_lines],
);

fn map_knows_whether_a_path_still_means_its_file() {
    let folder = scratch::folder();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("file"), b"content").unwrap();
    let map = Map::open(at("file")).unwrap();
    let means = |name: &str| map.is_still_at(at(name)).unwrap();
    assert!(means("file"));
    std::fs::hard_link(at("file"), at("second")).unwrap();
    symlink("second", at("link")).unwrap();
    assert!(means("second") && means("link"));

    std::fs::rename(at("file"), at("renamed")).unwrap();
    assert!(means("renamed") && !means("file"));
    std::fs::write(at("other"), b"content").unwrap();
    assert!(!means("other"), "equal content does not make it the same file");
    std::fs::rename(at("other"), at("renamed")).unwrap();
    assert!(!means("renamed") && means("link"));
    std::fs::remove_file(at("second")).unwrap();
    assert!(!means("second") && !means("link"));

    // The inode of a removed file is the first to be used again, but not while it is mapped.
    let inode = map.file().unwrap().metadata().unwrap().ino();
    for number in 0..50 {
        std::fs::write(at(&format!("new{number}")), b"content").unwrap();
        assert_ne!(std::fs::metadata(at(&format!("new{number}"))).unwrap().ino(), inode);
    }
    assert_eq!(map.view().to_vec().unwrap(), b"content");
}

/// Maps a file with a lock, tells, and drops the map when told: path.
fn hold_lock(parent: &mut Parent) {
    let map = MapOptions::new().lock_file(FileLock::Exclusive).open(parent.arg(0)).unwrap();
    parent.say("locked");
    parent.hear();
    drop(map);
    parent.say("dropped");
    parent.wait_for_the_end();
}

fn try_lock(path: &Path, lock: FileLock) -> Result<Map, ErrorKind> {
    MapOptions::new().lock_file(lock).open(path).map_err(|error| error.kind())
}

fn lock_lives_exactly_as_long_as_its_map() {
    let folder = scratch::folder();
    let path = scratch::file(&folder, "file", b"content");
    let mut holder = Process::start(role!(hold_lock), &[path.to_str().unwrap()]);
    assert_eq!(holder.hear(), "locked");
    assert_eq!(try_lock(&path, FileLock::Shared).unwrap_err(), ErrorKind::Busy);
    drop(Map::open(&path).unwrap());
    holder.say("drop it");
    assert_eq!(holder.hear(), "dropped");
    let first = try_lock(&path, FileLock::Shared).unwrap();
    let second = try_lock(&path, FileLock::Shared).unwrap();
    assert_eq!(try_lock(&path, FileLock::Exclusive).unwrap_err(), ErrorKind::Busy);
    drop(first);
    assert_eq!(try_lock(&path, FileLock::Exclusive).unwrap_err(), ErrorKind::Busy);
    // The file may outlive its map; the lock does not.
    let file = second.into_file().unwrap();
    drop(try_lock(&path, FileLock::Exclusive).unwrap());
    drop(file);
}

fn lock_of_a_killed_process_is_free() {
    let folder = scratch::folder();
    let path = scratch::file(&folder, "file", b"content");
    let mut holder = Process::start(role!(hold_lock), &[path.to_str().unwrap()]);
    assert_eq!(holder.hear(), "locked");
    holder.kill();
    drop(try_lock(&path, FileLock::Exclusive).unwrap());
}

fn file_that_is_mapped_here_is_not_cut_by_mistake() {
    let folder = scratch::folder();
    let path = scratch::file(&folder, "file", &[7; 10_000]);
    // By another descriptor and another name: the file counts.
    std::fs::hard_link(&path, folder.path().join("second")).unwrap();
    let file = File::options().read(true).write(true).open(folder.path().join("second")).unwrap();
    let map = MapOptions::new().len(5_000).open(&path).unwrap();
    let copy = MapOptions::new().map_private(File::open(&path).unwrap()).unwrap();
    assert_eq!(mapped_here(&file).unwrap(), 2);
    let error = set_len(&file, 6_000).unwrap_err();
    println!("  {error}");
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains("10000") && error.to_string().contains("6000"), "{error}");
    drop(copy);
    set_len(&file, 6_000).unwrap();
    assert_eq!(set_len(&file, 4_999).unwrap_err().kind(), ErrorKind::Busy);
    set_len_even_if_mapped(&file, 0).unwrap();
    assert_eq!(map.view().load::<u8>(0).unwrap_err().kind(), FaultKind::Truncated);
    drop(map);
    assert_eq!(mapped_here(&file).unwrap(), 0);
}

fn openers_share_one_map() {
    let folder = scratch::folder();
    let path = scratch::file(&folder, "file", &[7; 10_000]);
    symlink("file", folder.path().join("link")).unwrap();
    let first = Map::open_shared(&path).unwrap();
    let others: Vec<Arc<Map>> = std::thread::scope(|scope| {
        let open = || Map::open_shared(folder.path().join("link")).unwrap();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(others.iter().all(|other| Arc::ptr_eq(&first, other)));
    assert_eq!(mapped_here(first.file().unwrap()).unwrap(), 1);
    // Whoever asks after it has grown sees all of it.
    std::fs::write(&path, [8; 20_000]).unwrap();
    let longer = Map::open_shared(&path).unwrap();
    assert_eq!((longer.len(), first.len()), (20_000, 10_000));
    drop((first, others, longer));
    assert_eq!(mapped_here(File::open(&path).unwrap()).unwrap(), 0);
}

/// Appends lines to a file, a few at each word of the test: path.
fn append_lines(parent: &mut Parent) {
    let mut file = File::options().append(true).open(parent.arg(0)).unwrap();
    for round in 0..20 {
        parent.hear();
        for line in 0..100 {
            std::io::Write::write_all(&mut file, format!("line {line} of round {round}\n").as_bytes())
                .unwrap();
        }
        parent.say("appended");
    }
}

fn growing_file_is_followed_across_processes() {
    let folder = scratch::folder();
    let path = scratch::file(&folder, "log", b"");
    let mut writer = Process::start(role!(append_lines), &[path.to_str().unwrap()]);
    // One has room for some of it and then moves; the other stays where it is.
    let mut moving = MapOptions::new().reserve(10_000).open(&path).unwrap();
    let staying = MapOptions::new().reserve(1 << 20).open(&path).unwrap();
    let place = staying.as_ptr();
    for round in 0..20 {
        writer.say("more");
        assert_eq!(writer.hear(), "appended");
        let content = std::fs::read(&path).unwrap();
        assert_eq!(moving.refresh().unwrap(), content.len());
        assert_eq!(staying.refresh_in_place().unwrap(), content.len());
        for map in [&moving, &staying] {
            assert!(map.view().equals(&content).unwrap(), "round {round}");
            let last = format!("line 99 of round {round}\n");
            let found = map.view().find(last.as_bytes()).unwrap();
            assert_eq!(found, Some(content.len() - last.len()));
        }
    }
    assert_eq!(staying.as_ptr(), place);
}

fn punched_hole_gives_its_blocks_back() {
    const LENGTH: usize = 4 << 20;
    let folder = scratch::folder();
    let path = scratch::file(&folder, "file", &vec![7; LENGTH]);
    let file = File::open(&path).unwrap();
    file.sync_all().unwrap();
    let blocks = || file.metadata().unwrap().blocks();
    let before = blocks();
    let map = Map::open_mut(&path).unwrap();
    map.punch(1 << 20..3 << 20).unwrap();
    map.flush(..).unwrap();
    assert!(blocks() <= before - (2 << 20) / 512, "{} blocks of {before} are left", blocks());
    assert!(map.view().sub(1 << 20..3 << 20).unwrap().equals(&vec![0; 2 << 20]).unwrap());
    let kinds: Vec<_> = extents(&file, ..).unwrap().map(|extent| extent.unwrap()).collect();
    let [first, hole, last] = &kinds[..] else { panic!("{kinds:?}") };
    assert_eq!((first.kind, hole.kind, last.kind), (ExtentKind::Data, ExtentKind::Hole, ExtentKind::Data));
    assert_eq!(hole.range, 1 << 20..3 << 20);
    // A store into the hole takes a block again.
    map.view().store(2 << 20, 1u8).unwrap();
    map.flush(..).unwrap();
    assert!(blocks() > before - (2 << 20) / 512);
}

fn odd_names_stay_on_one_line_of_a_message() {
    let folder = scratch::folder();
    let names: [OsString; 7] = [
        "two\nlines".into(),
        "bell \u{7} and escape \u{1b}[31m".into(),
        "a \"quote\" and a \\ backslash".into(),
        " spaces ".into(),
        "name.with.ünïcödé.猫".into(),
        OsStr::from_bytes(b"not \xFF\xFE utf-8").to_owned(),
        "-rf".into(),
    ];
    for name in &names {
        let path = folder.path().join(name);
        std::fs::write(&path, b"not an array").unwrap();
        assert_eq!(Map::open(&path).unwrap().view().to_vec().unwrap(), b"not an array");
        let fault = |error: mapwright::Error| error.to_string();
        for message in [
            fault(MapOptions::new().offset(100).open(&path).unwrap_err()),
            fault(Map::create(&path, 10).unwrap_err()),
            fault(MapVec::<u64>::open(&path).unwrap_err()),
            fault(MapOptions::new().offset(100).map(File::open(&path).unwrap()).unwrap_err()),
        ] {
            assert!(message.chars().all(|letter| !letter.is_control()), "{message:?}");
            let shown = format!("{:?}", path.file_name().unwrap());
            assert!(message.contains(shown.trim_matches('"')), "{shown} is not in {message}");
        }
    }
}
