//! x
use crate::figure::Figure;
use crate::object::Site;
use mapwright_core::Result;
pub(crate) fn inspect(_site: &Site) -> Result<Vec<Figure>> {
    Ok(vec![])
}
