//! What may lie in mapped memory: [`Plain`] types, and the [`Layout`] that tells one from another.
//!
//! zerocopy's traits prove that any bytes are a value and that every byte of a value is initialised. What
//! they cannot know is whether a *file* was written with the same type. So a plain type also describes
//! itself: a tree of numbers, arrays and structs, written out as a canonical text that is kept in file
//! headers, and hashed.
//!
//! ```text
//!  type      = number | array | struct
//!  number    = "u64" | "f32" | "u32be" | …
//!  array     = "[" type ";" count "]"
//!  struct    = "{" field,* ";size=" bytes ",align=" bytes "}"
//!  field     = name ":" type "@" offset
//! ```
//! Names of structs are left out (a type may be renamed), names of fields are not (two `f64` may be swapped).
//! Deliberately absent: anything that unsafe code relies on. A wrong layout mixes files up; it cannot break
//! memory.

use std::fmt;

use zerocopy::byteorder::{BigEndian, LittleEndian};
use zerocopy::{FromBytes, Immutable, IntoBytes};

pub use mapwright_derive::Plain;
/// The crate whose traits say what bytes are worth; its derives are needed next to [`Plain`]'s.
pub use zerocopy;

/// A type whose values may lie in mapped memory: in files, and between processes.
///
/// Integers, floats, arrays, and structs of them that derive it:
///
/// ```
/// use mapwright_core::Plain;
/// use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};
///
/// #[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Plain)]
/// #[plain(crate = "mapwright_core")] // not needed with the crate `mapwright`
/// #[repr(C)]
/// struct Trade {
///     id: u64,
///     price: f64,
///     venue: [u8; 8],
/// }
/// assert_eq!(Trade::STRUCTURE.to_string(), "{id:u64@0,price:f64@8,venue:[u8;8]@16;size=24,align=8}");
/// ```
///
/// zerocopy's derives look for a crate named `zerocopy`. Depend on it, or write below the derive
/// `#[zerocopy(crate = "mapwright::zerocopy")]`.
///
/// Padding is refused, for its bytes are nobody's: name them, as `_reserved: [u8; 6]`.
///
/// ```compile_fail,E0277
/// # use mapwright_core::Plain;
/// # use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};
/// #[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Plain)]
/// #[plain(crate = "mapwright_core")]
/// #[repr(C)]
/// struct Padded {
///     id: u64,
///     venue: u16,
/// }
/// ```
///
/// # Caveats
/// Any bytes are a value. A number that must lie in a range has to be checked after it was read, as anything
/// that comes from a file has.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot lie in mapped memory",
    label = "not plain: some bytes are no value of it, or it means something in one process only",
    note = "integers, floats, arrays, and structs of them are plain; for a struct of yours write\n\
            `#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Plain)]` and `#[repr(C)]`",
    note = "instead of a reference store an offset or an index; of a `bool` or an enum, a `u8`;\n\
            of a `char`, a `u32`; of a `String`, an array of bytes and a length"
)]
pub trait Plain: FromBytes + IntoBytes + Immutable + Copy + 'static {
    /// What a value is made of.
    const STRUCTURE: Layout;
}

/// What the values of a type are made of, byte for byte.
///
/// Its [`Display`](fmt::Display) is the canonical text, and [`hash`](Self::hash) that text's hash: equal for
/// types that can read each other's files, in every build and on every machine of the same byte order.
///
/// ```
/// use mapwright_core::{LayoutShape, Plain};
/// let layout = <[u16; 4]>::STRUCTURE;
/// assert_eq!((layout.size, layout.align, layout.to_string()), (8, 2, "[u16;4]".to_owned()));
/// assert!(matches!(layout.shape, LayoutShape::Array { count: 4, .. }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes a value takes.
    pub size: usize,
    /// The multiple at which values lie in memory.
    pub align: usize,
    /// What is inside.
    pub shape: LayoutShape,
}

