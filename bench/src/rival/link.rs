//! Ways to send words from one process to another, driven alike by every row that sends.
//!
//! A [`Link`] sends in both directions. Payloads are written where the link wants them and looked at where
//! it has them, so that those who copy nothing need not; each is checked by its sum.

use anyhow::{Result, ensure};

use crate::harness::Stage;

/// What is sent over a link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// The most words in a message.
    pub(crate) words: usize,
    /// How many messages there may be on their way. With 1, the answer says that the message has been read.
    pub(crate) depth: usize,
}

/// One end of a way to send words.
pub(crate) trait Link: Sized {
    /// Makes what this side has to make before the other can connect.
    fn make(stage: &Stage, shape: Shape) -> Result<Self>;

    /// Connects to what the other side has made.
    fn connect(&mut self, stage: &Stage) -> Result<()>;

    /// Sends a message of so many words.
    fn send(&mut self, words: usize, fill: impl FnOnce(&mut [u64])) -> Result<()>;

    /// Waits for the next message.
    fn receive<R>(&mut self, look: impl FnMut(&[u64]) -> R) -> Result<R>;

    /// Waits for the next message, and looks at every word of it.
    ///
    /// # Errors
    /// Where it is not message `number`.
    fn receive_message(&mut self, number: u64) -> Result<()> {
        self.receive(|words| check(words, number))?
    }

    /// Sends what was held back in order to send more at once.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Opens a link from this side; the other side does the same at the same time.
pub(crate) fn open<L: Link>(stage: &mut Stage, shape: Shape) -> Result<L> {
    let mut link = L::make(stage, shape)?;
    stage.meet();
    link.connect(stage)?;
    stage.meet();
    Ok(link)
}

/// Writes the payload of message `number`: every word of every message is another one.
pub(crate) fn fill(words: &mut [u64], number: u64) {
    let first = first_word(number);
    for (place, word) in words.iter_mut().enumerate() {
        *word = first.wrapping_add(place as u64);
    }
}

/// Looks at every word of message `number`.
///
/// # Errors
/// Where one is not what was written.
pub(crate) fn check(words: &[u64], number: u64) -> Result<()> {
    check_sum(words.len(), words.iter().fold(0u64, |sum, word| sum.wrapping_add(*word)), number)
}

/// Looks at what the words of message `number` add up to.
///
/// # Errors
/// Where it is not what was written.
pub(crate) fn check_sum(words: usize, found: u64, number: u64) -> Result<()> {
    let expected = sum_of(words, number);
    ensure!(found == expected, "message {number}: its words add up to {found}, must be {expected}");
    Ok(())
}

/// What the words of message `number` add up to.
fn sum_of(words: usize, number: u64) -> u64 {
    let count = words as u64;
    first_word(number).wrapping_mul(count).wrapping_add(count * count.saturating_sub(1) / 2)
}

fn first_word(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_known_by_its_sum() {
        for words in [0, 1, 7, 1024] {
            let mut payload = vec![0; words];
            fill(&mut payload, 77);
            assert!(check(&payload, 77).is_ok());
        }
    }

    #[test]
    fn a_torn_message_is_seen() {
        let (mut payload, mut next) = ([0; 8], [0; 8]);
        fill(&mut payload, 1);
        fill(&mut next, 2);
        payload[5..].copy_from_slice(&next[5..]);
        assert!(check(&payload, 1).is_err() && check(&payload, 2).is_err());
    }
}
