//! Bare shared memory: what the hardware does when nobody asks for safety. The limit of every link.
//!
//! A slot is a word with the message's number and length, and the payload right behind it: 56 bytes and the
//! word are one cache line. No owner, no recovery, no wake, one sender, one receiver.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use anyhow::Result;

use super::link::{Link, Shape};
use crate::harness::{AREA, Shared, Stage};

/// The low bits of the slot's word are the length.
const LEN_BITS: u32 = 16;
/// Two lines: processors fetch them in pairs.
const LINES: usize = 128;

pub(crate) struct Bare {
    memory: Rc<Shared>,
    shape: Shape,
    stride: usize,
    outgoing: Direction,
    incoming: Direction,
}

struct Direction {
    /// Where the word lies in which the receiver says how many it has read; the slots are behind it.
    credit: usize,
    next: u64,
    /// What the receiver has said last.
    read: u64,
}

impl Direction {
    fn slot(&self, shape: Shape, stride: usize) -> usize {
        self.credit + LINES + (self.next % shape.depth as u64) as usize * stride
    }
}

impl Link for Bare {
    fn make(stage: &Stage, shape: Shape) -> Result<Self> {
        let stride = (8 + shape.words * 8).next_multiple_of(64);
        assert!(LINES + stride * shape.depth <= AREA / 2, "the slots fit into their half of the memory");
        let direction = |side: usize| Direction { credit: side * (AREA / 2), next: 0, read: 0 };
        let (outgoing, incoming) = (direction(stage.side), direction(1 - stage.side));
        Ok(Self { memory: Rc::clone(&stage.memory), shape, stride, outgoing, incoming })
    }

    fn connect(&mut self, _stage: &Stage) -> Result<()> {
        Ok(())
    }

    fn send(&mut self, words: usize, fill: impl FnOnce(&mut [u64])) -> Result<()> {
        let direction = &mut self.outgoing;
        while self.shape.depth > 1 && direction.next - direction.read >= self.shape.depth as u64 {
            direction.read = self.memory.word(direction.credit).load(Ordering::Acquire);
            std::hint::spin_loop();
        }
        let slot = direction.slot(self.shape, self.stride);
        self.memory.change(slot + 8, words, fill);
        direction.next += 1;
        self.memory.word(slot).store(direction.next << LEN_BITS | words as u64, Ordering::Release);
        Ok(())
    }

    fn receive<R>(&mut self, mut look: impl FnMut(&[u64]) -> R) -> Result<R> {
        let direction = &mut self.incoming;
        let slot = direction.slot(self.shape, self.stride);
        let number = direction.next + 1;
        let mut word = self.memory.word(slot).load(Ordering::Acquire);
        while word >> LEN_BITS != number {
            std::hint::spin_loop();
            word = self.memory.word(slot).load(Ordering::Acquire);
        }
        let words = (word & ((1 << LEN_BITS) - 1)) as usize;
        let result = self.memory.look(slot + 8, words, &mut look);
        direction.next = number;
        if number.is_multiple_of((self.shape.depth as u64 / 4).max(1)) && self.shape.depth > 1 {
            self.memory.word(direction.credit).store(number, Ordering::Release);
        }
        Ok(result)
    }
}
