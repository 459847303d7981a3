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

/// With one slot, the answer says that the message has been read. With many, their lines have time to leave
/// the receiver's cache before they are written again.
pub(crate) struct Bare<const SLOTS: usize> {
    memory: Rc<Shared>,
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
    fn slot(&self, slots: usize, stride: usize) -> usize {
        self.credit + LINES + (self.next % slots as u64) as usize * stride
    }
}

impl<const SLOTS: usize> Link for Bare<SLOTS> {
    fn make(stage: &Stage, shape: Shape) -> Result<Self> {
        let stride = (8 + shape.words * 8).next_multiple_of(64);
        assert!(LINES + stride * SLOTS <= AREA / 2, "the slots fit into their half of the memory");
        let direction = |side: usize| Direction { credit: side * (AREA / 2), next: 0, read: 0 };
        let (outgoing, incoming) = (direction(stage.side), direction(1 - stage.side));
        Ok(Self { memory: Rc::clone(&stage.memory), stride, outgoing, incoming })
    }

    fn connect(&mut self, _stage: &Stage) -> Result<()> {
        Ok(())
    }

    fn send(&mut self, words: usize, fill: impl FnOnce(&mut [u64])) -> Result<()> {
        let direction = &mut self.outgoing;
        while SLOTS > 1 && direction.next - direction.read >= SLOTS as u64 {
            direction.read = self.memory.word(direction.credit).load(Ordering::Acquire);
            std::hint::spin_loop();
        }
        let slot = direction.slot(SLOTS, self.stride);
        self.memory.change(slot + 8, words, fill);
        direction.next += 1;
        self.memory.word(slot).store(direction.next << LEN_BITS | words as u64, Ordering::Release);
        Ok(())
    }

    fn receive<R>(&mut self, mut look: impl FnMut(&[u64]) -> R) -> Result<R> {
        let direction = &mut self.incoming;
        let slot = direction.slot(SLOTS, self.stride);
        let number = direction.next + 1;
        let mut word = self.memory.word(slot).load(Ordering::Acquire);
        while word >> LEN_BITS != number {
            std::hint::spin_loop();
            word = self.memory.word(slot).load(Ordering::Acquire);
        }
        let words = (word & ((1 << LEN_BITS) - 1)) as usize;
        let result = self.memory.look(slot + 8, words, &mut look);
        direction.next = number;
        if SLOTS > 1 && number.is_multiple_of(SLOTS as u64 / 4) {
            self.memory.word(direction.credit).store(number, Ordering::Release);
        }
        Ok(result)
    }
}

/// What a ring of lines can do at best: messages of one line, none of which says anything of itself,
/// announced and given back many at a time.
pub(crate) struct BareLines {
    memory: Rc<Shared>,
    outgoing: Lines,
    incoming: Lines,
}

/// Lines of the ring: it stays in the first cache.
const PLACES: u64 = 256;
/// After how many lines the sender announces, and the receiver gives back, what it has done.
const AT_ONCE: u64 = 32;

struct Lines {
    /// Where the sender's word lies; the receiver's is two lines on, the ring four.
    control: usize,
    /// What this side has done, what it has said of that, and what it knows of the other.
    done: u64,
    said: u64,
    other: u64,
}

impl Lines {
    fn new(side: usize) -> Self {
        Self { control: side * (AREA / 2), done: 0, said: 0, other: 0 }
    }

    /// Where the next line lies.
    fn place(&self) -> usize {
        self.control + 4 * LINES + (self.done % PLACES) as usize * 64
    }

    fn step(&mut self, memory: &Shared, offset: usize) {
        self.done += 1;
        if self.done - self.said == AT_ONCE {
            self.say(memory, offset);
        }
    }

    fn say(&mut self, memory: &Shared, offset: usize) {
        self.said = self.done;
        memory.word(self.control + offset).store(self.done, Ordering::Release);
    }
}

impl Link for BareLines {
    fn make(stage: &Stage, shape: Shape) -> Result<Self> {
        assert_eq!(shape.words, 8, "a message is a line");
        let (outgoing, incoming) = (Lines::new(stage.side), Lines::new(1 - stage.side));
        Ok(Self { memory: Rc::clone(&stage.memory), outgoing, incoming })
    }

    fn connect(&mut self, _stage: &Stage) -> Result<()> {
        Ok(())
    }

