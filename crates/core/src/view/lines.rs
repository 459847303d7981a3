//! Walking the lines of a view.

use super::View;
use crate::error::{Fault, Result};
use crate::map::{Access, Readable};

/// How much is copied at once.
const BLOCK: usize = 64 << 10;

/// The lines of a view, without their line feeds; made by [`View::lines`].
///
/// [`next_line`](Self::next_line) lends each line from one buffer; as an `Iterator` it gives owned lines.
/// After a fault, the lines before it have been given, then the fault, then nothing.
///
/// ```
/// # use mapwright_core::Map;
/// # let path = tempfile::NamedTempFile::new().unwrap();
/// # std::fs::write(&path, b"first\nsecond\n\nlast").unwrap();
/// let map = Map::open(&path)?;
/// let (mut lines, mut longest) = (map.view().lines(), 0);
/// while let Some(line) = lines.next_line() {
///     longest = longest.max(line?.len());
/// }
/// assert_eq!(longest, 6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Lines<'map, A: Access> {
    view: View<'map, A>,
    /// The next byte to be copied.
    at: usize,
    /// Copied bytes; those from `given` on were not given out yet.
    buffer: Vec<u8>,
    given: usize,
    /// Bytes of the rest that are known to hold no line feed.
    searched: usize,
    fault: Option<Fault>,
}

impl<'map, A: Readable> View<'map, A> {
    /// Walks the lines.
    ///
    /// ```
    /// # use mapwright_core::Map;
    /// # let path = tempfile::NamedTempFile::new().unwrap();
    /// # std::fs::write(&path, b"alpha\nbeta\n").unwrap();
    /// let map = Map::open(&path)?;
    /// let lines: Vec<Vec<u8>> = map.view().lines().collect::<Result<_, _>>()?;
    /// assert_eq!(lines, [&b"alpha"[..], b"beta"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn lines(&self) -> Lines<'map, A> {
        Lines { view: *self, at: 0, buffer: Vec::new(), given: 0, searched: 0, fault: None }
    }
}

impl<A: Readable> Lines<'_, A> {
    /// Lends the next line, or returns `None` at the end.
    ///
    /// # Errors
    /// The item is a fault where the file can no longer be read.
    pub fn next_line(&mut self) -> Option<Result<&[u8], Fault>> {
        loop {
            let rest = &self.buffer[self.given..];
            if let Some(found) = memchr::memchr(b'\n', &rest[self.searched..]) {
                let line = self.given..self.given + self.searched + found;
                self.given = line.end + 1;
                self.searched = 0;
                return Some(Ok(&self.buffer[line]));
            }
            self.searched = rest.len();
            if let Some(fault) = self.fault.take() {
                // What is left is a line that was cut: nobody knows its end.
                self.at = self.view.len();
                self.drop_given(self.buffer.len());
                return Some(Err(fault));
            }
            if self.at == self.view.len() {
                let line = self.given..self.buffer.len();
                self.given = line.end;
                self.searched = 0;
                return (!line.is_empty()).then(|| Ok(&self.buffer[line]));
            }
            self.copy_more();
        }
    }

    fn copy_more(&mut self) {
        self.drop_given(self.given);
        let size = BLOCK.min(self.view.len() - self.at);
        let old = self.buffer.len();
        self.buffer.resize(old + size, 0);
        match self.view.copy_to(self.at, &mut self.buffer[old..]) {
            Ok(()) => self.at += size,
            Err(fault) => {
                self.buffer.truncate(old + fault.offset().saturating_sub(self.at).min(size));
                self.fault = Some(fault);
            }
        }
    }

    fn drop_given(&mut self, count: usize) {
        self.buffer.drain(..count);
        self.given = 0;
        self.searched = self.searched.min(self.buffer.len());
    }
}

impl<A: Readable> Iterator for Lines<'_, A> {
    type Item = Result<Vec<u8>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_line().map(|line| line.map(<[u8]>::to_vec))
    }
}
