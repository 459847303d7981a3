//! Records, one to one: a segment a direction, made by the side that sends.

use anyhow::{Context, Result};
use mapwright::share::{RecordReceiver, RecordSender, Records, RecordsOptions};

use super::{DIRECTIONS, make, open};
use crate::harness::Stage;
use crate::rival::{Link, Shape, bytes_of, words_of};

/// Room for records on their way: it stays in the second cache.
const ROOM: usize = 256 << 10;

/// Messages of any length.
pub(crate) struct Letters {
    sender: RecordSender,
    receiver: Option<RecordReceiver>,
    outgoing: Vec<u64>,
}

impl Link for Letters {
    fn make(stage: &Stage, shape: Shape) -> Result<Self> {
        let records: Records = make(&stage.folder, DIRECTIONS[stage.side], RecordsOptions::new(ROOM))?;
        Ok(Self { sender: records.sender()?, receiver: None, outgoing: vec![0; shape.words] })
    }

    fn connect(&mut self, stage: &Stage) -> Result<()> {
        let records: Records = open(&stage.folder, DIRECTIONS[1 - stage.side])?;
        self.receiver = Some(records.receiver()?);
        Ok(())
    }

    fn send(&mut self, words: usize, fill: impl FnOnce(&mut [u64])) -> Result<()> {
        let message = &mut self.outgoing[..words];
        fill(message);
        Ok(self.sender.send(bytes_of(message))?)
    }

    fn receive<R>(&mut self, mut look: impl FnMut(&[u64]) -> R) -> Result<R> {
        let receiver = self.receiver.as_mut().context("connect before you receive")?;
        Ok(receiver.receive_with(|bytes| look(words_of(bytes)))?)
    }
}
