//! Thin doors to the kernel, one file each. They translate types and errors and decide nothing.
//!
//! Memory-management calls go through libc, so that sanitizers and preloaded libraries see them; everything
//! else goes through rustix. Contracts about who owns a range are stated here and kept in `map`.

pub(crate) mod absent;
pub(crate) mod file;
pub(crate) mod file_system;
pub(crate) mod fork;
pub(crate) mod memory;
pub(crate) mod page;
pub(crate) mod pagemap;
pub(crate) mod permission;
pub(crate) mod probe;
pub(crate) mod reflink;
pub(crate) mod seal;
pub(crate) mod smaps;
pub(crate) mod unnamed;
pub(crate) mod verity;

/// An ioctl(2)'s number as the C library takes it: glibc's is a long, musl's an int of the same bits.
fn request(number: u32) -> libc::Ioctl {
    #[cfg(target_env = "musl")]
    return number.cast_signed();
    #[cfg(not(target_env = "musl"))]
    return libc::Ioctl::from(number);
}
