//! What a map allows, said in its type.

/// What a map's type allows its users to do. Sealed: the four kinds below are all there are.
///
/// What a map does not allow does not compile:
///
/// ```compile_fail,E0599
/// # use mapwright_core::Map;
/// # fn damage(map: Map) {
/// let _ = map.view().store(0, 7u8);       // a map that can only be read
/// # }
/// ```
pub trait Access: sealed::Sealed + Copy + Send + Sync + 'static {}

/// Maps whose bytes can be read.
///
/// ```
/// use mapwright_core::{Fault, Map, MapOptions, Readable};
/// fn first<A: Readable>(map: &Map<A>) -> Result<u8, Fault> {
///     map.view().load(0)
/// }
/// assert_eq!(first(&MapOptions::new().shared_memory(1)?)?, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Readable: Access {}

/// Maps whose bytes can be written.
///
/// ```
/// use mapwright_core::{Fault, Map, MapOptions, Writable};
/// fn clear<A: Writable>(map: &Map<A>) -> Result<(), Fault> {
///     map.view().fill(.., 0)
/// }
/// clear(&MapOptions::new().shared_memory(4096)?)?;
/// clear(&MapOptions::new().map_copy(tempfile::tempfile()?)?)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Writable: Readable {}

macro_rules! access {
    ($(#[$doc:meta])* $name:ident: $protection:expr, $($kind:ident),*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(());
        impl sealed::Sealed for $name {
            const PROTECTION: i32 = $protection;
        }
        impl Access for $name {}
        $(impl $kind for $name {})*
    };
}

access! {
    /// Bytes can be read. The default.
    ReadOnly: libc::PROT_READ, Readable
}
access! {
    /// Bytes can be read and written, and what is written reaches the file and everybody who shares it.
    ReadWrite: libc::PROT_READ | libc::PROT_WRITE, Readable, Writable
}
access! {
    /// Bytes can be read and written, but what is written stays private to this map and never reaches the
    /// file.
    CopyOnWrite: libc::PROT_READ | libc::PROT_WRITE, Readable, Writable
}
access! {
    /// Bytes can be read and run as instructions; never written while they can be run.
    Executable: libc::PROT_READ | libc::PROT_EXEC, Readable
}

pub(crate) mod sealed {
    /// Keeps the set of accesses closed.
    pub trait Sealed {
        /// The kernel's protection bits for this access.
        const PROTECTION: i32;
    }
}
