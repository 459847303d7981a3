//! `#[derive(Plain)]`: describes a struct's layout, so that a file can be checked before its bytes are
//! believed.
//!
//! The derive writes one constant, `Plain::STRUCTURE`, from the fields' own: names, offsets, sizes. It proves
//! nothing about the bytes: that they are all initialised and all valid is proved by zerocopy's derives,
//! which `Plain` demands. What it refuses it refuses by name: enums, unions, references, and structs whose
//! order of fields is the compiler's secret.
//!
//! Deliberately absent: finding out by which crate `Plain` is reached. It is `::mapwright` unless
//! `#[plain(crate = "…")]` says otherwise, as serde and zerocopy do it; reading the user's manifest at
//! compile time costs a dependency and fails for renamed and re-exported crates.

mod expand;
mod options;
mod shared;

use proc_macro::TokenStream;

/// Derives `Plain` for a `#[repr(C)]` or `#[repr(transparent)]` struct whose fields are all plain.
///
/// ```
/// use mapwright_core::Plain;
/// use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};
///
/// #[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Plain)]
/// #[plain(crate = "mapwright_core")] // `::mapwright` without this line
/// #[repr(C)]
/// struct Trade {
///     id: u64,
///     price: f64,
/// }
///
/// assert_eq!(Trade::STRUCTURE.to_string(), "{id:u64@0,price:f64@8;size=16,align=8}");
/// ```
///
/// # Attributes
/// - `#[plain(crate = "path")]` on the struct: where `Plain` is to be found.
/// - `#[plain(name = "old")]` on a field: the name that files know it by, after it was renamed.
#[proc_macro_derive(Plain, attributes(plain))]
pub fn derive_plain(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    expand::plain(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Derives `Shared` for a `#[repr(C)]` or `#[repr(transparent)]` struct whose fields are all shared: words,
/// and what is made of them.
///
/// ```
/// use mapwright_core::peer::{Line, Shared, Word32, Word64};
///
/// #[derive(Default, Shared)]
/// #[shared(crate = "mapwright_core")] // `::mapwright` without this line
/// #[repr(C)]
/// struct Door {
///     open: Word32,
///     waiting: Word32,
///     passed: Line<Word64>,
/// }
/// ```
#[proc_macro_derive(Shared, attributes(shared))]
pub fn derive_shared(input: TokenStream) -> TokenStream {
    derive_mark(input, "Shared")
}

/// Derives `Lookable` for a struct of words that can only be looked at; beside `Shared`.
#[proc_macro_derive(Lookable, attributes(shared))]
pub fn derive_lookable(input: TokenStream) -> TokenStream {
    derive_mark(input, "Lookable")
}

fn derive_mark(input: TokenStream, mark: &str) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    shared::mark(&input, mark).unwrap_or_else(syn::Error::into_compile_error).into()
}
