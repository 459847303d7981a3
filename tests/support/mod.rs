//! What the tests stand on. Nothing here knows Mapwright: it is proven by `infrastructure` with plain system
//! calls.

pub(crate) mod failing_fs;
pub(crate) mod fork;
pub(crate) mod huge_pool;
pub(crate) mod loop_device;
pub(crate) mod mount;
pub(crate) mod own_maps;
pub(crate) mod page_cache;
pub(crate) mod plain_map;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod random;
pub(crate) mod sandbox;
pub(crate) mod scratch;
pub(crate) mod signals;
pub(crate) mod skip;
pub(crate) mod stepped;
pub(crate) mod suite;
pub(crate) mod tmpfs;
pub(crate) mod verity;
pub(crate) mod watchdog;
