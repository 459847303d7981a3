//! An archive as the kernel unpacks it into memory at boot (the "newc" format of cpio).
//!
//! A hundred bytes of hexadecimal header, the name, the bytes, all padded to four: writing it takes fewer
//! lines than asking for a `cpio` program would.

use anyhow::{Context, Result};

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// An archive being written.
#[derive(Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// Adds a folder. Those above it must have been added before.
    pub(crate) fn folder(&mut self, path: &str) -> Result<()> {
        self.entry(path, FOLDER, &[])
    }

    /// Adds a file that may be executed.
    pub(crate) fn program(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.entry(path, PROGRAM, content)
    }

    /// Ends the archive and gives its bytes.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>> {
        self.entry("TRAILER!!!", 0, &[])?;
        Ok(self.bytes)
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.entries += 1;
        let too_long = || format!("{name} has {} bytes, an archive holds 4 GiB a file", content.len());
        let size = u32::try_from(content.len()).with_context(too_long)?;
        let name_size = u32::try_from(name.len() + 1).context("a file's name has 4 GiB")?;
        // Inode, mode, user, group, links, time, size, four device numbers, the name's size, no check sum.
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_laid_out_as_the_kernel_reads_it() {
        let mut archive = Archive::default();
        archive.folder("bin").unwrap();
        archive.program("bin/x", b"hello").unwrap();
        let bytes = archive.finish().unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        // The folder: a header of 110 bytes, the name with its end, padding to 116.
        assert!(text.starts_with("07070100000001000041ed"), "{text}");
        assert_eq!(&text[110..116], "bin\0\0\0");
        // The program begins where the folder ends; its content is padded from 5 to 8.
        assert_eq!(&text[116..138], "07070100000002000081ed");
        assert_eq!(&text[116 + 110..116 + 110 + 18], "bin/x\0hello\0\0\0".to_owned() + "0707");
        assert!(text.contains("TRAILER!!!\0"));
        assert_eq!(bytes.len() % 4, 0);
    }
}
