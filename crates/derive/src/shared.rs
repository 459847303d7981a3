//! From a struct of words to the proof that it is nothing else.
//!
//! The implementation holds only where every field's type has it; the compiler checks that. What it cannot
//! check is refused here: other kinds of types, other representations. (A destructor would do no harm: what
//! lies in shared memory is never dropped.)

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Error, Fields, Result};

use crate::options;

/// Implements the marker trait of that name.
pub(crate) fn mark(input: &DeriveInput, mark: &str) -> Result<TokenStream> {
    let fields = match &input.data {
        Data::Struct(data) => &data.fields,
        Data::Enum(_) | Data::Union(_) => {
            return Err(Error::new(input.ident.span(), "what is shared is a struct of words"));
        }
    };
    if matches!(fields, Fields::Unit) || fields.is_empty() {
        return Err(Error::new(input.ident.span(), "what is shared has at least one word"));
    }
    options::demand_fixed_layout(input)?;
    let krate = options::shared_crate_path(input)?;
    let name = &input.ident;
    let mark = format_ident!("{mark}");
    let (parameters, arguments, conditions) = input.generics.split_for_impl();
    let conditions = conditions.map_or_else(Vec::new, |it| it.predicates.iter().collect());
    let types = fields.iter().map(|field| &field.ty);
    Ok(quote! {
        #[automatically_derived]
        #[allow(unsafe_code, clippy::undocumented_unsafe_blocks, reason = "all fields have it")]
        unsafe impl #parameters #krate::peer::#mark for #name #arguments
        where
            #(#types: #krate::peer::#mark,)*
            #(#conditions,)*
        {
        }
    })
}