    fn send(&mut self, words: usize, fill: impl FnOnce(&mut [u64])) -> Result<()> {
        let (ring, memory) = (&mut self.outgoing, &*self.memory);
        while ring.done - ring.other == PLACES {
            ring.other = memory.word(ring.control + READ).load(Ordering::Acquire);
            std::hint::spin_loop();
        }
        memory.change(ring.place(), words, fill);
        ring.step(memory, SENT);
        Ok(())
    }

    fn receive<R>(&mut self, mut look: impl FnMut(&[u64]) -> R) -> Result<R> {
        let (ring, memory) = (&mut self.incoming, &*self.memory);
        while ring.other == ring.done {
            ring.other = memory.word(ring.control + SENT).load(Ordering::Acquire);
            std::hint::spin_loop();
        }
        let result = memory.look(ring.place(), 8, &mut look);
        ring.step(memory, READ);
        Ok(result)
    }

    fn flush(&mut self) -> Result<()> {
        self.outgoing.say(&self.memory, SENT);
        Ok(())
    }
}

/// What a ring of words can do at best: messages right behind each other, announced many at a time.
pub(crate) struct BareRing {
    memory: Rc<Shared>,
    outgoing: Words,
    incoming: Words,
}

/// Words of the ring: it stays in the second cache.
const RING: u64 = 16 << 10;
/// After how many words the sender announces, and the receiver gives back, what it has done.
const STEP: u64 = 256;
/// Instead of a length: go on at the start of the ring.
const WRAP: u64 = u64::MAX;

struct Words {
    /// Where the sender's word lies; the receiver's is two lines on, the ring four.
    control: usize,
    /// What this side has done, what it has said of that, and what it knows of the other.
    done: u64,
    said: u64,
    other: u64,
}

impl Words {
    fn new(side: usize) -> Self {
        Self { control: side * (AREA / 2), done: 0, said: 0, other: 0 }
    }

    /// Where the next word lies.
    fn place(&self) -> usize {
        self.control + 4 * LINES + (self.done % RING) as usize * 8
    }

    /// How many words are left to the end of the ring.
    fn left(&self) -> u64 {
        RING - self.done % RING
    }

    fn say(&mut self, memory: &Shared, offset: usize) {
        self.said = self.done;
        memory.word(self.control + offset).store(self.done, Ordering::Release);
    }
}

const SENT: usize = 0;
const READ: usize = 2 * LINES;

impl Link for BareRing {
    fn make(stage: &Stage, shape: Shape) -> Result<Self> {
        assert!(shape.words as u64 + 1 < RING / 4, "a message is much shorter than the ring");
        let (outgoing, incoming) = (Words::new(stage.side), Words::new(1 - stage.side));
        Ok(Self { memory: Rc::clone(&stage.memory), outgoing, incoming })
    }

    fn connect(&mut self, _stage: &Stage) -> Result<()> {
        Ok(())
    }

    fn send(&mut self, words: usize, fill: impl FnOnce(&mut [u64])) -> Result<()> {
        let (ring, memory, needed) = (&mut self.outgoing, &*self.memory, words as u64 + 1);
        let wrap = if ring.left() < needed { ring.left() } else { 0 };
        while ring.done + wrap + needed - ring.other > RING {
            if ring.said != ring.done {
                ring.say(memory, SENT);
            }
            ring.other = memory.word(ring.control + READ).load(Ordering::Acquire);
            std::hint::spin_loop();
        }
        if wrap > 0 {
            memory.word(ring.place()).store(WRAP, Ordering::Relaxed);
            ring.done += wrap;
        }
        memory.word(ring.place()).store(words as u64, Ordering::Relaxed);
        memory.change(ring.place() + 8, words, fill);
        ring.done += needed;
        if ring.done - ring.said >= STEP {
            ring.say(memory, SENT);
        }
        Ok(())
    }

    fn receive<R>(&mut self, mut look: impl FnMut(&[u64]) -> R) -> Result<R> {
        let (ring, memory) = (&mut self.incoming, &*self.memory);
        loop {
            while ring.other == ring.done {
                ring.other = memory.word(ring.control + SENT).load(Ordering::Acquire);
                std::hint::spin_loop();
            }
            let words = memory.word(ring.place()).load(Ordering::Relaxed);
            if words == WRAP {
                ring.done += ring.left();
                continue;
            }
            let result = memory.look(ring.place() + 8, words as usize, &mut look);
            ring.done += words + 1;
            if ring.done - ring.said >= RING / 8 {
                ring.say(memory, READ);
            }
            return Ok(result);
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.outgoing.say(&self.memory, SENT);
        Ok(())
    }
}
