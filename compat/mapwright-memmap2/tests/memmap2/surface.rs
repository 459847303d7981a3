//! Every public function of memmap2 0.9.12 with its exact type: that this compiles for both crates is the
//! test.
//!
//! `api` checks that the list is complete.

use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::io::{Error, Result as IoResult};
use std::ops::{Deref, DerefMut};
use std::os::fd::RawFd;
use std::panic::{RefUnwindSafe, UnwindSafe};

use super::memmap2::{
    Advice, MapIfSafeError, Mmap, MmapAsRawDesc, MmapMut, MmapOptions, MmapRaw, MmapRawDescriptor,
    RemapOptions, UncheckedAdvice,
};
use stable_deref_trait::StableDeref;

/// Any reference to something with a descriptor.
type File = &'static std::fs::File;
type AdviseRange<T> = fn(&T, Advice, usize, usize) -> IoResult<()>;
type UncheckedAdviseRange<T> = unsafe fn(&T, UncheckedAdvice, usize, usize) -> IoResult<()>;
type Remap<T> = unsafe fn(&mut T, usize, RemapOptions) -> IoResult<()>;
type FlushRange<T> = fn(&T, usize, usize) -> IoResult<()>;
type Set<V> = for<'a> fn(&'a mut MmapOptions, V) -> &'a mut MmapOptions;
type SetFlag = for<'a> fn(&'a mut MmapOptions) -> &'a mut MmapOptions;
type MapIfSafe<T> = Result<T, MapIfSafeError>;

const _: fn(Advice) -> bool = Advice::is_supported;
const _: fn(UncheckedAdvice) -> bool = UncheckedAdvice::is_supported;

const _: fn(&MapIfSafeError) -> bool = MapIfSafeError::map_failed;
const _: fn(&MapIfSafeError) -> bool = MapIfSafeError::not_safe;
const _: fn(&MapIfSafeError) -> bool = MapIfSafeError::not_supported;
const _: fn(MapIfSafeError) -> Error = <Error as From<MapIfSafeError>>::from;

const _: fn(&Mmap, Advice) -> IoResult<()> = Mmap::advise;
const _: AdviseRange<Mmap> = Mmap::advise_range;
const _: fn(&Mmap) -> IoResult<()> = Mmap::lock;
const _: fn(Mmap) -> IoResult<MmapMut> = Mmap::make_mut;
const _: unsafe fn(File) -> IoResult<Mmap> = Mmap::map::<File>;
const _: fn(File) -> MapIfSafe<Mmap> = Mmap::map_if_safe::<File>;
const _: Remap<Mmap> = Mmap::remap;
const _: unsafe fn(&Mmap, UncheckedAdvice) -> IoResult<()> = Mmap::unchecked_advise;
const _: UncheckedAdviseRange<Mmap> = Mmap::unchecked_advise_range;
const _: fn(&Mmap) -> IoResult<()> = Mmap::unlock;

const _: fn(&MmapMut, Advice) -> IoResult<()> = MmapMut::advise;
const _: AdviseRange<MmapMut> = MmapMut::advise_range;
const _: fn(&MmapMut) -> IoResult<()> = MmapMut::flush;
const _: fn(&MmapMut) -> IoResult<()> = MmapMut::flush_async;
const _: FlushRange<MmapMut> = MmapMut::flush_async_range;
const _: FlushRange<MmapMut> = MmapMut::flush_range;
const _: fn(&MmapMut) -> IoResult<()> = MmapMut::lock;
const _: fn(MmapMut) -> IoResult<Mmap> = MmapMut::make_exec;
const _: fn(MmapMut) -> IoResult<Mmap> = MmapMut::make_read_only;
const _: fn(usize) -> IoResult<MmapMut> = MmapMut::map_anon;
const _: unsafe fn(File) -> IoResult<MmapMut> = MmapMut::map_mut::<File>;
const _: Remap<MmapMut> = MmapMut::remap;
const _: unsafe fn(&MmapMut, UncheckedAdvice) -> IoResult<()> = MmapMut::unchecked_advise;
const _: UncheckedAdviseRange<MmapMut> = MmapMut::unchecked_advise_range;
const _: fn(&MmapMut) -> IoResult<()> = MmapMut::unlock;

const _: Set<Option<u8>> = MmapOptions::huge;
const _: Set<usize> = MmapOptions::len;
const _: unsafe fn(&MmapOptions, File) -> IoResult<Mmap> = MmapOptions::map::<File>;
const _: fn(&MmapOptions) -> IoResult<MmapMut> = MmapOptions::map_anon;
const _: unsafe fn(&MmapOptions, File) -> IoResult<MmapMut> = MmapOptions::map_copy::<File>;
const _: unsafe fn(&MmapOptions, RawFd) -> IoResult<Mmap> = MmapOptions::map_copy_read_only::<RawFd>;
const _: unsafe fn(&MmapOptions, File) -> IoResult<Mmap> = MmapOptions::map_exec::<File>;
const _: fn(&MmapOptions, File) -> MapIfSafe<Mmap> = MmapOptions::map_if_safe::<File>;
const _: unsafe fn(&MmapOptions, File) -> IoResult<MmapMut> = MmapOptions::map_mut::<File>;
const _: fn(&MmapOptions, File) -> IoResult<MmapRaw> = MmapOptions::map_raw::<File>;
const _: fn(&MmapOptions, File) -> IoResult<MmapRaw> = MmapOptions::map_raw_read_only::<File>;
const _: fn() -> MmapOptions = MmapOptions::new;
const _: SetFlag = MmapOptions::no_probe_handle;
const _: SetFlag = MmapOptions::no_reserve_swap;
const _: Set<u64> = MmapOptions::offset;
const _: SetFlag = MmapOptions::populate;
const _: SetFlag = MmapOptions::stack;

