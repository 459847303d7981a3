//! Bytes at any offset of a chunk, whose words only their owner writes.

use mapwright_core::peer::{Ordering, Word64, copy_in, copy_out};

/// Copies bytes in; what lies beside them in the first and the last word stays.
pub(super) fn write_at(words: &[Word64], offset: usize, bytes: &[u8]) {
    let (mut at, mut rest) = (offset / 8, bytes);
    let within = offset % 8;
    if within != 0 {
        let (first, more) = rest.split_at(rest.len().min(8 - within));
        merge(words, at, within, first);
        (at, rest) = (at + 1, more);
    }
    let whole = rest.len() & !7;
    if let Some(words) = words.get(at..).filter(|_| whole > 0) {
        copy_in(words, &rest[..whole]);
    }
    merge(words, at + whole / 8, 0, &rest[whole..]);
}

/// Copies bytes out.
pub(super) fn read_at(words: &[Word64], offset: usize, bytes: &mut [u8]) {
    let (mut at, mut rest) = (offset / 8, bytes);
    let within = offset % 8;
    if within != 0 {
        let len = rest.len().min(8 - within);
        let (first, more) = rest.split_at_mut(len);
        let word = words.get(at).map_or([0; 8], |word| word.load(Ordering::Relaxed).to_ne_bytes());
        first.copy_from_slice(&word[within..within + first.len()]);
        (at, rest) = (at + 1, more);
    }
    if let Some(words) = words.get(at..).filter(|_| !rest.is_empty()) {
        copy_out(words, rest);
    }
}

fn merge(words: &[Word64], at: usize, within: usize, bytes: &[u8]) {
    let Some(word) = words.get(at).filter(|_| !bytes.is_empty()) else { return };
    let mut value = word.load(Ordering::Relaxed).to_ne_bytes();
    value[within..within + bytes.len()].copy_from_slice(bytes);
    word.store(u64::from_ne_bytes(value), Ordering::Relaxed);
}

#[cfg(all(test, not(any(loom, shuttle))))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn bytes_land_where_they_belong_and_nowhere_else() {
        for offset in 0..20 {
            for len in (0..30).chain([200, 201]) {
                let words: Vec<Word64> = (0..32).map(|_| Word64::new(u64::MAX)).collect();
                let bytes: Vec<u8> = (1..=len).map(|it| it % 251).collect();
                write_at(&words, offset, &bytes);
                let mut all = vec![0; 256];
                read_at(&words, 0, &mut all);
                let end = offset + bytes.len();
                assert_eq!(all[offset..end], bytes, "{len} at {offset}");
                assert!(all[..offset].iter().chain(&all[end..]).all(|&byte| byte == 255));
                let mut back = vec![0; bytes.len()];
                read_at(&words, offset, &mut back);
                assert_eq!(back, bytes, "{len} at {offset}");
            }
        }
    }
}
