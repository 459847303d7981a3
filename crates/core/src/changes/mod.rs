//! x
use crate::error::{Error, Result};
use crate::map::Source;
use crate::sys::file;
pub(crate) fn reserve(source: &Source, offset: u64, len: u64) -> Result<()> {
    file::reserve(source.fd(), offset, len).map_err(|c| Error::os("reserve space in", source.name(), c))
}
