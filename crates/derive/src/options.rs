//! What the attributes say: `repr(…)` of the struct, `plain(…)` of the struct and of its fields.

use proc_macro2::Span;
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{Attribute, DeriveInput, Error, Field, LitStr, Path, Result};

/// The path of the crate that has `Plain`.
pub(crate) fn crate_path(input: &DeriveInput) -> Result<Path> {
    path_in(input, "plain")
}

/// The path of the crate that has `Shared`.
pub(crate) fn shared_crate_path(input: &DeriveInput) -> Result<Path> {
    path_in(input, "shared")
}

fn path_in(input: &DeriveInput, attribute: &str) -> Result<Path> {
    let mut path = syn::parse_quote!(::mapwright);
    each(&input.attrs, attribute, |meta| {
        if meta.path.is_ident("crate") {
            path = meta.value()?.parse::<LitStr>()?.parse_with(Path::parse_mod_style)?;
            return Ok(());
        }
        Err(meta.error(format!("a struct has `#[{attribute}(crate = \"path\")]` and nothing else")))
    })?;
    Ok(path)
}

/// The name under which files know a field.
pub(crate) fn field_name(field: &Field, otherwise: String) -> Result<String> {
    let mut name = otherwise;
    each(&field.attrs, "plain", |meta| {
        if !meta.path.is_ident("name") {
            return Err(meta.error("a field has `#[plain(name = \"name\")]` and nothing else"));
        }
        let literal = meta.value()?.parse::<LitStr>()?;
        name = literal.value();
        if name.is_empty() || !name.chars().all(|letter| letter.is_alphanumeric() || letter == '_') {
            return Err(Error::new(literal.span(), "a name is made of letters, digits and `_`"));
        }
        Ok(())
    })?;
    Ok(name)
}

/// Demands a representation that is the same in every build.
pub(crate) fn demand_fixed_layout(input: &DeriveInput) -> Result<()> {
    let mut fixed = false;
    let mut seen: Option<Span> = None;
    each(&input.attrs, "repr", |meta| {
        seen = Some(meta.path.span());
        fixed |= meta.path.is_ident("C") || meta.path.is_ident("transparent");
        // `align(8)` and `packed(2)` have an argument, which is the compiler's business.
        if meta.input.peek(syn::token::Paren) {
            let number;
            syn::parenthesized!(number in meta.input);
            number.parse::<proc_macro2::TokenStream>()?;
        }
        Ok(())
    })?;
    if fixed {
        return Ok(());
    }
    let name = &input.ident;
    let why = format!(
        "`{name}` needs `#[repr(C)]` (or `#[repr(transparent)]`): without it every build may lay the fields \
         out differently"
    );
    Err(Error::new(seen.unwrap_or_else(|| name.span()), why))
}

fn each(
    attributes: &[Attribute],
    name: &str,
    mut handle: impl FnMut(ParseNestedMeta<'_>) -> Result<()>,
) -> Result<()> {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident(name))
        .try_for_each(|attribute| attribute.parse_nested_meta(&mut handle))
}