const _: fn(&MmapRaw, Advice) -> IoResult<()> = MmapRaw::advise;
const _: AdviseRange<MmapRaw> = MmapRaw::advise_range;
const _: fn(&MmapRaw) -> *mut u8 = MmapRaw::as_mut_ptr;
const _: fn(&MmapRaw) -> *const u8 = MmapRaw::as_ptr;
const _: fn(&MmapRaw) -> IoResult<()> = MmapRaw::flush;
const _: fn(&MmapRaw) -> IoResult<()> = MmapRaw::flush_async;
const _: FlushRange<MmapRaw> = MmapRaw::flush_async_range;
const _: FlushRange<MmapRaw> = MmapRaw::flush_range;
const _: fn(&MmapRaw) -> usize = MmapRaw::len;
const _: fn(&MmapRaw) -> IoResult<()> = MmapRaw::lock;
const _: fn(File) -> IoResult<MmapRaw> = MmapRaw::map_raw::<File>;
const _: Remap<MmapRaw> = MmapRaw::remap;
const _: unsafe fn(&MmapRaw, UncheckedAdvice) -> IoResult<()> = MmapRaw::unchecked_advise;
const _: UncheckedAdviseRange<MmapRaw> = MmapRaw::unchecked_advise_range;
const _: fn(&MmapRaw) -> IoResult<()> = MmapRaw::unlock;
const _: fn(Mmap) -> MmapRaw = <MmapRaw as From<Mmap>>::from;
const _: fn(MmapMut) -> MmapRaw = <MmapRaw as From<MmapMut>>::from;

const _: fn(RemapOptions, bool) -> RemapOptions = RemapOptions::may_move;
const _: fn() -> RemapOptions = RemapOptions::new;

const _: fn(&RawFd) -> MmapRawDescriptor = <RawFd as MmapAsRawDesc>::as_raw_desc;
const _: fn(&File) -> MmapRawDescriptor = <File as MmapAsRawDesc>::as_raw_desc;

#[test]
fn every_advice_has_the_kernel_s_number() {
    let safe = [
        (Advice::Normal, libc::MADV_NORMAL),
        (Advice::Random, libc::MADV_RANDOM),
        (Advice::Sequential, libc::MADV_SEQUENTIAL),
        (Advice::WillNeed, libc::MADV_WILLNEED),
        (Advice::DontFork, libc::MADV_DONTFORK),
        (Advice::DoFork, libc::MADV_DOFORK),
        (Advice::Mergeable, libc::MADV_MERGEABLE),
        (Advice::Unmergeable, libc::MADV_UNMERGEABLE),
        (Advice::HugePage, libc::MADV_HUGEPAGE),
        (Advice::NoHugePage, libc::MADV_NOHUGEPAGE),
        (Advice::DontDump, libc::MADV_DONTDUMP),
        (Advice::DoDump, libc::MADV_DODUMP),
        (Advice::HwPoison, libc::MADV_HWPOISON),
        (Advice::PopulateRead, libc::MADV_POPULATE_READ),
        (Advice::PopulateWrite, libc::MADV_POPULATE_WRITE),
    ];
    let changing = [
        (UncheckedAdvice::DontNeed, libc::MADV_DONTNEED),
        (UncheckedAdvice::Free, libc::MADV_FREE),
        (UncheckedAdvice::Remove, libc::MADV_REMOVE),
    ];
    for (advice, number) in safe {
        assert_eq!(advice as i32, number, "{advice:?}");
    }
    for (advice, number) in changing {
        assert_eq!(advice as i32, number, "{advice:?}");
    }
}

#[test]
fn every_type_has_its_traits() {
    fn value<T: Copy + Clone + Debug + Eq + PartialEq + Hash>() {}
    fn thread<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe>() {}
    fn bytes<T: Deref<Target = [u8]> + AsRef<[u8]> + StableDeref + Debug>() {}
    fn bytes_mut<T: DerefMut + AsMut<[u8]>>() {}
    fn options<T: Clone + Debug + Default>() {}
    fn error<T: std::error::Error + Debug + Display + Send + Sync + 'static>() {}
    value::<Advice>();
    value::<UncheckedAdvice>();
    thread::<Mmap>();
    thread::<MmapMut>();
    thread::<MmapRaw>();
    thread::<MmapOptions>();
    thread::<MmapRawDescriptor>();
    bytes::<Mmap>();
    bytes::<MmapMut>();
    bytes_mut::<MmapMut>();
    options::<MmapOptions>();
    options::<RemapOptions>();
    error::<MapIfSafeError>();
}
