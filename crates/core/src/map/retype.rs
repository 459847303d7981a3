//! Changes of what a whole map allows, said in its type: a map is never writable and executable at once.

#![allow(unsafe_code, reason = "changes the protection of owned ranges; listed in docs/SOUNDNESS.md")]

use super::Map;
use super::access::{Access, CopyOnWrite, Executable, ReadOnly, ReadWrite, sealed};
use crate::error::{Error, ErrorKind, Result};
use crate::fault::raw;
use crate::sys::memory as kernel;

impl Map<ReadWrite> {
    /// Gives up writing.
    ///
    /// # Errors
    /// Where mprotect(2) fails; the map is gone then, the file is not.
    ///
    /// # Kernel
    /// mprotect(2).
    ///
    /// ```
    /// use mapwright_core::Map;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let map = Map::create(folder.path().join("written once"), 8)?;
    /// map.view().store(0, 7u64)?;
    /// let map: Map = map.into_read_only()?;       // nobody who gets this one can write
    /// assert_eq!(map.view().load::<u64>(0)?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_read_only(self) -> Result<Map<ReadOnly>> {
        self.retype("give up writing")
    }
}

impl Map<ReadOnly> {
    /// Begins to write. The file must have been opened for reading and writing, and be mapped shared.
    ///
    /// # Errors
    /// Where the file was opened for reading only, or the map is private (map it with
    /// [`map_copy`](crate::MapOptions::map_copy) to write a private copy).
    ///
    /// # Kernel
    /// mprotect(2).
    ///
    /// ```
    /// use mapwright_core::{ErrorKind, Map};
    /// let file = tempfile::tempfile()?;
    /// file.set_len(4096)?;
    /// let map = Map::of(file)?.into_read_write()?;
    /// map.view().store(0, 7u8)?;
    /// let map = map.into_read_only()?;
    /// assert_eq!(map.view().load::<u8>(0)?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_read_write(self) -> Result<Map<ReadWrite>> {
        if self.is_private() {
            let why = "it is private, and would keep what is written to itself; map a copy with map_copy";
            return Err(Error::new(ErrorKind::InvalidInput, "write to", self.name(), why));
        }
        self.retype("begin to write to")
    }
}

impl Map<CopyOnWrite> {
    /// Gives up writing and begins to run what was written.
    ///
    /// # Errors
    /// Where mprotect(2) fails, as on a file system that is mounted `noexec`.
    ///
    /// # Kernel
    /// mprotect(2), and the instruction cache is made coherent where the processor does not do that by
    /// itself.
    ///
    /// ```
    /// use mapwright_core::MapOptions;
    /// // Instructions of a file, patched before they run; the file stays as it is.
    /// let draft = MapOptions::new().map_copy(std::fs::File::open("/proc/self/exe")?)?;
    /// draft.view().store(4096, 0xC3u8)?;
    /// let code = draft.into_executable()?;
    /// assert_eq!(code.view().load::<u8>(4096)?, 0xC3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_executable(self) -> Result<Map<Executable>> {
        let map: Map<Executable> = self.retype("make executable")?;
        // SAFETY: the visible bytes are the region's.
        unsafe { raw::synchronise_instructions(map.region.start(), map.len()) };
        Ok(map)
    }
}

impl Map<Executable> {
    /// Gives up running and begins to write private copies of the pages.
    ///
    /// # Errors
    /// Where no file is mapped (see [`into_memory`](Self::into_memory)), or mprotect(2) fails.
    ///
    /// # Kernel
    /// mprotect(2).
    ///
    /// ```
    /// use mapwright_core::MapOptions;
    /// let code = MapOptions::new().map_exec(std::fs::File::open("/proc/self/exe")?)?;
    /// let draft = code.into_copy_on_write()?;
    /// draft.view().store(0, 0u8)?;
    /// assert_eq!(draft.view().load::<[u8; 4]>(0)?, *b"\0ELF");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_copy_on_write(self) -> Result<Map<CopyOnWrite>> {
        if self.source().is_none() {
            let why = "it shows memory, not a file; into_memory gives that back";
            return Err(Error::new(ErrorKind::InvalidInput, "write to", self.name(), why));
        }
        let mut map: Map<CopyOnWrite> = self.retype("begin to write to")?;
        map.exclusive().will_have_copies();
        Ok(map)
    }
}

