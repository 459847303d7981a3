//! Tables: keys of 8 bytes, values of 64.

use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use dashmap::DashMap;
use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions, PutFlags, WithoutTls};

use super::bytes_of;

/// What is stored under a key.
pub(crate) type Value = [u64; 8];

/// The key of entry `number`: they are all over the place, and no two are the same.
pub(crate) fn key_of(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The value under a key.
pub(crate) fn value_of(key: u64) -> Value {
    std::array::from_fn(|place| key ^ place as u64)
}

/// dashmap: a map in shards with a lock each, in one process.
pub(crate) type Sharded<H> = DashMap<u64, Value, H>;

/// One with so many entries.
pub(crate) fn sharded<H: BuildHasher + Clone + Default>(entries: u64) -> Sharded<H> {
    let map = DashMap::with_capacity_and_hasher(entries as usize * 2, H::default());
    for number in 0..entries {
        map.insert(key_of(number), value_of(key_of(number)));
    }
    map
}

/// A hash that is the key: the best for keys that are spread already.
#[derive(Default)]
pub(crate) struct KeyItself(u64);

impl Hasher for KeyItself {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("a word is hashed as a word");
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// LMDB in a folder in shared memory.
pub(crate) struct Lmdb {
    pub(crate) env: Env<WithoutTls>,
    pub(crate) entries: Database<Bytes, Bytes>,
}

/// How much LMDB may hold.
const MAP: usize = 1 << 30;

impl Lmdb {
    /// Opens what [`Lmdb::fill`] has made. `FAST` trades what a power cut would leave for speed: no sync, and
    /// pages written where they are mapped.
    ///
    /// # Errors
    /// Where LMDB says so.
    pub(crate) fn open<const FAST: bool>(memory: &Path) -> Result<Self> {
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(MAP);
        if FAST {
            // SAFETY: both processes of a sample use the same flags, and nobody's power is cut.
            unsafe { options.flags(EnvFlags::NO_SYNC | EnvFlags::WRITE_MAP) };
        }
        // SAFETY: nobody but LMDB touches the files.
        let env = unsafe { options.open(folder(memory)) }?;
        let txn = env.read_txn()?;
        let entries = env.open_database(&txn, None)?.context("LMDB has a database without a name")?;
        drop(txn);
        Ok(Self { env, entries })
    }

    /// How many entries it has.
    ///
    /// # Errors
    /// Where LMDB says so.
    pub(crate) fn len(&self) -> Result<u64> {
        let txn = self.env.read_txn()?;
        Ok(self.entries.len(&txn)?)
    }

    /// Looks at all entries.
    ///
    /// # Errors
    /// Where LMDB says so.
    pub(crate) fn touch(&self) -> Result<()> {
        let txn = self.env.read_txn()?;
        for entry in self.entries.iter(&txn)? {
            std::hint::black_box(entry?);
        }
        Ok(())
    }

    /// Makes it with so many entries, unless it was made before.
    ///
    /// # Errors
    /// Where LMDB says so.
    pub(crate) fn fill(memory: &Path, entries: u64) -> Result<()> {
        if folder(memory).exists() {
            return Ok(());
        }
        std::fs::create_dir(folder(memory))?;
        let table = Self::open::<true>(memory)?;
        let mut keys: Vec<u64> = (0..entries).map(key_of).collect();
        keys.sort_unstable_by_key(|key| key.to_be());
        let mut txn = table.env.write_txn()?;
        for key in keys {
            let (key, value) = (key.to_ne_bytes(), value_of(key));
            table.entries.put_with_flags(&mut txn, PutFlags::APPEND, &key, bytes_of(&value))?;
        }
        Ok(txn.commit()?)
    }
}

fn folder(memory: &Path) -> PathBuf {
    memory.join("lmdb")
}
