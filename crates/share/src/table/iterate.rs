//! Going over a table's entries.

use std::fmt;
use std::marker::PhantomData;

use mapwright_core::Plain;
use mapwright_core::peer::Ordering;

use super::bucket::{Bucket, Lanes};
use super::key::TableKey;
use super::key::sealed::Key;
use super::store::Store;

/// The entries of a [`Table`](super::Table), from [`Table::iter`](super::Table::iter).
pub struct TableIter<'a, K: TableKey + ?Sized, V> {
    store: &'a Store,
    /// The bucket whose slots are being looked at.
    index: usize,
    lanes: Lanes,
    types: PhantomData<fn(&K) -> V>,
}

impl<'a, K: TableKey + ?Sized, V> TableIter<'a, K, V> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self { store, index: 0, lanes: lanes(store, 0), types: PhantomData }
    }
}

fn lanes(store: &Store, index: usize) -> Lanes {
    let word = store.buckets.get(index).map_or(0, |word| word.load(Ordering::Acquire));
    Bucket(word).taken()
}

impl<K: TableKey + ?Sized, V: Plain> Iterator for TableIter<'_, K, V> {
    type Item = (<K as Key>::Out, V);

    fn next(&mut self) -> Option<Self::Item> {
        while self.index < self.store.buckets.len() {
            for lane in self.lanes.by_ref() {
                if let Some(entry) = self.store.entry::<K, V>(self.index, lane) {
                    return Some(entry);
                }
            }
            self.index += 1;
            self.lanes = lanes(self.store, self.index);
        }
        None
    }
}

impl<K: TableKey + ?Sized, V> fmt::Debug for TableIter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableIter").field("bucket", &self.index).finish_non_exhaustive()
    }
}
