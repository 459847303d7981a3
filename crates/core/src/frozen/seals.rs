//! Seals: what can never be done to a memory file any more.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// A set of seals on a memory file. A seal holds for everybody, for ever: there is no way to take one off.
///
/// # Kernel
/// `F_ADD_SEALS` of fcntl(2).
///
/// ```
/// use mapwright_core::Seals;
/// let seals = Seals::GROW | Seals::SHRINK;
/// assert!(seals.contains(Seals::GROW) && !seals.contains(Seals::WRITE));
/// assert_eq!(format!("{seals:?}"), "SHRINK | GROW");
/// assert_eq!((seals.bits(), Seals::from_bits(0x06)), (0x06, seals));      // the kernel's own
/// assert!(seals.without(Seals::GROW.union(Seals::SHRINK)).is_empty());
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[doc(alias = "F_ADD_SEALS")]
pub struct Seals(u32);

impl Seals {
    /// No seal.
    pub const NONE: Self = Self(0);
    /// No more seals can be added (`F_SEAL_SEAL`).
    pub const SEAL: Self = Self(0x01);
    /// The file cannot become shorter (`F_SEAL_SHRINK`).
    pub const SHRINK: Self = Self(0x02);
    /// The file cannot become longer (`F_SEAL_GROW`).
    pub const GROW: Self = Self(0x04);
    /// The bytes cannot be written, not by a call and not through a map (`F_SEAL_WRITE`). Refused while a
    /// map exists that may write.
    pub const WRITE: Self = Self(0x08);
    /// No new way to write the bytes can be opened (`F_SEAL_FUTURE_WRITE`, Linux 5.1). Maps that exist
    /// already may go on writing: not enough for [`Frozen`](crate::Frozen).
    pub const FUTURE_WRITE: Self = Self(0x10);
    /// Whether the file may be started as a program cannot be changed (`F_SEAL_EXEC`, Linux 6.3).
    pub const EXEC: Self = Self(0x20);

    /// Every seal that has a name here, in the order of their bits.
    const NAMES: [(Self, &'static str); 6] = [
        (Self::SEAL, "SEAL"),
        (Self::SHRINK, "SHRINK"),
        (Self::GROW, "GROW"),
        (Self::WRITE, "WRITE"),
        (Self::FUTURE_WRITE, "FUTURE_WRITE"),
        (Self::EXEC, "EXEC"),
    ];

    /// Makes a set from the kernel's bits; bits without a name here are kept.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Returns the kernel's bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Returns whether all of `other` are in the set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns the seals of both sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the seals that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns whether the set holds no seal.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Seals {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

impl BitOrAssign for Seals {
    fn bitor_assign(&mut self, other: Self) {
        *self = self.union(other);
    }
}

impl fmt::Debug for Seals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("NONE");
        }
        let mut rest = *self;
        let mut between = "";
        for (seal, name) in Self::NAMES {
            if self.contains(seal) {
                write!(f, "{between}{name}")?;
                between = " | ";
                rest = rest.without(seal);
            }
        }
        if rest.is_empty() { Ok(()) } else { write!(f, "{between}{:#x}", rest.bits()) }
    }
}
