//! [`Frozen`] compares, hashes and prints as the slice that it is, and turns into and from its neighbours.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use super::slice::{Frozen, FrozenBy};
use crate::map::Memory;

impl AsRef<[u8]> for Frozen {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Borrow<[u8]> for Frozen {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl Default for Frozen {
    /// Returns no bytes.
    fn default() -> Self {
        Self::from(Vec::new())
    }
}

impl fmt::Debug for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl PartialEq for Frozen {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Frozen {}

impl PartialOrd for Frozen {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Frozen {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl Hash for Frozen {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

macro_rules! equals {
    ($([$($parameters:tt)*] $other:ty),* $(,)?) => {$(
        impl<$($parameters)*> PartialEq<$other> for Frozen {
            fn eq(&self, other: &$other) -> bool {
                **self == *AsRef::<[u8]>::as_ref(other)
            }
        }

        impl<$($parameters)*> PartialEq<Frozen> for $other {
            fn eq(&self, other: &Frozen) -> bool {
                other == self
            }
        }
    )*};
}

equals!([] [u8], [] &[u8], [] Vec<u8>, [const N: usize] [u8; N], [const N: usize] &[u8; N]);

impl<'frozen> IntoIterator for &'frozen Frozen {
    type Item = &'frozen u8;
    type IntoIter = std::slice::Iter<'frozen, u8>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl From<Vec<u8>> for Frozen {
    /// Keeps the vector; nothing is copied.
    fn from(bytes: Vec<u8>) -> Self {
        Self::from_heap(bytes, FrozenBy::Memory)
    }
}

impl From<Memory> for Frozen {
    /// As [`Memory::freeze`].
    fn from(memory: Memory) -> Self {
        memory.freeze()
    }
}

#[cfg(feature = "bytes")]
impl From<Frozen> for bytes::Bytes {
    /// Shares the bytes; nothing is copied.
    ///
    /// ```
    /// use mapwright_core::Frozen;
    /// let frozen = Frozen::copy_of(b"shared")?;
    /// let start = frozen.as_ptr();
    /// let bytes = bytes::Bytes::from(frozen);
    /// assert_eq!((bytes.as_ptr(), &bytes[..]), (start, &b"shared"[..]));
    /// # Ok::<(), mapwright_core::Error>(())
    /// ```
    fn from(frozen: Frozen) -> Self {
        Self::from_owner(frozen)
    }
}
