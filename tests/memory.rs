//! Memory of special kinds: huge pages of either sort and the honest answer what there is, secret memory,
//! maps that are sealed.

use crate::support::huge_pool::{HUGE, HugePool};
use crate::support::mount::Mount;
use crate::support::own_maps;
use crate::support::process::{Parent, Process};
use crate::support::scratch;
use crate::support::skip::{Need, Skip};
use crate::support::suite::{Verdict, role, suite};
use mapwright::{
    Commitment, ErrorKind, FaultKind, HugePages, HugeReport, HugeWish, Map, MapOptions, Memory,
    huge_page_pools,
};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

suite!(
    tests: [
        pages_of_the_pool_are_huge_and_it_says_so,
        empty_pool_is_an_error_or_small_pages_as_was_asked,
        pool_that_runs_empty_is_an_error_or_no_space,
        file_of_huge_pages_is_mapped_at_any_offset,
        transparent_huge_pages_are_counted_as_the_kernel_counts_them,
        secret_memory_is_hidden_from_others,
        sealed_map_serves_faults_for_ever,
    ],
    roles: [keep_secret],
);

fn reserved() -> MapOptions {
    MapOptions::new().huge_pages(HugePages::Reserved(HUGE))
}

fn pages_of_the_pool_are_huge_and_it_says_so() -> Verdict {
    let _pool = HugePool::with_free(4)?;
    let told = huge_page_pools();
    let told = told.iter().find(|pool| pool.page_size == HUGE).unwrap();
    assert!(told.available() >= 4, "{told:?}");
    let mut memory = reserved().memory(3 * HUGE - 5).unwrap();
    memory.fill(7);
    let report = memory.huge_pages().unwrap();
    println!("  {report}");
    assert_eq!((report.wish, report.page_size), (HugeWish::Reserved, HUGE));
    assert_eq!((report.resident_bytes, report.huge_bytes), (3 * HUGE, 3 * HUGE));
    assert!(report.is_all_huge() && report.to_string().contains("6291456 of 6291456 bytes"));
    drop(memory);
    let shared =
        MapOptions::new().huge_pages(HugePages::ReservedOrTransparent(HUGE)).shared_memory(HUGE).unwrap();
    shared.view().store(HUGE - 8, 1u64).unwrap();
    assert!(shared.huge_pages().unwrap().is_all_huge());
    Ok(())
}

fn empty_pool_is_an_error_or_small_pages_as_was_asked() -> Verdict {
    let _pool = HugePool::empty()?;
    let error = reserved().memory(4 * HUGE).unwrap_err();
    println!("  {error}");
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    assert!(error.to_string().contains("nr_hugepages"), "{error}");
    let mut memory =
        MapOptions::new().huge_pages(HugePages::ReservedOrTransparent(HUGE)).memory(4 * HUGE).unwrap();
    memory.fill(7);
    let report = memory.huge_pages().unwrap();
    println!("  {report}");
    assert_eq!((report.wish, report.page_size, report.resident_bytes), (HugeWish::Welcome, 4096, 4 * HUGE));
    Ok(())
}

/// Memory whose pages may be missing when they are touched is refused; a file of them is used by accesses
/// that can fail.
fn pool_that_runs_empty_is_an_error_or_no_space() -> Verdict {
    let _pool = HugePool::with_free(2)?;
    let error = reserved().commitment(Commitment::NotCharged).memory(64 * HUGE).unwrap_err();
    println!("  {error}");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let mount = Mount::new("hugetlbfs", Path::new("none"), "pagesize=2M")?;
    let path = mount.path().join("file");
    File::create_new(&path).unwrap().set_len(u64::try_from(64 * HUGE).unwrap()).unwrap();
    let error = Map::open_mut(&path).unwrap_err();
    println!("  {error}");
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    let map = MapOptions::new().commitment(Commitment::NotCharged).open_mut(&path).unwrap();
    let fault = map.view().fill(.., 1).unwrap_err();
    println!("  {fault}");
    assert_eq!((fault.kind(), fault.offset() % HUGE), (FaultKind::NoSpace, 0));
    assert!(fault.offset() >= 2 * HUGE, "{fault}");
    Ok(())
}

