//! A file system that fails: reads and write-back that end in an I/O error, and a device that goes away.

use crate::support::failing_fs::{FailingFs, Operation, When};
use crate::support::scratch;
use crate::support::suite::{Verdict, suite};
use mapwright::{DirectOptions, ErrorKind, FaultKind, Map, MapOptions, Populate};
use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;

suite!(
    tests: [
        unreadable_page_is_io_with_its_offset,
        bytes_before_the_unreadable_page_are_delivered,
        store_into_an_unreadable_page_is_io,
        other_errors_keep_their_number,
        page_that_becomes_readable_is_read,
        populating_what_cannot_be_read_is_an_error,
        search_finds_what_lies_before_the_unreadable_page,
        direct_reads_in_flight_fail_with_their_offset,
        unplugged_device_is_a_fault,
        failed_write_back_is_an_error_of_flush,
    ],
    roles: [],
);

const LENGTH: usize = 256 << 10;
/// The first byte that cannot be read.
const BAD: usize = 16 * 4096;

/// A file whose second half cannot be read.
fn half_bad() -> Result<FailingFs, crate::support::skip::Skip> {
    let fs = FailingFs::with_file_of(LENGTH)?;
    fs.fail(Operation::Read, When::From(u64::try_from(BAD).unwrap()), libc::EIO);
    Ok(fs)
}

fn unreadable_page_is_io_with_its_offset() -> Verdict {
    let fs = half_bad()?;
    let map = MapOptions::new().offset(1000).open(fs.file()).unwrap();
    let view = map.view().sub(500..).unwrap();
    for at in [BAD - 1500, BAD - 1500 + 4096 + 7, LENGTH - 1500 - 8] {
        let fault = view.load::<u64>(at).unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Io, "{fault}");
        assert_eq!(fault.raw_os_error(), Some(libc::EIO));
        assert_eq!(fault.offset(), at);
        assert_eq!(fault.file_offset(), u64::try_from(at + 1500).unwrap());
    }
    let across = view.load::<u64>(BAD - 1500 - 4).unwrap_err();
    assert_eq!((across.kind(), across.file_offset()), (FaultKind::Io, u64::try_from(BAD).unwrap()));
    Ok(())
}

fn bytes_before_the_unreadable_page_are_delivered() -> Verdict {
    let fs = half_bad()?;
    let map = Map::open(fs.file()).unwrap();
    let mut buffer = vec![0; LENGTH];
    let fault = map.view().copy_to(0, &mut buffer).unwrap_err();
    assert_eq!((fault.kind(), fault.offset()), (FaultKind::Io, BAD));
    assert!(buffer[..BAD] == scratch::pattern(BAD));

    let mut read = Vec::new();
    let error = map.view().cursor().read_to_end(&mut read).unwrap_err();
    assert!(error.to_string().contains("65536"), "{error}");
    assert!(read == scratch::pattern(BAD), "{} bytes were read", read.len());

    let mut chunks = map.view().chunks(4096);
    let (mut good, mut bad) = (0, 0);
    while let Some(chunk) = chunks.next_chunk() {
        if chunk.is_ok() { good += 1 } else { bad += 1 }
    }
    assert_eq!((good, bad), (BAD / 4096, (LENGTH - BAD) / 4096));
    Ok(())
}

fn store_into_an_unreadable_page_is_io() -> Verdict {
    let fs = half_bad()?;
    let map = Map::open_mut(fs.file()).unwrap();
    map.view().store(BAD - 8, 1u64).unwrap();
    let fault = map.view().store(BAD + 4, 1u8).unwrap_err();
    assert_eq!((fault.kind(), fault.offset()), (FaultKind::Io, BAD + 4));
    let fault = map.view().fill(.., 0).unwrap_err();
    assert_eq!((fault.kind(), fault.offset()), (FaultKind::Io, BAD));
    Ok(())
}