impl<A: Access> Map<A> {
    /// Changes the protection of all pages and the type with it.
    fn retype<B: Access>(mut self, action: &'static str) -> Result<Map<B>> {
        let name = self.name();
        let region = self.exclusive();
        let (from, len) = region.body();
        region.demand_here(action)?;
        if len > 0 {
            // SAFETY: the body lies inside the owned range.
            let base = unsafe { region.base().add(from) };
            // SAFETY: the region is exclusive: no view and no reference needs the access that is taken away.
            unsafe { kernel::protect(base, len, <B as sealed::Sealed>::PROTECTION) }.map_err(|cause| {
                let error = Error::os(action, name, cause);
                match error.kind() {
                    ErrorKind::PermissionDenied => {
                        error.advice("the file was not opened for this, or is sealed")
                    }
                    _ => error,
                }
            })?;
        }
        let (region, lock) = self.into_region_and_lock();
        Ok(Map::new(region, lock))
    }
}

#[cfg(test)]
mod tests {
    use crate::sys::page;
    use crate::{CopyOnWrite, Executable, Map, MapOptions, Memory, Span};
    use std::io::Write;

    /// A function of no arguments that returns this number, as the processor reads it.
    fn returning(number: u16) -> Vec<u8> {
        #[cfg(target_arch = "x86_64")]
        {
            // mov eax, number; ret
            [&[0xB8][..], &u32::from(number).to_le_bytes(), &[0xC3]].concat()
        }
        #[cfg(target_arch = "aarch64")]
        {
            // movz w0, #number; ret
            [0x5280_0000 | (u32::from(number) << 5), 0xD65F_03C0].map(u32::to_le_bytes).concat()
        }
    }

    /// Calls what stands at an offset.
    fn call(map: &Map<Executable>, offset: usize) -> u32 {
        assert!(offset < map.len());
        let place = map.as_ptr().wrapping_add(offset);
        // SAFETY: the tests put a function of this type there.
        let function = unsafe { std::mem::transmute::<*const u8, extern "C" fn() -> u32>(place) };
        function()
    }

    /// What `/proc/self/maps` says that the pages at an address allow.
    fn allowed(address: usize) -> String {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let found = maps.lines().find(|line| {
            let (range, _) = line.split_once(' ').unwrap();
            let (start, end) = range.split_once('-').unwrap();
            let number = |text| usize::from_str_radix(text, 16).unwrap();
            (number(start)..number(end)).contains(&address)
        });
        found.unwrap().split(' ').nth(1).unwrap().to_owned()
    }

    /// Two functions, one of them on the second page.
    fn file() -> std::fs::File {
        let mut file = tempfile::tempfile().unwrap();
        let mut code = returning(1234);
        code.resize(page::size() + 16, 0);
        code.extend(returning(777));
        file.write_all(&code).unwrap();
        file
    }

    #[test]
    fn functions_in_a_file_are_run_and_changed_and_run_again() {
        let second = page::size() + 16;
        let map: Map<Executable> = MapOptions::new().map_exec(file()).unwrap();
        let address = map.as_ptr().addr();
        assert_eq!((call(&map, 0), call(&map, second)), (1234, 777));
        assert_eq!(allowed(address), "r-xp");
        let map: Map<CopyOnWrite> = map.into_copy_on_write().unwrap();
        assert_eq!(allowed(address), "rw-p");
        map.view().copy_from(second, &returning(4321)).unwrap();
        let map = map.into_executable().unwrap();
        assert_eq!((map.as_ptr().addr(), allowed(address)), (address, "r-xp".to_owned()));
        assert_eq!((call(&map, 0), call(&map, second)), (1234, 4321));
    }

    #[test]
    fn functions_in_memory_are_run_and_changed_and_run_again() {
        let mut memory = Memory::new(2 * page::size()).unwrap();
        for number in [1, 2, 40_000] {
            let code = returning(number);
            memory[..code.len()].copy_from_slice(&code);
            let map = memory.into_executable().unwrap();
            assert_eq!((call(&map, 0), allowed(map.as_ptr().addr())), (number.into(), "r-xp".to_owned()));
            memory = map.into_memory().unwrap();
            assert_eq!(allowed(memory.as_ptr().addr()), "rw-p");
        }
    }

    #[test]
    fn what_was_written_before_it_was_made_executable_is_what_is_read() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        let map = MapOptions::new().map_copy(&file).unwrap();
        map.view().fill(.., 7).unwrap();
        let map = map.into_executable().unwrap();
        let spans: Vec<Span> = (0..64).map(|index| Span::new(index * 16_384, 100).unwrap()).collect();
        let mut bytes = vec![0; 6400];
        map.view().gather(&spans, &mut bytes).unwrap();
        assert!(bytes.iter().all(|&byte| byte == 7), "the file's bytes came instead of the map's");
        map.evict(..).unwrap();
        assert_eq!(map.view().load::<u8>(4096).unwrap(), 7);
        let map = map.into_copy_on_write().unwrap();
        assert_eq!(map.view().stream().next_chunk().unwrap().unwrap()[0], 7);
    }
}
