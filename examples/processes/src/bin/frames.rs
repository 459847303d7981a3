//! Raw video frames from one process to two others, without copies:
//! `cargo run --release -p mapwright-processes --bin frames`
//!
//! The producer draws each frame into a chunk of a pool and publishes a parcel of 16 bytes through a topic.
//! Two consumers read the same chunk in place: a recorder that must have every frame (the producer waits for
//! it), and a preview that may lose old ones (it is told how many). In the middle the preview is killed while
//! it reads, and another one takes its place; in the end every chunk is free again.
//!
//! The memory has no name: it goes to the consumers through Unix sockets, and is gone with the last of them.
//! So there is nothing to clean up after Ctrl-C or kill -9.

#![allow(clippy::print_stdout, reason = "a program that prints")]

use std::collections::VecDeque;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use mapwright::share::{
    Deadline, Event, EventOptions, Parcel, Policy, Pool, PoolOptions, ReceiveError, Segment, Start, Topic,
    TopicOptions,
};

const WIDTH: usize = 640;
const HEIGHT: usize = 360;
/// Red, green, blue.
const FRAME: usize = WIDTH * HEIGHT * 3;
/// Chunks: those on their way, one that is drawn, and one for each reader.
const CHUNKS: usize = 12;
/// Frames that a reader may be behind.
const ON_THEIR_WAY: usize = 4;
const FRAMES: u64 = if cfg!(debug_assertions) { 60 } else { 600 };

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => produce(),
        // Started by the producer, with a socket in the place of the standard input.
        ["consume", "recorder"] => consume(Policy::Block),
        ["consume", "preview"] => consume(Policy::DropOldest),
        _ => Err("usage: frames".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("frames: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Draws frames, and has them looked at by two other processes.
fn produce() -> Result<(), Box<dyn Error>> {
    let segment = Segment::anonymous("frames")
        .with::<Pool>("pool", PoolOptions::new(FRAME, CHUNKS))
        .with::<Topic<Parcel>>("frames", TopicOptions::new(ON_THEIR_WAY))
        .with::<Event>("ready", EventOptions::Auto)
        .create()?;
    let pool: Pool = segment.get("pool")?;
    let mut publisher = segment.get::<Topic<Parcel>>("frames")?.publisher()?;
    let ready: Event = segment.get("ready")?;
    let mut recorder = Consumer::start("recorder", &segment)?;
    let mut preview = Consumer::start("preview", &segment)?;
    for _ in 0..2 {
        ready.wait_until(Deadline::after(Duration::from_secs(60)))?;
    }
    let start = Instant::now();
    // A frame stays published for as long as a reader may still come to it.
    let mut published = VecDeque::new();
    for number in 0..FRAMES {
        let mut loan = pool.loan_until(Deadline::after(Duration::from_secs(60)))?;
        loan.fill(FRAME, |offset, piece| draw(number, offset, piece))?;
        let (parcel, held) = loan.publish();
        published.push_back(held);
        publisher.publish_until(&parcel, Deadline::after(Duration::from_secs(60)))?;
        if published.len() > ON_THEIR_WAY + 2 {
            published.pop_front();
        }
        if number == FRAMES / 2 {
            // Wherever it is: in the middle of a frame, most likely.
            preview.process.kill()?;
            preview.process.wait()?;
            preview = Consumer::start("preview", &segment)?;
            ready.wait_until(Deadline::after(Duration::from_secs(60)))?;
        }
    }
    // The last message: no frame.
    let took = start.elapsed();
    drop(publisher);
    let recorded = recorder.says()?;
    let previewed = preview.says()?;
    drop((recorder, preview, published));
    pool.recover()?;
    let a_second = f64::from(u32::try_from(FRAMES)?) / took.as_secs_f64();
    // An error, and no panic, where nobody reads it any more.
    writeln!(
        std::io::stdout(),
        "{FRAMES} frames of {WIDTH}x{HEIGHT}, {a_second:.0} a second, read in place by two processes\n\
         recorder: {recorded}\n\
         preview, after the first one was killed: {previewed}\n\
         {} of {CHUNKS} chunks are free",
        pool.free()
    )?;
    if pool.free() != CHUNKS || !recorded.starts_with(&format!("{FRAMES} frames")) {
        return Err("something was lost".into());
    }
    Ok(())
}

/// A frame's bytes at an offset: a pattern that moves.
fn draw(number: u64, offset: usize, piece: &mut [u8]) {
    for (index, byte) in piece.iter_mut().enumerate() {
        *byte = pixel(number, offset + index);
    }
}

fn pixel(number: u64, offset: usize) -> u8 {
    (offset / (WIDTH * 3))
        .wrapping_add(offset)
        .wrapping_add(usize::try_from(number).unwrap_or(0))
        .to_le_bytes()[0]
}

/// Reads every frame that comes, and checks it from its first byte to its last.
fn consume(policy: Policy) -> Result<(), Box<dyn Error>> {
    let _asked = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let segment = Segment::receive(&socket)?;
    let pool: Pool = segment.get("pool")?;
    let mut frames = segment.get::<Topic<Parcel>>("frames")?.subscribe(policy, Start::Newest)?;
    segment.get::<Event>("ready")?.set()?;
    let (mut seen, mut missed) = (0u64, 0u64);
    loop {
        match frames.receive_until(Deadline::after(Duration::from_secs(60))) {
            Ok(parcel) => match pool.receive(parcel) {
                Ok(frame) => {
                    let mut first = None;
                    let mut offset = 0;
                    let mut is_whole = true;
                    frame.for_each_piece(|piece| {
                        let number = *first.get_or_insert(u64::from(piece[0]));
                        is_whole &= piece
                            .iter()
                            .enumerate()
                            .all(|(index, &byte)| byte == pixel(number, offset + index));
                        offset += piece.len();
                    })?;
                    if !is_whole || offset != FRAME {
                        return Err(format!("frame {seen} is torn").into());
                    }
                    seen += 1;
                }
                // Taken back before this reader came to it.
                Err(_) => missed += 1,
            },
            Err(ReceiveError::Missed(frames)) => missed += frames,
            Err(ReceiveError::NoSender) => break,
            Err(error) => return Err(error.into()),
        }
    }
    println!("{seen} frames, {missed} missed");
    Ok(())
}

/// A consumer process, and what it says in the end.
struct Consumer {
    process: Child,
    said: BufReader<ChildStdout>,
}

impl Consumer {
    fn start(role: &str, segment: &Segment) -> Result<Self, Box<dyn Error>> {
        let (here, there) = UnixStream::pair()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["consume", role]).stdin(Stdio::from(OwnedFd::from(there))).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        segment.send(&here)?;
        let said = BufReader::new(process.stdout.take().ok_or("no standard output")?);
        Ok(Self { process, said })
    }

    fn says(&mut self) -> Result<String, Box<dyn Error>> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        self.process.wait()?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let _gone = self.process.kill().and_then(|()| self.process.wait());
    }
}