/// What is inside of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutShape {
    /// One number, by the name of its type.
    Number {
        /// The type's name.
        name: &'static str,
    },
    /// Several values of one type, without gaps.
    Array {
        /// The layout of each.
        element: &'static Layout,
        /// How many there are.
        count: usize,
    },
    /// Named values of several types, in the order in which they were declared.
    Struct {
        /// The parts.
        fields: &'static [LayoutField],
    },
}

/// One part of a struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayoutField {
    /// Its name.
    pub name: &'static str,
    /// Where it begins, in bytes from the struct's beginning.
    pub offset: usize,
    /// What it is made of.
    pub layout: &'static Layout,
}

impl Layout {
    /// Returns the hash of the canonical text: FNV-1a, 64 bits.
    ///
    /// ```
    /// use mapwright_core::Plain;
    /// const HASH: u64 = <[u32; 4]>::STRUCTURE.hash();
    /// assert_ne!(HASH, <[u32; 5]>::STRUCTURE.hash());
    /// ```
    #[must_use]
    pub const fn hash(&self) -> u64 {
        let mut writer = Writer { hash: Fnv::new(), written: 0, room: &mut [] };
        writer.layout(self);
        writer.hash.finish()
    }

    /// Returns the canonical text.
    fn text(&self) -> String {
        let mut measure = Writer { hash: Fnv::new(), written: 0, room: &mut [] };
        measure.layout(self);
        let mut room = vec![0; measure.written];
        Writer { hash: Fnv::new(), written: 0, room: &mut room }.layout(self);
        String::from_utf8_lossy(&room).into_owned()
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text())
    }
}

/// FNV-1a: every step is one-to-one, so that two texts of equal length that differ in one byte never collide.
#[derive(Clone, Copy)]
pub(crate) struct Fnv(u64);

impl Fnv {
    pub(crate) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) const fn byte(&mut self, byte: u8) {
        // A byte widens without loss; `From` is not const.
        self.0 = (self.0 ^ byte as u64).wrapping_mul(0x0000_0100_0000_01b3);
    }

    pub(crate) const fn finish(self) -> u64 {
        self.0
    }
}

/// Writes the canonical text where there is room, and hashes all of it. One walk for both, so that they
/// cannot disagree.
struct Writer<'a> {
    hash: Fnv,
    written: usize,
    room: &'a mut [u8],
}

impl Writer<'_> {
    const fn layout(&mut self, layout: &Layout) {
        match layout.shape {
            LayoutShape::Number { name } => self.text(name),
            LayoutShape::Array { element, count } => {
                self.text("[");
                self.layout(element);
                self.text(";");
                self.number(count);
                self.text("]");
            }
            LayoutShape::Struct { fields } => {
                self.text("{");
                self.fields(fields);
                self.text(";size=");
                self.number(layout.size);
                self.text(",align=");
                self.number(layout.align);
                self.text("}");
            }
        }
    }

    const fn fields(&mut self, mut fields: &[LayoutField]) {
        while let [field, rest @ ..] = fields {
            self.text(field.name);
            self.text(":");
            self.layout(field.layout);
            self.text("@");
            self.number(field.offset);
            if !rest.is_empty() {
                self.text(",");
            }
            fields = rest;
        }
    }

    const fn text(&mut self, text: &str) {
        let mut rest = text.as_bytes();
        while let [byte, more @ ..] = rest {
            self.byte(*byte);
            rest = more;
        }
    }

    const fn number(&mut self, number: usize) {
        const DIGITS: [u8; 10] = *b"0123456789";
        if number >= 10 {
            self.number(number / 10);
        }
        self.byte(DIGITS[number % 10]);
    }

    const fn byte(&mut self, byte: u8) {
        if self.written < self.room.len() {
            self.room[self.written] = byte;
        }
        self.written += 1;
        self.hash.byte(byte);
    }
}

macro_rules! numbers {
    ($($number:ty: $name:literal),* $(,)?) => {$(
        impl Plain for $number {
            const STRUCTURE: Layout = Layout {
                size: size_of::<Self>(),
                align: align_of::<Self>(),
                shape: LayoutShape::Number { name: $name },
            };
        }
    )*};
}

