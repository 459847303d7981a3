//! io_uring, as somebody would use it who reaches for the `io-uring` crate directly.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use io_uring::{IoUring, cqueue, opcode, squeue, types};

use super::sum;

/// Reads blocks of `block` bytes at `offsets` into `into`, one after the other, `depth` at a time.
pub(crate) fn read_blocks(
    file: &File,
    offsets: &[u64],
    block: usize,
    depth: usize,
    into: &mut [u8],
) -> io::Result<()> {
    assert_eq!(into.len(), offsets.len() * block, "the buffer has room for exactly the blocks");
    let mut ring = IoUring::new(depth as u32)?;
    let mut reads =
        offsets.iter().zip(into.chunks_exact_mut(block)).map(|(&offset, buffer)| read(file, offset, buffer));
    let mut flying = 0;
    loop {
        while flying < depth
            && let Some(read) = reads.next()
        {
            // SAFETY: the buffer outlives the ring's work on it: all completions are awaited below.
            unsafe { ring.submission().push(&read) }.expect("the queue has room for its depth");
            flying += 1;
        }
        if flying == 0 {
            return Ok(());
        }
        ring.submit_and_wait(1)?;
        for completion in ring.completion() {
            expect_whole(&completion, block)?;
            flying -= 1;
        }
    }
}

/// Reads a file block by block, `buffers` holding as many as are in flight, and sums each in the file's
/// order.
pub(crate) fn sum_in_order(file: &File, len: usize, block: usize, buffers: &mut [u8]) -> io::Result<u64> {
    let depth = buffers.len() / block;
    let mut ring = IoUring::new(depth as u32)?;
    let mut arrived = vec![false; depth];
    let mut total = 0u64;
    let submit = |ring: &mut IoUring, number: usize, buffers: &mut [u8]| {
        let slot = number % depth;
        let read = read(file, (number * block) as u64, &mut buffers[slot * block..][..block]);
        // SAFETY: the buffer is not looked at until its completion has arrived, and outlives the ring.
        unsafe { ring.submission().push(&read.user_data(slot as u64)) }
            .expect("the queue has room for its depth");
    };
    let blocks = len / block;
    for number in 0..depth.min(blocks) {
        submit(&mut ring, number, buffers);
    }
    for number in 0..blocks {
        let slot = number % depth;
        while !arrived[slot] {
            ring.submit_and_wait(1)?;
            for completion in ring.completion() {
                expect_whole(&completion, block)?;
                arrived[completion.user_data() as usize] = true;
            }
        }
        total = total.wrapping_add(sum(&buffers[slot * block..][..block]));
        arrived[slot] = false;
        if number + depth < blocks {
            submit(&mut ring, number + depth, buffers);
            ring.submit()?;
        }
    }
    Ok(total)
}

fn read(file: &File, offset: u64, buffer: &mut [u8]) -> squeue::Entry {
    let len = u32::try_from(buffer.len()).expect("a block is less than 4 GiB");
    opcode::Read::new(types::Fd(file.as_raw_fd()), buffer.as_mut_ptr(), len).offset(offset).build()
}

fn expect_whole(completion: &cqueue::Entry, block: usize) -> io::Result<()> {
    match usize::try_from(completion.result()) {
        Ok(read) if read == block => Ok(()),
        Ok(read) => Err(io::Error::other(format!("{read} bytes of {block} were read"))),
        Err(_) => Err(io::Error::from_raw_os_error(-completion.result())),
    }
}
