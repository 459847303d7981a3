//! A position that moves: `Read`, `BufRead`, `Seek`, and `Write` where the map can be written.

use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};

use super::View;
use crate::error::Fault;
use crate::map::{Access, Readable, Writable};

/// How much `BufRead` copies at once.
const BLOCK: usize = 64 << 10;

/// A position in a view; made by [`View::cursor`].
///
/// Reading at the end gives 0 bytes; writing at the end gives 0 bytes too, for a view does not grow. A fault
/// becomes an [`io::Error`] that holds it; bytes before the faulting one are delivered first.
///
/// ```
/// use std::io::{BufRead, Read, Seek, SeekFrom, Write};
/// # use mapwright_core::MapOptions;
/// let map = MapOptions::new().shared_memory(4096)?;
/// let mut cursor = map.view().cursor();
/// writeln!(cursor, "first line")?;
/// writeln!(cursor, "second line")?;
/// cursor.seek(SeekFrom::Start(0))?;
/// let mut line = String::new();
/// cursor.read_line(&mut line)?;
/// assert_eq!(line, "first line\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cursor<'map, A: Access> {
    view: View<'map, A>,
    position: u64,
    /// Bytes copied ahead for `BufRead`: those from `taken` on stand at `position`.
    ahead: Vec<u8>,
    taken: usize,
}

impl<'map, A: Readable> Cursor<'map, A> {
    pub(super) fn new(view: View<'map, A>) -> Self {
        Self { view, position: 0, ahead: Vec::new(), taken: 0 }
    }

    /// Returns the position, which may lie beyond the end.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Moves to a position, which may lie beyond the end.
    ///
    /// ```
    /// use std::io::Read;
    /// # use mapwright_core::Map;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, b"four words of text").unwrap();
    /// let map = Map::open(&path)?;
    /// let mut cursor = map.view().cursor();
    /// cursor.set_position(14);
    /// let mut text = String::new();
    /// cursor.read_to_string(&mut text)?;
    /// assert_eq!((text.as_str(), cursor.position(), cursor.view().len()), ("text", 18, 18));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_position(&mut self, position: u64) {
        self.forget_ahead();
        self.position = position;
    }

    /// Returns the view that the cursor moves in.
    #[must_use]
    pub fn view(&self) -> View<'map, A> {
        self.view
    }

    /// The position inside the view, and how many bytes follow.
    fn place(&self) -> (usize, usize) {
        let at = usize::try_from(self.position).unwrap_or(usize::MAX).min(self.view.len());
        (at, self.view.len() - at)
    }

    fn advance(&mut self, bytes: usize) {
        self.position = self.position.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    fn forget_ahead(&mut self) {
        self.ahead.clear();
        self.taken = 0;
    }
}

/// How many bytes were moved before a fault; the fault itself if it was none.
fn before(fault: Fault, at: usize) -> io::Result<usize> {
    match fault.offset().saturating_sub(at) {
        0 => Err(fault.into()),
        done => Ok(done),
    }
}

impl<A: Readable> Read for Cursor<'_, A> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let waiting = self.ahead.len() - self.taken;
        let done = if waiting > 0 {
            let count = waiting.min(buffer.len());
            buffer[..count].copy_from_slice(&self.ahead[self.taken..self.taken + count]);
            self.taken += count;
            count
        } else {
            let (at, left) = self.place();
            let count = left.min(buffer.len());
            let part = &mut buffer[..count];
            match self.view.copy_to(at, part) {
                Ok(()) => part.len(),
                Err(fault) => before(fault, at)?,
            }
        };
        self.advance(done);
        Ok(done)
    }
}

impl<A: Readable> BufRead for Cursor<'_, A> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken == self.ahead.len() {
            self.forget_ahead();
            let (at, left) = self.place();
            self.ahead.resize(BLOCK.min(left), 0);
            if let Err(fault) = self.view.copy_to(at, &mut self.ahead) {
                let good = before(fault, at);
                self.ahead.truncate(*good.as_ref().unwrap_or(&0));
                good?;
            }
        }
        Ok(&self.ahead[self.taken..])
    }

    fn consume(&mut self, bytes: usize) {
        let bytes = bytes.min(self.ahead.len() - self.taken);
        self.taken += bytes;
        self.advance(bytes);
    }
}

impl<A: Writable> Write for Cursor<'_, A> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.forget_ahead();
        let (at, left) = self.place();
        let part = &buffer[..left.min(buffer.len())];
        let done = match self.view.copy_from(at, part) {
            Ok(()) => part.len(),
            Err(fault) => before(fault, at)?,
        };
        self.advance(done);
        Ok(done)
    }

    /// Does nothing: what was stored is in the map. To make it durable, flush the map.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<A: Readable> Seek for Cursor<'_, A> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let end = u64::try_from(self.view.len()).unwrap_or(u64::MAX);
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(distance) => end.checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        let target = target.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "cannot seek: the position is negative or overflows")
        })?;
        self.set_position(target);
        Ok(target)
    }
}
