//! Loans from a pool, whose parcels go through a queue: a segment a direction, made by the side that sends.

use std::path::Path;

use anyhow::{Context, Result};
use mapwright::share::{
    Directory, Parcel, Pool, PoolOptions, Queue, QueueOptions, Received, Receiver, Segment, Sender,
};

use super::DIRECTIONS;
use crate::harness::Stage;
use crate::rival::{Link, Shape, bytes_of, bytes_of_mut, check_sum};

/// Chunks of a pool, and parcels on their way.
const CHUNKS: usize = 8;
/// What is in a segment.
const POOL: &str = "pool";
const PARCELS: &str = "parcels";

/// Messages that are written where they stay, and read there.
pub(crate) struct Chunks {
    pool: Pool,
    sender: Sender<Parcel>,
    incoming: Option<(Pool, Receiver<Parcel>)>,
    /// What is written and read stays in the first cache, and is copied from and to the chunk.
    buffer: Vec<u64>,
}

impl Link for Chunks {
    fn make(stage: &Stage, shape: Shape) -> Result<Self> {
        let segment = Segment::builder(DIRECTIONS[stage.side])
            .directory(&stage.folder)
            .with::<Pool>(POOL, PoolOptions::new(shape.words * 8, CHUNKS))
            .with::<Queue<Parcel>>(PARCELS, QueueOptions::new(CHUNKS))
            .create()?;
        let parcels: Queue<Parcel> = segment.get(PARCELS)?;
        let (pool, sender) = (segment.get(POOL)?, parcels.sender()?);
        Ok(Self { pool, sender, incoming: None, buffer: vec![0; shape.words] })
    }

    fn connect(&mut self, stage: &Stage) -> Result<()> {
        self.incoming = Some(find(&stage.folder, DIRECTIONS[1 - stage.side])?);
        Ok(())
    }

    fn send(&mut self, words: usize, fill: impl FnOnce(&mut [u64])) -> Result<()> {
        let mut loan = self.pool.loan()?;
        let message = &mut self.buffer[..words];
        fill(message);
        loan.copy_from(bytes_of(message))?;
        let sent = loan.hand_over(|parcel| self.sender.send(&parcel));
        Ok(sent.map_err(|(error, _loan)| error)?)
    }

    fn receive<R>(&mut self, mut look: impl FnMut(&[u64]) -> R) -> Result<R> {
        let received = self.next()?;
        let message = &mut self.buffer[..received.len() / 8];
        received.read_at(0, bytes_of_mut(message))?;
        Ok(look(message))
    }

    /// Where the words are looked at one by one, they are looked at in place.
    fn receive_message(&mut self, number: u64) -> Result<()> {
        let received = self.next()?;
        let found = received.fold_words(0u64, u64::wrapping_add)?;
        check_sum(received.len() / 8, found, number)
    }
}

impl Chunks {
    fn next(&mut self) -> Result<Received> {
        let (pool, receiver) = self.incoming.as_mut().context("connect before you receive")?;
        Ok(pool.receive(receiver.receive()?)?)
    }
}

fn find(folder: &Path, name: &str) -> Result<(Pool, Receiver<Parcel>)> {
    let segment = Directory::at(folder)?.open(name)?;
    let parcels: Queue<Parcel> = segment.get(PARCELS)?;
    Ok((segment.get(POOL)?, parcels.receiver()?))
}
