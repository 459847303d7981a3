//! Block devices as arrays: their length is found by seeking, since they have none that fstat(2) tells.

use crate::support::loop_device::LoopDevice;
use crate::support::random::Random;
use crate::support::scratch;
use crate::support::suite::{Verdict, suite};
use mapwright::{ErrorKind, FaultKind, Frozen, Map, MapOptions, MapVec, StreamOptions};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

suite!(
    tests: [
        block_device_is_an_array_of_its_whole_length,
        stores_reach_the_device,
        device_is_refused_where_only_a_file_will_do,
        device_that_shrinks_gives_faults,
    ],
    roles: [],
);

/// A device ends with a sector.
const LENGTH: usize = (5 << 20) + 3 * 512;

struct Device {
    device: LoopDevice,
    file: File,
    bytes: Vec<u8>,
    _folder: tempfile::TempDir,
}

impl Device {
    fn new() -> Result<Self, crate::support::skip::Skip> {
        let (folder, bytes) = (scratch::folder(), scratch::pattern(LENGTH));
        let path = scratch::file(&folder, "image", &bytes);
        let device = LoopDevice::over(&path)?;
        let file = File::options().read(true).write(true).open(&path).unwrap();
        Ok(Self { device, file, bytes, _folder: folder })
    }
}

fn block_device_is_an_array_of_its_whole_length() -> Verdict {
    let Device { device, bytes, .. } = &Device::new()?;
    assert_eq!(std::fs::metadata(device.path()).unwrap().len(), 0, "fstat tells no length");
    let map = Map::open(device.path()).unwrap();
    assert_eq!(map.len(), LENGTH);
    assert!(map.view().equals(bytes).unwrap());
    let mut random = Random::stream(0);
    for _ in 0..20 {
        let at = random.below(LENGTH);
        let part = MapOptions::new().offset(u64::try_from(at).unwrap()).open(device.path()).unwrap();
        assert!(part.view().equals(&bytes[at..]).unwrap());
    }
    let beyond =
        MapOptions::new().offset(u64::try_from(LENGTH + 1).unwrap()).open(device.path()).unwrap_err();
    assert!(beyond.to_string().contains(&LENGTH.to_string()), "{beyond}");

    assert!(mapwright::load(device.path()).unwrap() == *bytes, "load");
    assert!(*Frozen::open(device.path()).unwrap() == **bytes, "frozen");
    let mut streamed = Vec::new();
    let mut stream = StreamOptions::new().stream(map.view());
    while let Some(chunk) = stream.next_chunk() {
        streamed.extend_from_slice(chunk.unwrap());
    }
    assert!(streamed == *bytes, "stream");
    let usage = map.cache_usage(..).unwrap();
    assert_eq!(usage.pages, u64::try_from(LENGTH.div_ceil(4096)).unwrap());
    Ok(())
}

fn stores_reach_the_device() -> Verdict {
    let Device { device, file, bytes, .. } = &Device::new()?;
    let map = Map::open_mut(device.path()).unwrap();
    map.view().fill(5_000..6_000, 0xEE).unwrap();
    map.view().write_bulk(1 << 20, &[0xEE; 100_000]).unwrap();
    let mut cursor = map.view().cursor();
    cursor.seek(SeekFrom::End(-4)).unwrap();
    assert_eq!(cursor.write(&[0xEE; 100]).unwrap(), 4);
    map.flush(..).unwrap();
    let mut expected = bytes.clone();
    expected[5_000..6_000].fill(0xEE);
    expected[1 << 20..(1 << 20) + 100_000].fill(0xEE);
    expected[LENGTH - 4..].fill(0xEE);
    let mut stored = vec![0; LENGTH];
    file.read_exact_at(&mut stored, 0).unwrap();
    assert!(stored == expected);
    Ok(())
}

fn device_is_refused_where_only_a_file_will_do() -> Verdict {
    let Device { device, .. } = &Device::new()?;
    let mut map = Map::open_mut(device.path()).unwrap();
    for error in [
        MapVec::<u64>::open(device.path()).unwrap_err(),
        map.resize(LENGTH + 4096).unwrap_err(),
        map.truncate(4096).unwrap_err(),
    ] {
        println!("  {error}");
        assert!(matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported), "{error:?}");
        assert!(error.to_string().contains(device.path().to_str().unwrap()), "{error}");
    }
    assert_eq!(map.len(), LENGTH);
    Ok(())
}

/// What lies below the device is cut. Kernels differ in what such a device answers: an error, or zeros. What
/// read(2) gets is what the map shows, page by page, and never what was there before.
fn device_that_shrinks_gives_faults() -> Verdict {
    const KEPT: usize = 1 << 20;
    let Device { device, file, bytes, .. } = &Device::new()?;
    let map = Map::open(device.path()).unwrap();
    file.set_len(u64::try_from(KEPT).unwrap()).unwrap();
    let mut seen = vec![0; KEPT];
    map.view().copy_to(0, &mut seen).unwrap();
    assert!(seen == bytes[..KEPT]);
    let plain = File::open(device.path()).unwrap();
    let (mut zeros, mut faults) = (0, 0);
    for at in (KEPT..LENGTH - 8).step_by(4096) {
        let mut word = [0xFF; 8];
        let read = plain.read_exact_at(&mut word, u64::try_from(at).unwrap());
        match (map.view().load::<[u8; 8]>(at), read) {
            (Ok(loaded), Ok(())) => {
                assert_eq!((loaded, word), ([0; 8], [0; 8]), "byte {at}");
                zeros += 1;
            }
            (Err(fault), Err(error)) => {
                assert_eq!((fault.kind(), fault.offset()), (FaultKind::Io, at), "{fault}");
                assert_eq!(fault.raw_os_error(), error.raw_os_error(), "{fault}, {error}");
                faults += 1;
            }
            (loaded, read) => panic!("byte {at}: the map gives {loaded:?}, and read(2) {read:?}"),
        }
    }
    println!("  behind the cut {zeros} pages are zeros, {faults} are faults");
    assert_eq!(zeros + faults, (LENGTH - 8 - KEPT).div_ceil(4096));
    Ok(())
}
