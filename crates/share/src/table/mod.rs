//! A hash map that processes share, of a planned capacity.
//!
//! ```text
//!  ┌ groups ──────────────────────────┐ ┌ buckets ──────────┐ ┌ slots, 7 for each bucket ──────────┐
//!  │ claim, number of entries │ …     │ │ 7 tags, passed │ …│ │ sequence │ key │ value(s) │ …      │
//!  └ 128 bytes each ──────────────────┘ └ 8 bytes each ─────┘ └ one line or more each ─────────────┘
//! ```
//! A key belongs to one group, and in it to a bucket; where that is full, to the next in an order of the
//! key's own. The buckets that it had to pass count it, so that nobody looks further than there is something
//! to find, and so that a removal takes every trace away: a table does not decay.
//!
//! Readers load two or three lines and write none. A writer takes the claim of the group, and one store makes
//! the change. Nothing is ever half there:
//!
//! | who dies when | what is left |
//! |---|---|
//! | a writer, before the store that makes the change | nothing was inserted, changed or removed |
//! | a writer, after it | it was, and whole |
//! | in both cases | the claim, with its name: the next writer takes it and counts the group anew |
//! | a reader, at any time | nothing |

mod bucket;
mod error;
mod group;
mod iterate;
mod key;
#[cfg(all(test, any(loom, shuttle)))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
mod models;
mod shape;
mod slot;
mod store;
#[cfg(all(test, not(any(loom, shuttle))))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
mod tests;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::marker::PhantomData;

use mapwright_core::{Fault, Plain, Result};

pub use error::TableError;
pub use iterate::TableIter;
pub use key::TableKey;

use crate::figure::Figure;
use crate::object::{Kind, Object, Parameters, Plan, Site};
use crate::value::words_of;
use key::sealed::Key;
use shape::Shape;
use store::{Expected, Store};

/// A map from keys to plain values that any number of processes read and change.
///
/// Keys are plain values, or `[u8]` for bytes of any length up to a planned maximum. Reading waits for
/// nobody, whatever other processes do, and never sees half of a value. Changing an entry waits while another
/// process changes one that lies nearby, and takes the place of one that died over it at once. It waits as
/// long as one takes that was stopped in the middle of it.
///
/// ```
/// use mapwright_share::{Segment, Table, TableOptions};
/// let segment = Segment::anonymous("server")
///     .with::<Table<[u8], u64>>("requests", TableOptions::new(10_000).key_bytes(40))
///     .create()?;
/// let requests: Table<[u8], u64> = segment.get("requests")?;
/// requests.update(b"192.0.2.7", |count| Some(count.unwrap_or(0) + 1))?;
/// requests.update(b"192.0.2.7", |count| Some(count.unwrap_or(0) + 1))?;
/// assert_eq!(requests.get(b"192.0.2.7")?, Some(2));
/// assert_eq!(requests.remove(b"192.0.2.7")?, Some(2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Death
/// | killed | others find |
/// |---|---|
/// | a writer, before the one store that makes the change | the entry as it was, or none |
/// | a writer, after it | the change, whole |
/// | a reader, at any time | nothing |
///
/// So what has to change together goes into one entry. Where a request may come again because nobody knows
/// whether it was done before its process was killed, its number goes into the entry too: whoever finds it
/// there has been told. (The example `preforked` counts requests exactly once in this way.)
///
/// # Caveats
/// A value of more than eight bytes takes its room twice. Keys are told apart by their bytes: 0.0 and -0.0
/// are two.
pub struct Table<K: TableKey + ?Sized, V> {
    store: Store,
    types: PhantomData<fn(&K) -> V>,
}

/// What has to be decided before a [`Table`] is made.
#[derive(Clone, Copy, Debug)]
pub struct TableOptions {
    capacity: usize,
    key_bytes: usize,
    seed: u64,
}

impl TableOptions {
    /// Makes room for so many entries. There is more than that, about a quarter, because keys do not spread
    /// evenly; so `Full` is an answer that comes after the capacity was reached, or by a chance of one in
    /// many millions.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, key_bytes: 64, seed: RandomState::new().hash_one(capacity) }
    }

    /// Sets how many bytes a key has at most where keys are bytes; 64 where nothing is said.
    #[must_use]
    pub const fn key_bytes(mut self, max: usize) -> Self {
        self.key_bytes = max;
        self
    }

    /// Sets the number that is mixed into hashes; a random one where nothing is said, so that nobody can
    /// choose keys that meet.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}

impl<K: TableKey + ?Sized, V: Plain> Table<K, V> {
    /// Returns the value of a key.
    ///
    /// # Errors
    /// Where the memory is gone, or this is a forked child that has to attach itself.
    #[inline]
    pub fn get(&self, key: &K) -> Result<Option<V>, Fault> {
        self.store.check()?;
        Ok(self.store.get(key))
    }

    /// Sets the value of a key, and returns the one that it had.
    ///
    /// # Errors
    /// [`TableError::Full`] where the key's part of the table has no room; [`TableError::TooLong`] for a key
    /// of more bytes than was planned; [`TableError::Fault`] where the memory is gone.
    #[inline]
    pub fn insert(&self, key: &K, value: &V) -> Result<Option<V>, TableError> {
        let exchanged = self.store.exchange(key, Expected::Anything, Some(value))?;
        Ok(either(exchanged))
    }

    /// Takes a key out, and returns the value that it had.
    ///
    /// # Errors
    /// [`TableError::Fault`] where the memory is gone.
    #[inline]
    pub fn remove(&self, key: &K) -> Result<Option<V>, TableError> {
        let exchanged = self.store.exchange(key, Expected::Anything, None)?;
        Ok(either(exchanged))
    }

