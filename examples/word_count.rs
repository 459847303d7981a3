//! Counts lines, words and bytes of files, as wc(1) does: `cargo run --release --example word_count -- FILE…`
//!
//! Without a file it makes one. A file that somebody shortens meanwhile is an error here, where a program
//! that maps files by plain mmap(2) would die of SIGBUS.

#![allow(clippy::print_stdout, reason = "a program that prints")]

use std::path::{Path, PathBuf};

use mapwright::{Fault, Map, Result, View};

/// How much is looked at at once: it stays in the processor's cache.
const CHUNK: usize = 64 << 10;

#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    lines: usize,
    words: usize,
    bytes: usize,
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let folder = tempfile::tempdir()?;
    if paths.is_empty() {
        let path = folder.path().join("made.txt");
        std::fs::write(&path, "one fish two fish\nred fish blue fish\n".repeat(1 << 20))?;
        paths.push(path);
    }
    for path in &paths {
        let Counts { lines, words, bytes } = count_file(path)?;
        println!("{lines:>10} {words:>10} {bytes:>12} {}", path.display());
    }
    Ok(())
}

fn count_file(path: &Path) -> Result<Counts> {
    let map = Map::open(path)?;
    // A fault becomes an error by `?`: the file was shortened, or the disk failed.
    Ok(count(map.view())?)
}

fn count(view: View<'_>) -> std::result::Result<Counts, Fault> {
    let mut counts = Counts { bytes: view.len(), ..Counts::default() };
    let mut in_word = false;
    let mut chunks = view.chunks(CHUNK);
    while let Some(chunk) = chunks.next_chunk() {
        for &byte in chunk? {
            let is_space = byte.is_ascii_whitespace();
            counts.lines += usize::from(byte == b'\n');
            counts.words += usize::from(in_word && is_space);
            in_word = !is_space;
        }
    }
    counts.words += usize::from(in_word);
    Ok(counts)
}