fn file_of_huge_pages_is_mapped_at_any_offset() -> Verdict {
    let _pool = HugePool::with_free(4)?;
    let mount = Mount::new("hugetlbfs", Path::new("none"), "pagesize=2M")?;
    let path = mount.path().join("file");
    let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    file.set_len(u64::try_from(3 * HUGE).unwrap()).unwrap();
    let whole = Map::open_mut(&path).unwrap();
    let part = MapOptions::new().offset(5_000).len(2 * HUGE).open(&path).unwrap();
    whole.view().store(5_000, 0x0123_4567_89AB_CDEFu64).unwrap();
    assert_eq!(part.view().load::<u64>(0).unwrap(), 0x0123_4567_89AB_CDEF);
    assert!(part.huge_pages().unwrap().is_all_huge());
    whole.flush(..).unwrap();
    file.set_len(u64::try_from(HUGE).unwrap()).unwrap();
    let fault = part.view().load::<u64>(HUGE).unwrap_err();
    assert_eq!(
        (fault.kind(), fault.file_offset()),
        (FaultKind::Truncated, u64::try_from(HUGE + 5_000).unwrap())
    );
    Ok(())
}

fn transparent_huge_pages_are_counted_as_the_kernel_counts_them() {
    // A guard on either side: the kernel must not merge it with a neighbour.
    let of = |wanted: HugePages| {
        let mut memory: Memory = MapOptions::new().huge_pages(wanted).guard(4096).memory(8 * HUGE).unwrap();
        memory.fill(7);
        let report: HugeReport = memory.huge_pages().unwrap();
        let counted = own_maps::at(memory.as_ptr().addr()).unwrap();
        let counted = (counted.bytes("AnonHugePages"), counted.bytes("Rss"));
        assert_eq!((report.huge_bytes, report.resident_bytes), counted, "{report:?}");
        println!("  {wanted:?}: {report}");
        report
    };
    assert_eq!(of(HugePages::Transparent).wish, HugeWish::Welcome);
    let never = of(HugePages::Never);
    assert_eq!((never.wish, never.huge_bytes), (HugeWish::Unwelcome, 0));
}

const SECRET: u64 = 0x5EC2_E75E_C2E7_5EC2;

/// Keeps a word in secret memory and one in plain memory, and tells where.
fn keep_secret(parent: &mut Parent) {
    let secret = match MapOptions::new().secret_memory(4096) {
        Ok(secret) => secret,
        Err(error) => return parent.say(format!("{:?}: {error}", error.kind())),
    };
    let plain = MapOptions::new().shared_memory(4096).unwrap();
    for map in [&secret, &plain] {
        map.view().store(8, SECRET).unwrap();
        assert_eq!(map.view().load::<u64>(8).unwrap(), SECRET);
    }
    parent.say(format!("{} {}", secret.as_ptr().addr() + 8, plain.as_ptr().addr() + 8));
    parent.wait_for_the_end();
}

fn secret_memory_is_hidden_from_others() -> Verdict {
    let mut keeper = Process::start(role!(keep_secret), &[]);
    let said = keeper.hear();
    if let Some(why) = said.strip_prefix("Unsupported: ") {
        assert!(why.contains("secretmem"), "{why}");
        return Err(Skip::new(Need::Secret, why));
    }
    let places: Vec<u64> = said.split(' ').map(|place| place.parse().unwrap()).collect();
    let memory = File::open(format!("/proc/{}/mem", keeper.id())).unwrap();
    let mut word = [0; 8];
    memory.read_exact_at(&mut word, places[1]).unwrap();
    assert_eq!(u64::from_ne_bytes(word), SECRET, "plain memory can be read by others");
    let refused = memory.read_exact_at(&mut word, places[0]);
    assert!(refused.is_err(), "secret memory was read: {word:02x?}");
    Ok(())
}

fn sealed_map_serves_faults_for_ever() -> Verdict {
    let folder = scratch::folder();
    let path = scratch::file(&folder, "file", &[7; 8192]);
    let sealed = match Map::open(&path).unwrap().seal() {
        Ok(sealed) => sealed,
        Err(error) if error.kind() == ErrorKind::Unsupported => return Err(Skip::new(Need::Mseal, error)),
        Err(error) => panic!("{error}"),
    };
    let view = sealed.view();
    File::options().write(true).open(&path).unwrap().set_len(4096).unwrap();
    // It outlives its scope, so any thread may have the view.
    std::thread::spawn(move || {
        assert_eq!(view.load::<u8>(4095).unwrap(), 7);
        assert_eq!(view.load::<u8>(4096).unwrap_err().kind(), FaultKind::Truncated);
    })
    .join()
    .unwrap();
    Ok(())
}