    /// Sets the value of a key to `new` where it is `current`, byte for byte; `None` stands for no entry in
    /// both. `Ok(Err(value))` says what it is instead.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    #[inline]
    pub fn compare_exchange(
        &self,
        key: &K,
        current: Option<&V>,
        new: Option<&V>,
    ) -> Result<Result<(), Option<V>>, TableError> {
        Ok(self.store.exchange(key, Expected::Just(current), new)?.map(|_| ()))
    }

    /// Puts in the place of a key's value what a function makes of it, `None` standing for no entry in both,
    /// and returns what it made.
    ///
    /// No change of anybody else's is lost: the value is put there only if it is still the one that the
    /// function was given. So the function may run several times, where others change the same entry
    /// meanwhile, and what counts is its last run. It holds nothing: it may use the table and may panic.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn update(
        &self,
        key: &K,
        mut change: impl FnMut(Option<V>) -> Option<V>,
    ) -> Result<Option<V>, TableError> {
        self.store.check()?;
        let mut current: Option<V> = self.store.get(key);
        loop {
            let new = change(current);
            match self.store.exchange(key, Expected::Just(current.as_ref()), new.as_ref())? {
                Ok(_) => return Ok(new),
                Err(other) => current = other,
            }
        }
    }

    /// Changes the value of a key that is there as [`update`](Self::update) does, where the function returns
    /// one. Returns whether it was changed.
    ///
    /// # Errors
    /// [`TableError::Fault`] where the memory is gone.
    pub fn update_if(&self, key: &K, mut change: impl FnMut(V) -> Option<V>) -> Result<bool, TableError> {
        self.store.check()?;
        let mut current: Option<V> = self.store.get(key);
        loop {
            let Some((value, new)) = current.and_then(|value| Some((value, change(value)?))) else {
                return Ok(false);
            };
            match self.store.exchange(key, Expected::Just(Some(&value)), Some(&new))? {
                Ok(_) => return Ok(true),
                Err(other) => current = other,
            }
        }
    }

    /// Goes over the entries, in no order. Each is whole; those that come or go meanwhile may be there or
    /// not, and one that goes and comes again may be there twice.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn iter(&self) -> Result<TableIter<'_, K, V>, Fault> {
        self.store.check()?;
        Ok(TableIter::new(&self.store))
    }

    /// Returns how many entries there are. Looks at one line for every few hundred entries of the capacity.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.store.len()).unwrap_or(usize::MAX)
    }

    /// Returns whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the capacity that was planned.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.store.shape.capacity
    }

    fn shape(options: &TableOptions) -> Result<Shape> {
        let max_key = <K as Key>::fixed_bytes().unwrap_or(options.key_bytes);
        let key_words = if max_key > isize::MAX as usize { usize::MAX } else { <K as Key>::words(max_key) };
        Shape::new(options.capacity, max_key, (key_words, words_of::<V>()), options.seed)
    }
}

/// What was there, where anything was expected.
fn either<T>(result: Result<T, T>) -> T {
    match result {
        Ok(value) | Err(value) => value,
    }
}

impl<K: TableKey + ?Sized, V: Plain> Object for Table<K, V> {
    const KIND: Kind = Kind::Table;
    type Options = TableOptions;

    fn plan(options: &Self::Options) -> Result<Plan> {
        let shape = Self::shape(options)?;
        Ok(Plan {
            kind: Self::KIND,
            len: shape.room()?,
            layout: Self::layout(),
            parameters: shape.parameters(),
        })
    }

    /// Any seed will do: the table's own is used.
    fn accepts(planned: &Parameters, made: &Parameters) -> bool {
        let [planned, made] = [planned, made].map(|it| (&it[..4], it[5]));
        planned == made
    }

    /// All zeros is an empty table.
    fn create(site: &Site, _options: &Self::Options) -> Result<()> {
        Self::attach(site).map(drop)
    }

    fn layout() -> String {
        format!("{}=>{}", <K as Key>::layout(), V::STRUCTURE)
    }

    fn attach(site: &Site) -> Result<Self> {
        let shape = Shape::of(site, <K as Key>::words)?;
        let key_fits = <K as Key>::fixed_bytes().is_none_or(|bytes| bytes == shape.max_key);
        if !key_fits || shape.value_words != words_of::<V>() {
            let (key, value) = (shape.max_key, shape.value_words * 8);
            return Err(
                site.damaged(format!("its keys of {key} bytes and values of {value} are another type's"))
            );
        }
        Ok(Self { store: Store::attach(site, shape)?, types: PhantomData })
    }
}

/// Says what can be said without knowing the types.
pub(crate) fn inspect(site: &Site) -> Result<Vec<Figure>> {
    // How a key is kept is not known here; what is looked at lies before the slots.
    let shape = Shape::of(site, |_| 0)?;
    let store = Store::attach(site, shape)?;
    let mut figures = vec![
        Figure::number("entries", store.len()),
        Figure::number("capacity", shape.capacity as u64),
        Figure::number("groups", shape.groups as u64),
        Figure::number("key bytes", shape.max_key as u64),
    ];
    for holder in store.groups.iter().filter_map(|group| group.claim.holder()) {
        let name = if store.oracle.is_alive(holder) { "writer" } else { "died writing" };
        figures.push(Figure::who(name, holder));
    }
    Ok(figures)
}

impl<K: TableKey + ?Sized, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), types: PhantomData }
    }
}

impl<K: TableKey + ?Sized, V> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("entries", &self.store.len()).finish_non_exhaustive()
    }
}
