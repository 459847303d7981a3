//! Where elements lie in a file. All arithmetic between elements and bytes is here.

use super::header;
use super::options::Form;

/// Where elements lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Places {
    /// Bytes before the first element.
    pub(super) start: usize,
    /// Bytes an element takes; not 0.
    pub(super) size: usize,
}

impl Places {
    pub(super) fn new(form: Form, size: usize) -> Self {
        let start = match form {
            Form::WithHeader => header::LEN,
            Form::Headerless => 0,
        };
        Self { start, size }
    }

    /// The offset of an element (or of the end) that is known to lie in the address space.
    #[inline]
    pub(super) fn offset(self, index: usize) -> usize {
        self.start + index * self.size
    }

    /// The end of so many elements, or `None` beyond the address space.
    pub(super) fn end(self, count: usize) -> Option<usize> {
        count.checked_mul(self.size)?.checked_add(self.start).filter(|&end| isize::try_from(end).is_ok())
    }

    /// How many whole elements a file of this length holds, and how many bytes are left over.
    pub(super) fn count_in(self, file_len: u64) -> (usize, usize) {
        let bytes = usize::try_from(file_len).unwrap_or(usize::MAX).saturating_sub(self.start);
        (bytes / self.size, bytes % self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_beyond_the_address_space_have_no_end() {
        let places = Places::new(Form::WithHeader, 16);
        assert_eq!(places.end(2), Some(4096 + 32));
        assert_eq!(
            (places.end(usize::MAX), places.end(usize::MAX / 16), places.end(1 << 59)),
            (None, None, None)
        );
    }

    #[test]
    fn a_file_is_counted_in_whole_elements() {
        let places = Places::new(Form::WithHeader, 16);
        assert_eq!(places.count_in(4096 + 47), (2, 15));
        assert_eq!(places.count_in(17), (0, 0));
        assert_eq!(Places::new(Form::Headerless, 16).count_in(17), (1, 1));
    }
}