fn other_errors_keep_their_number() -> Verdict {
    for errno in [libc::EREMOTEIO, libc::ETIMEDOUT, libc::EUCLEAN] {
        let fs = FailingFs::with_file_of(LENGTH)?;
        fs.fail(Operation::Read, When::From(0), errno);
        let map = Map::open(fs.file()).unwrap();
        let fault = map.view().load::<u8>(0).unwrap_err();
        assert_eq!((fault.kind(), fault.raw_os_error()), (FaultKind::Io, Some(errno)));
    }
    Ok(())
}

fn page_that_becomes_readable_is_read() -> Verdict {
    let fs = half_bad()?;
    let map = Map::open(fs.file()).unwrap();
    assert_eq!(map.view().load::<u8>(BAD).unwrap_err().kind(), FaultKind::Io);
    fs.heal();
    assert_eq!(map.view().load::<u8>(BAD).unwrap(), scratch::pattern_at(BAD));
    Ok(())
}

fn populating_what_cannot_be_read_is_an_error() -> Verdict {
    let fs = half_bad()?;
    let error = MapOptions::new().populate(Populate::Now).open(fs.file()).unwrap_err();
    assert!(error.to_string().contains("data"), "{error}");
    Ok(())
}

fn search_finds_what_lies_before_the_unreadable_page() -> Verdict {
    let fs = half_bad()?;
    let map = Map::open(fs.file()).unwrap();
    let pattern = scratch::pattern(LENGTH);
    let before = BAD - 64;
    assert_eq!(map.view().find(&pattern[before..BAD]).unwrap(), Some(before));
    let fault = map.view().find(&pattern[BAD..BAD + 64]).unwrap_err();
    assert_eq!((fault.kind(), fault.offset()), (FaultKind::Io, BAD));
    Ok(())
}

fn direct_reads_in_flight_fail_with_their_offset() -> Verdict {
    let fs = half_bad()?;
    let mut queue = DirectOptions::new().depth(8).open(File::open(fs.file()).unwrap()).unwrap();
    let pattern = scratch::pattern(LENGTH);
    let blocks = |to: usize| (0..u64::try_from(to / 4096).unwrap()).map(|block| block * 4096);
    let (mut good, bad) = (0, u64::try_from(BAD).unwrap());
    let error = queue
        .read(blocks(LENGTH), |offset, bytes| {
            let from = usize::try_from(offset).unwrap();
            assert!(offset < bad && bytes == &pattern[from..from + 4096], "{offset}");
            good += 1;
            ControlFlow::Continue(())
        })
        .unwrap_err();
    assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::Io, Some(libc::EIO)), "{error}");
    let named = (BAD..LENGTH).step_by(4096).any(|at| error.to_string().contains(&format!("byte {at}:")));
    assert!(named && good <= BAD / 4096, "{error}; {good} were good");

    // Reads that were in flight when the first one failed are not in the way of later ones.
    let mut good = 0;
    let count = |_, bytes: &[u8]| {
        good += bytes.len();
        ControlFlow::Continue(())
    };
    queue.read(blocks(BAD), count).unwrap();
    assert_eq!(good, BAD);
    Ok(())
}

fn unplugged_device_is_a_fault() -> Verdict {
    let mut fs = FailingFs::with_file_of(LENGTH)?;
    let map = Map::open_mut(fs.file()).unwrap();
    assert_eq!(map.view().load::<u8>(0).unwrap(), scratch::pattern_at(0));
    fs.unplug();
    let fault = map.view().load::<u8>(LENGTH - 1).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Gone, "{fault}");
    let fault = map.view().store(LENGTH - 8, 1u64).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Gone, "{fault}");
    Ok(())
}

fn failed_write_back_is_an_error_of_flush() -> Verdict {
    let fs = FailingFs::with_file_of(LENGTH)?;
    let map = Map::open_mut(fs.file()).unwrap();
    map.view().store(0, 1u64).unwrap();
    map.flush(..).unwrap();
    fs.fail(Operation::Write, When::From(0), libc::EIO);
    map.view().store(0, 2u64).unwrap();
    let error = map.flush(..).unwrap_err();
    assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::Io, Some(libc::EIO)));
    assert!(error.to_string().contains("data"), "{error}");
    Ok(())
}
