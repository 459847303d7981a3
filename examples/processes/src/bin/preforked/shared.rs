//! What the workers share: a rate limiter, a cache of responses, counters.

use mapwright::Plain;
use mapwright::share::{Directory, LockError, Mutex, MutexGuard, Segment, Table, TableOptions};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Failure;

/// Items that there are.
pub(crate) const ITEMS: usize = 32;
/// Bytes of a response.
pub(crate) const BODY: usize = 256;
/// Requests a second that are let through, in all workers together.
const RATE: f64 = 1e6;

/// Everything is changed in one store, so that no death can leave half of it.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Plain)]
#[repr(C)]
pub(crate) struct Counters {
    pub(crate) served: u64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) by_item: [u64; ITEMS],
}

/// A bucket that fills with time, and from which each request takes one.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Plain)]
#[repr(C)]
struct Bucket {
    tokens: f64,
    /// Nanoseconds on the monotonic clock, which all processes of a machine share.
    filled_at: u64,
}

/// A response in the cache.
pub(crate) type Body = [u8; BODY];

pub(crate) struct Shared {
    bucket: Mutex<Bucket>,
    cache: Table<u64, Body>,
    counters: Mutex<Counters>,
}

impl Shared {
    pub(crate) fn create(name: &str) -> Result<Self, Failure> {
        let segment = Segment::builder(name)
            .with::<Mutex<Bucket>>("limiter", Bucket { tokens: RATE, filled_at: now() })
            .with::<Table<u64, Body>>("cache", TableOptions::new(ITEMS))
            .with::<Mutex<Counters>>("counters", Counters::default())
            .create()?;
        Self::of(&segment)
    }

    pub(crate) fn open(name: &str) -> Result<Self, Failure> {
        Self::of(&Directory::default_of_user()?.open(name)?)
    }

    fn of(segment: &Segment) -> Result<Self, Failure> {
        let (bucket, cache) = (segment.get("limiter")?, segment.get("cache")?);
        Ok(Self { bucket, cache, counters: segment.get("counters")? })
    }

    /// Tells whether one more request is within the rate.
    pub(crate) fn may_pass(&self) -> Result<bool, Failure> {
        take(&self.bucket)?.update(|bucket| {
            let at = now();
            let seconds = std::time::Duration::from_nanos(at.saturating_sub(bucket.filled_at)).as_secs_f64();
            bucket.tokens = (bucket.tokens + seconds * RATE).min(RATE);
            bucket.filled_at = at;
            let passes = bucket.tokens >= 1.0;
            bucket.tokens -= f64::from(u8::from(passes));
            Ok(passes)
        })
    }

    /// Returns an item's response, made where the cache has none, and whether it had one.
    pub(crate) fn body(&self, item: u64, make: impl FnOnce() -> Body) -> Result<(Body, bool), Failure> {
        if let Some(body) = self.cache.get(&item)? {
            return Ok((body, true));
        }
        let body = make();
        self.cache.insert(&item, &body)?;
        Ok((body, false))
    }

    pub(crate) fn count(&self, item: u64, was_cached: bool) -> Result<(), Failure> {
        take(&self.counters)?.update(|counters| {
            counters.served += 1;
            if was_cached {
                counters.hits += 1;
            } else {
                counters.misses += 1;
            }
            counters.by_item[usize::try_from(item).unwrap_or(0) % ITEMS] += 1;
        });
        Ok(())
    }

    pub(crate) fn counters(&self) -> Result<Counters, Failure> {
        Ok(take(&self.counters)?.load())
    }
}

/// Takes a lock. Both values are changed in one store each, so a dead holder has left nothing half done.
fn take<T: Plain>(mutex: &Mutex<T>) -> Result<MutexGuard<'_, T>, Failure> {
    match mutex.lock() {
        Ok(guard) => Ok(guard),
        Err(LockError::OwnerDied(recovery)) => Ok(recovery.recover()),
        // One that was to recover it was killed before it could say so.
        Err(LockError::Poisoned) => mutex.repair(|_| ()).map_err(|error| error.without_lock().into()),
        Err(error) => Err(error.without_lock().into()),
    }
}

fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    u64::try_from(time.tv_sec).unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(nanos)
}
