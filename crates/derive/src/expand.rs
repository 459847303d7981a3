//! From the struct to the implementation.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, Member, Result, Type};

use crate::options;

/// Writes the implementation of `Plain`.
pub(crate) fn plain(input: &DeriveInput) -> Result<TokenStream> {
    let name = &input.ident;
    let fields = struct_fields(input)?;
    options::demand_fixed_layout(input)?;
    let krate = options::crate_path(input)?;
    let described = fields
        .members()
        .zip(fields)
        .map(|(member, field)| {
            refuse_by_sight(&field.ty)?;
            let known_as = options::field_name(field, name_of(&member))?;
            let ty = &field.ty;
            Ok(quote! {
                #krate::LayoutField {
                    name: #known_as,
                    offset: ::core::mem::offset_of!(Self, #member),
                    layout: &<#ty as #krate::Plain>::STRUCTURE,
                }
            })
        })
        .collect::<Result<Vec<_>>>()?;

    let mut generics = input.generics.clone();
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(syn::parse_quote!(#krate::Plain));
    }
    // `Plain` demands these of the struct itself; for a generic one only the user's own derives know when
    // they hold.
    if input.generics.type_params().next().is_some() {
        generics.make_where_clause().predicates.push(syn::parse_quote!(Self: #krate::zerocopy::FromBytes
                + #krate::zerocopy::IntoBytes
                + #krate::zerocopy::Immutable
                + ::core::marker::Copy));
    }
    let (parameters, arguments, conditions) = generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #parameters #krate::Plain for #name #arguments #conditions {
            const STRUCTURE: #krate::Layout = #krate::Layout {
                size: ::core::mem::size_of::<Self>(),
                align: ::core::mem::align_of::<Self>(),
                shape: #krate::LayoutShape::Struct { fields: &[#(#described),*] },
            };
        }
    })
}

fn struct_fields(input: &DeriveInput) -> Result<&Fields> {
    let why = match &input.data {
        Data::Struct(data) => return Ok(&data.fields),
        Data::Enum(_) => {
            "an enum cannot be plain: not every number is one of its variants; store the number, and convert \
             it when it is read"
        }
        Data::Union(_) => {
            "a union cannot be plain: its bytes do not say which field they are; store an array of bytes"
        }
    };
    Err(Error::new(input.ident.span(), why))
}

/// Refuses what is plainly not plain, in words of its own. (Behind a type alias the traits find it, in
/// theirs.)
fn refuse_by_sight(ty: &Type) -> Result<()> {
    const ADDRESS: &str = "it is an address in this process and means nothing in a file or in another \
                           process; store an offset or an index";
    // One token each: what a span of several shows depends on the compiler.
    let (what, why, place) = match ty {
        Type::Reference(reference) => ("a reference", ADDRESS, reference.and_token.span),
        Type::Ptr(pointer) => ("a pointer", ADDRESS, pointer.star_token.span),
        Type::BareFn(function) => ("a function pointer", ADDRESS, function.fn_token.span),
        Type::Array(array) => return refuse_by_sight(&array.elem),
        Type::Paren(inner) => return refuse_by_sight(&inner.elem),
        Type::Group(inner) => return refuse_by_sight(&inner.elem),
        Type::Path(named) => match named.path.get_ident() {
            Some(name) if name == "bool" => (
                "a `bool`",
                "254 of the 256 bytes that a file may hold are none; store a `u8` and compare it with 0",
                name.span(),
            ),
            Some(name) if name == "char" => (
                "a `char`",
                "not every number is one; store a `u32`, and convert it when it is read",
                name.span(),
            ),
            Some(name) if name == "String" => (
                "a `String`",
                "its text lies elsewhere in this process; store an array of bytes and a length",
                name.span(),
            ),
            _ => return Ok(()),
        },
        _ => return Ok(()),
    };
    Err(Error::new(place, format!("{what} cannot be plain: {why}")))
}

fn name_of(member: &Member) -> String {
    match member {
        Member::Named(name) => name.to_string().trim_start_matches("r#").to_owned(),
        Member::Unnamed(index) => index.index.to_string(),
    }
}
