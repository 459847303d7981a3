//! Unix sockets: what everybody has used for this for forty years.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use anyhow::{Result, ensure};

use super::link::{Link, Shape};
use super::{bytes_of, bytes_of_mut};
use crate::harness::Stage;

/// What goes into one write where messages are gathered, in bytes.
const AT_ONCE: usize = 64 << 10;

/// A socket that keeps messages apart.
pub(crate) struct Packets {
    socket: File,
    buffer: Vec<u64>,
}

impl Link for Packets {
    fn make(stage: &Stage, shape: Shape) -> Result<Self> {
        Ok(Self { socket: stage.packets.try_clone()?.into(), buffer: vec![0; shape.words] })
    }

    fn connect(&mut self, _stage: &Stage) -> Result<()> {
        Ok(())
    }

    fn send(&mut self, words: usize, fill: impl FnOnce(&mut [u64])) -> Result<()> {
        fill(&mut self.buffer[..words]);
        let sent = self.socket.write(bytes_of(&self.buffer[..words]))?;
        ensure!(sent == words * 8, "{sent} of {} bytes were sent", words * 8);
        Ok(())
    }

    fn receive<R>(&mut self, mut look: impl FnMut(&[u64]) -> R) -> Result<R> {
        let read = self.socket.read(bytes_of_mut(&mut self.buffer))?;
        Ok(look(&self.buffer[..read / 8]))
    }
}

/// A socket of bytes, a length before each message. With `GATHER`, many messages are sent and read at once.
pub(crate) struct Bytes<const GATHER: bool> {
    socket: File,
    outgoing: Vec<u64>,
    pending: usize,
    incoming: Vec<u64>,
    /// The bytes of `incoming` that are read, and the words of it that are looked at.
    read: usize,
    looked: usize,
}

impl<const GATHER: bool> Link for Bytes<GATHER> {
    fn make(stage: &Stage, shape: Shape) -> Result<Self> {
        let room = (shape.words + 1).max(if GATHER { AT_ONCE / 8 } else { 0 });
        let socket = OwnedFd::try_clone(&stage.bytes)?.into();
        let (outgoing, incoming) = (vec![0; room], vec![0; room]);
        Ok(Self { socket, outgoing, pending: 0, incoming, read: 0, looked: 0 })
    }

    fn connect(&mut self, _stage: &Stage) -> Result<()> {
        Ok(())
    }

    fn send(&mut self, words: usize, fill: impl FnOnce(&mut [u64])) -> Result<()> {
        if self.pending + 1 + words > self.outgoing.len() {
            self.flush()?;
        }
        let message = &mut self.outgoing[self.pending..self.pending + 1 + words];
        message[0] = words as u64;
        fill(&mut message[1..]);
        self.pending += 1 + words;
        if GATHER { Ok(()) } else { self.flush() }
    }

    fn receive<R>(&mut self, mut look: impl FnMut(&[u64]) -> R) -> Result<R> {
        loop {
            let ready = &self.incoming[self.looked..self.read / 8];
            if let Some((&words, rest)) = ready.split_first()
                && let Some(message) = rest.get(..words as usize)
            {
                let result = look(message);
                self.looked += 1 + words as usize;
                return Ok(result);
            }
            self.make_room();
            let read = self.socket.read(&mut bytes_of_mut(&mut self.incoming)[self.read..])?;
            ensure!(read > 0, "the other side has closed the socket");
            self.read += read;
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.socket.write_all(bytes_of(&self.outgoing[..self.pending]))?;
        self.pending = 0;
        Ok(())
    }
}

impl<const GATHER: bool> Bytes<GATHER> {
    /// Moves the beginning of a message to the front.
    fn make_room(&mut self) {
        let looked = self.looked * 8;
        bytes_of_mut(&mut self.incoming).copy_within(looked..self.read, 0);
        (self.read, self.looked) = (self.read - looked, 0);
    }
}
