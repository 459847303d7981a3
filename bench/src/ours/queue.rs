//! Queues of values, one to one: a segment a direction, made by the side that sends.

use anyhow::{Context, Result, ensure};
use mapwright::share::{Queue, QueueOptions, Receiver, Sender};

use super::{DIRECTIONS, make, open};
use crate::harness::Stage;
use crate::rival::{Link, Shape};

/// As few as there can be in flight, and not fewer than this: what is used again soon is in both caches.
const PLACES: usize = 2;
/// What is sent and received at once where that is done.
const BATCH: usize = 32;

/// Values of exactly `WORDS` words, one at a time.
pub(crate) struct Values<const WORDS: usize> {
    sender: Sender<[u64; WORDS]>,
    receiver: Option<Receiver<[u64; WORDS]>>,
}

impl<const WORDS: usize> Link for Values<WORDS> {
    fn make(stage: &Stage, shape: Shape) -> Result<Self> {
        let options = QueueOptions::new(shape.depth.max(PLACES));
        let queue: Queue<[u64; WORDS]> = make(&stage.folder, DIRECTIONS[stage.side], options)?;
        Ok(Self { sender: queue.sender()?, receiver: None })
    }

    fn connect(&mut self, stage: &Stage) -> Result<()> {
        let queue: Queue<[u64; WORDS]> = open(&stage.folder, DIRECTIONS[1 - stage.side])?;
        self.receiver = Some(queue.receiver()?);
        Ok(())
    }

    fn send(&mut self, words: usize, fill: impl FnOnce(&mut [u64])) -> Result<()> {
        ensure!(words == WORDS, "this queue has values of {WORDS} words, not of {words}");
        let mut value = [0; WORDS];
        fill(&mut value);
        Ok(self.sender.send(&value)?)
    }

    fn receive<R>(&mut self, mut look: impl FnMut(&[u64]) -> R) -> Result<R> {
        let receiver = self.receiver.as_mut().context("connect before you receive")?;
        Ok(look(&receiver.receive()?))
    }
}

/// The same, many at a time.
pub(crate) struct Gathered<const WORDS: usize> {
    values: Values<WORDS>,
    outgoing: Vec<[u64; WORDS]>,
    incoming: Vec<[u64; WORDS]>,
    looked: usize,
}

impl<const WORDS: usize> Link for Gathered<WORDS> {
    fn make(stage: &Stage, shape: Shape) -> Result<Self> {
        let batch = || Vec::with_capacity(BATCH);
        Ok(Self { values: Values::make(stage, shape)?, outgoing: batch(), incoming: batch(), looked: 0 })
    }

    fn connect(&mut self, stage: &Stage) -> Result<()> {
        self.values.connect(stage)
    }

    fn send(&mut self, words: usize, fill: impl FnOnce(&mut [u64])) -> Result<()> {
        ensure!(words == WORDS, "this queue has values of {WORDS} words, not of {words}");
        if self.outgoing.len() == BATCH {
            self.flush()?;
        }
        self.outgoing.push([0; WORDS]);
        fill(self.outgoing.last_mut().context("it was pushed just now")?);
        Ok(())
    }

    fn receive<R>(&mut self, mut look: impl FnMut(&[u64]) -> R) -> Result<R> {
        if self.looked == self.incoming.len() {
            let receiver = self.values.receiver.as_mut().context("connect before you receive")?;
            self.incoming.clear();
            self.looked = 0;
            // Waits for the first one, and takes what else is there.
            self.incoming.push(receiver.receive()?);
            match receiver.receive_many(&mut self.incoming, BATCH - 1) {
                Ok(_) | Err(mapwright::share::ReceiveError::Empty) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.looked += 1;
        Ok(look(&self.incoming[self.looked - 1]))
    }

    fn flush(&mut self) -> Result<()> {
        let mut rest = &self.outgoing[..];
        while let Some((first, others)) = rest.split_first() {
            // Waits for room for the first one, and sends what else there is room for.
            self.values.sender.send(first)?;
            let sent = match self.values.sender.send_many(others) {
                Ok(sent) => sent,
                Err(mapwright::share::SendError::Full) => 0,
                Err(error) => return Err(error.into()),
            };
            rest = &others[sent..];
        }
        self.outgoing.clear();
        Ok(())
    }
}
