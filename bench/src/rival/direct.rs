//! Threads that read a file in parallel, bypassing the page cache.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use super::sum;

/// Each thread takes the next block, reads it into its own buffer and sums it itself. `buffers` gives one a
/// thread; `len` is a multiple of the buffers' size.
pub(crate) fn sum_by_threads(file: &File, len: usize, block: usize, buffers: &mut [u8]) -> io::Result<u64> {
    let next = AtomicUsize::new(0);
    let work = |buffer: &mut [u8]| -> io::Result<u64> {
        let mut total = 0u64;
        loop {
            let offset = next.fetch_add(block, Ordering::Relaxed);
            if offset >= len {
                return Ok(total);
            }
            file.read_exact_at(buffer, offset as u64)?;
            total = total.wrapping_add(sum(buffer));
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> =
            buffers.chunks_exact_mut(block).map(|buffer| scope.spawn(|| work(buffer))).collect();
        threads.into_iter().try_fold(0u64, |total, thread| {
            Ok(total.wrapping_add(thread.join().expect("a reading thread does not panic")?))
        })
    })
}

/// Threads only read; the caller sums the blocks in the file's order, as one who parses a file must.
/// `buffers` gives two a thread; `len` is a multiple of what all buffers hold.
pub(crate) fn sum_by_readers(file: &File, len: usize, block: usize, buffers: &mut [u8]) -> io::Result<u64> {
    thread::scope(|scope| {
        let threads = buffers.len() / (2 * block);
        let mut readers = Vec::new();
        for (place, pair) in buffers.chunks_exact_mut(2 * block).enumerate() {
            let (to_reader, empty) = mpsc::sync_channel::<&mut [u8]>(2);
            let (filled, from_reader) = mpsc::sync_channel::<io::Result<&mut [u8]>>(2);
            for buffer in pair.chunks_exact_mut(block) {
                to_reader.send(buffer).expect("the reader's end is still here");
            }
            scope.spawn(move || {
                for offset in (place * block..len).step_by(threads * block) {
                    let Ok(buffer) = empty.recv() else { return };
                    let result = file.read_exact_at(buffer, offset as u64);
                    if filled.send(result.map(|()| buffer)).is_err() {
                        return;
                    }
                }
            });
            readers.push((to_reader, from_reader));
        }
        let mut total = 0u64;
        for number in 0..len / block {
            let (to_reader, from_reader) = &readers[number % threads];
            let buffer = from_reader.recv().expect("a reader sends as many blocks as it has")?;
            total = total.wrapping_add(sum(buffer));
            // The last buffers find their reader gone: it has nothing left to read.
            let _unneeded = to_reader.send(buffer);
        }
        Ok(total)
    })
}
