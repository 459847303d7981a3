//! ringfire: rings of values of one size, and of blobs beside a ring, in a file in shared memory.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use ringfire::spmc::FlowControl;
use ringfire::{
    BlobConsumer, BlobProducer, BusySpin, FutexWait, RingConsumer, RingProducer, RingProducerBuilder,
    WaitStrategy,
};

use super::link::{Link, Shape};
use super::words_of;
use crate::harness::Stage;

fn path(stage: &Stage, side: usize) -> PathBuf {
    stage.folder.join(["there", "back"][side])
}

/// How the receiver waits.
pub(crate) trait Wait {
    type Strategy: WaitStrategy;
    fn strategy() -> Self::Strategy;
}

/// Spins without end: its fastest.
pub(crate) struct Spin;

impl Wait for Spin {
    type Strategy = BusySpin;
    fn strategy() -> BusySpin {
        BusySpin::new()
    }
}

/// Spins for a while and then sleeps: its default.
pub(crate) struct Adaptive;

impl Wait for Adaptive {
    type Strategy = FutexWait;
    fn strategy() -> FutexWait {
        FutexWait::default()
    }
}

/// Sleeps at once.
pub(crate) struct Sleep;

impl Wait for Sleep {
    type Strategy = FutexWait;
    fn strategy() -> FutexWait {
        FutexWait::new(0, None)
    }
}

/// Messages of exactly `WORDS` words.
pub(crate) struct Ringfire<const WORDS: usize, W: Wait> {
    producer: RingProducer<[u64; WORDS]>,
    consumer: Option<RingConsumer<[u64; WORDS]>>,
    wait: W::Strategy,
}

/// A ring that loses nothing where several messages may be on their way.
///
/// # Errors
/// Where it cannot be made.
pub(crate) fn ring<const WORDS: usize>(stage: &Stage, shape: Shape) -> Result<RingProducer<[u64; WORDS]>> {
    let lossless = shape.depth > 1;
    let flow = if lossless { FlowControl::LosslessBackpressure } else { FlowControl::LossyLatestWins };
    let depth = shape.depth.max(2) as u64;
    Ok(RingProducerBuilder::new(depth).flow_control(flow).build(path(stage, stage.side))?)
}

/// The other side's ring.
///
/// # Errors
/// Where it cannot be attached.
pub(crate) fn attach<const WORDS: usize>(stage: &Stage) -> Result<RingConsumer<[u64; WORDS]>> {
    Ok(RingConsumer::builder().start_from_oldest().attach(path(stage, 1 - stage.side))?)
}

impl<const WORDS: usize, W: Wait> Link for Ringfire<WORDS, W> {
    fn make(stage: &Stage, shape: Shape) -> Result<Self> {
        Ok(Self { producer: ring(stage, shape)?, consumer: None, wait: W::strategy() })
    }

    fn connect(&mut self, stage: &Stage) -> Result<()> {
        self.consumer = Some(attach(stage)?);
        Ok(())
    }

    fn send(&mut self, words: usize, fill: impl FnOnce(&mut [u64])) -> Result<()> {
        ensure!(words == WORDS, "this ring has messages of {WORDS} words, not of {words}");
        let mut message = [0; WORDS];
        fill(&mut message);
        self.producer.push(&message);
        Ok(())
    }

    fn receive<R>(&mut self, mut look: impl FnMut(&[u64]) -> R) -> Result<R> {
        let consumer = self.consumer.as_mut().context("connect before you receive")?;
        Ok(look(&consumer.recv_blocking(&mut self.wait)))
    }
}

/// Messages of any size, written and looked at in its arena.
pub(crate) struct RingfireBlobs {
    producer: BlobProducer<u64>,
    consumer: Option<BlobConsumer<u64>>,
    shape: Shape,
    sent: u64,
}

impl Link for RingfireBlobs {
    fn make(stage: &Stage, shape: Shape) -> Result<Self> {
        let slots = shape.depth.max(64);
        // Twice the room that the messages on their way need: it does not wait for readers by itself.
        let arena = (slots * shape.words * 8 * 2).next_power_of_two();
        let producer = BlobProducer::create(path(stage, stage.side), slots as u64, arena)?;
        Ok(Self { producer, consumer: None, shape, sent: 0 })
    }

    fn connect(&mut self, stage: &Stage) -> Result<()> {
        self.consumer = Some(BlobConsumer::attach(path(stage, 1 - stage.side))?);
        Ok(())
    }

    fn send(&mut self, words: usize, fill: impl FnOnce(&mut [u64])) -> Result<()> {
        while self.shape.depth > 1 && self.producer.reader_lag() + 1 >= self.shape.depth as u64 {
            std::hint::spin_loop();
        }
        self.sent += 1;
        self.producer.push_with(&self.sent, words * 8, |bytes| fill(words_of_mut(bytes)))?;
        Ok(())
    }

    fn receive<R>(&mut self, mut look: impl FnMut(&[u64]) -> R) -> Result<R> {
        let consumer = self.consumer.as_mut().context("connect before you receive")?;
        loop {
            if let Some(result) = consumer.view(|_, bytes| look(words_of(bytes)))? {
                return Ok(result);
            }
            std::hint::spin_loop();
        }
    }
}

fn words_of_mut(bytes: &mut [u8]) -> &mut [u64] {
    // SAFETY: any bytes are words.
    let (before, words, after) = unsafe { bytes.align_to_mut::<u64>() };
    assert!(before.is_empty() && after.is_empty(), "the arena gives aligned room");
    words
}