numbers! {
    u8: "u8", u16: "u16", u32: "u32", u64: "u64", u128: "u128",
    i8: "i8", i16: "i16", i32: "i32", i64: "i64", i128: "i128",
    f32: "f32", f64: "f64",
    // As wide as the processor: 64 bits wherever this crate builds.
    usize: "u64", isize: "i64",
}

macro_rules! numbers_of_fixed_order {
    ($($name:ident: $little:literal, $big:literal);* $(;)?) => {
        numbers! {$(
            zerocopy::byteorder::$name<LittleEndian>: $little,
            zerocopy::byteorder::$name<BigEndian>: $big,
        )*}
    };
}

numbers_of_fixed_order! {
    U16: "u16le", "u16be"; U32: "u32le", "u32be"; U64: "u64le", "u64be"; U128: "u128le", "u128be";
    I16: "i16le", "i16be"; I32: "i32le", "i32be"; I64: "i64le", "i64be"; I128: "i128le", "i128be";
    F32: "f32le", "f32be"; F64: "f64le", "f64be";
}

impl<T: Plain, const N: usize> Plain for [T; N] {
    const STRUCTURE: Layout = Layout {
        size: size_of::<Self>(),
        align: align_of::<Self>(),
        shape: LayoutShape::Array { element: &T::STRUCTURE, count: N },
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::KnownLayout;

    #[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Plain)]
    #[plain(crate = "crate")]
    #[repr(C)]
    struct Inner {
        small: [u16; 3],
        r#type: zerocopy::byteorder::U16<BigEndian>,
    }

    #[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Plain)]
    #[plain(crate = "crate")]
    #[repr(C, align(8))]
    struct Outer(u64, Inner, [Inner; 2]);

    #[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Plain)]
    #[plain(crate = "crate")]
    #[repr(transparent)]
    struct Metres {
        #[plain(name = "length")]
        metres: f64,
    }

    #[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Plain)]
    #[plain(crate = "crate")]
    #[repr(C, packed)]
    struct Both<T, const N: usize>
    where
        T: Copy,
    {
        one: u8,
        many: [T; N],
    }

    const INNER: &str = "{small:[u16;3]@0,type:u16be@6;size=8,align=2}";

    #[test]
    fn text_spells_out_nested_structs_tuples_and_arrays() {
        assert_eq!(Inner::STRUCTURE.to_string(), INNER);
        assert_eq!(
            Outer::STRUCTURE.to_string(),
            format!("{{0:u64@0,1:{INNER}@8,2:[{INNER};2]@16;size=32,align=8}}")
        );
    }

    #[test]
    fn a_renamed_field_keeps_the_name_that_files_know() {
        assert_eq!(Metres::STRUCTURE.to_string(), "{length:f64@0;size=8,align=8}");
    }

    #[test]
    fn generic_and_packed_structs_are_described_as_they_were_made() {
        assert_eq!(Both::<u32, 2>::STRUCTURE.to_string(), "{one:u8@0,many:[u32;2]@1;size=9,align=1}");
        assert_ne!(Both::<u32, 2>::STRUCTURE.hash(), Both::<i32, 2>::STRUCTURE.hash());
    }

    #[test]
    fn the_hash_is_that_of_the_text() {
        const AT_COMPILE_TIME: u64 = Outer::STRUCTURE.hash();
        let mut hash = Fnv::new();
        Outer::STRUCTURE.to_string().bytes().for_each(|byte| hash.byte(byte));
        assert_eq!(hash.finish(), AT_COMPILE_TIME);
    }

    #[test]
    fn fnv_agrees_with_its_published_test_vector() {
        let mut hash = Fnv::new();
        b"foobar".iter().for_each(|&byte| hash.byte(byte));
        assert_eq!(hash.finish(), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_long_count_is_written_in_full() {
        assert_eq!(<[u8; 1_234_567_890]>::STRUCTURE.to_string(), "[u8;1234567890]");
    }
}
