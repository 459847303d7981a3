//! Large payloads without copies between processes: chunks that change hands.
//!
//! ```text
//!  bell │ chunks: word (state, owner, generation), generation, length │ holds │ bytes
//!
//!          take               send                receive             drop
//!   free ────────▶ loaned ───────────▶ in transit ───────────▶ held ─────────▶ free
//!     ▲               │ publish                        drop
//!     │               └──────────▶ published ───────────────────▶ retired ───▶ free
//!   spare (free, and looked out for the next loan)          when the last hold is let go of
//! ```
//! A chunk's word says where it is and names its owner in the same eight bytes, so at every moment each chunk
//! is in exactly one place. What travels is a [`Parcel`] of 16 bytes; it names the chunk and its generation,
//! which every loan counts up, so that a parcel that comes too late is refused.
//!
//! What a death leaves, and [`Pool::recover`] frees:
//!
//! | the dead one had it | when it is freed |
//! |---|---|
//! | loaned, held, spare | whenever somebody attaches, or finds nothing free |
//! | in transit, published | when somebody finds nothing free: until then its messages can be received |
//! | a hold on a published chunk | with the chunk, as if let go of |
//!
//! A parcel that is lost while its sender lives (its receiver died between taking the message and redeeming
//! it) leaves the chunk in transit: [`Pool::in_transit`] lists those, [`Pool::recall`] takes one back.

mod bytes;
mod loan;
mod parcel;
mod store;
#[cfg(test)]
mod tests;
mod word;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mapwright_core::peer::{Bell, Deadline, Line, Ordering, Placed, Waited, Word64};
use mapwright_core::{Error, ErrorKind, Fault, Result};

pub use self::loan::Loan;
use self::parcel::Right;
pub use self::parcel::{Parcel, Published, Received};
use self::store::{Chunk, Store, Transit, to_u64};
use self::word::{State, Word};
use crate::figure::Figure;
use crate::object::{Kind, Object, Plan, Site, room};
use crate::spin;
use crate::waiting::Waitable;

/// Chunks of shared memory that are written in place, handed over, and read in place.
///
/// Cheaper than a queue of the bytes from some thousand bytes on: nothing is copied between the one who
/// writes and the one who reads.
///
/// ```
/// use mapwright_share::{Parcel, Policy, Pool, PoolOptions, Segment, Start, Topic, TopicOptions};
/// let segment = Segment::anonymous("camera")
///     .with::<Pool>("frames", PoolOptions::new(640 * 480, 8))
///     .with::<Topic<Parcel>>("shown", TopicOptions::new(8))
///     .create()?;
/// let (frames, shown): (Pool, Topic<Parcel>) = (segment.get("frames")?, segment.get("shown")?);
/// let mut screen = shown.subscribe(Policy::Block, Start::Newest)?;
///
/// let mut frame = frames.loan()?;
/// frame.fill(640 * 480, |_, piece| piece.fill(7))?;
/// let (parcel, published) = frame.publish();
/// shown.publisher()?.publish(&parcel)?;
///
/// let frame = frames.receive(screen.receive()?)?;
/// assert_eq!(frame.load::<u8>(1000)?, 7);
/// drop(published); // nobody else can receive it from now on; free once `frame` is dropped
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Caveats
/// Chunks of a sender that died are received only until somebody finds nothing free.
#[derive(Clone, Debug)]
pub struct Pool {
    store: Arc<Store>,
}

/// How large a pool is.
///
/// ```
/// use mapwright_share::PoolOptions;
/// let frames = PoolOptions::new(1920 * 1080 * 3, 8).readers(4);
/// # let _options: PoolOptions = frames;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolOptions {
    chunk_len: u64,
    chunks: u64,
    readers: u64,
}

/// Why there was no loan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoanError {
    /// Every chunk is somebody's who is alive.
    NoneFree,
    /// Every chunk was until the deadline.
    TimedOut,
    /// The shared memory is gone: cut short by somebody, or this is a forked child that has to attach itself.
    Fault(Fault),
}

/// Why a parcel was not redeemed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedeemError {
    /// It is worth nothing: redeemed already, taken back, or recovered after its sender's death.
    Stale,
    /// As many as were planned read this chunk already.
    TooManyReaders,
    /// The shared memory is gone: cut short by somebody, or this is a forked child that has to attach itself.
    Fault(Fault),
}

/// After so long a sleeper asks whether those who have the chunks are still alive.
const ASK_AFTER: Duration = Duration::from_millis(100);

const ACTION: &str = "plan a pool in";

impl PoolOptions {
    /// Has so many chunks, for messages of at most `chunk_len` bytes; 16 can read the same published one.
    #[must_use]
    pub fn new(chunk_len: usize, chunks: usize) -> Self {
        Self { chunk_len: to_u64(chunk_len), chunks: to_u64(chunks), readers: 16 }
    }

    /// Lets so many read the same published chunk at a time, rounded up to a multiple of 16; 65,536 at most.
    #[must_use]
    pub fn readers(mut self, readers: usize) -> Self {
        self.readers = to_u64(readers);
        self
    }

    /// Returns the size of one, and how many there are, of each part.
    fn parts(&self) -> Result<[(usize, usize); 4]> {
        const MOST: u64 = 1 << 31;
        let refuse = |why: String| Err(Error::new(ErrorKind::InvalidInput, ACTION, "shared memory", why));
        if self.chunk_len == 0 || self.chunks == 0 || self.chunks > MOST {
            return refuse(format!("{} chunks of {} bytes make no pool", self.chunks, self.chunk_len));
        }
        if self.readers == 0 || self.readers > 1 << 16 {
            return refuse(format!("{} readers were asked for; 1 to 65536 there can be", self.readers));
        }
        // Whole lines each, so that two chunks never share one.
        let words = |words: u64| {
            let all = words.checked_next_multiple_of(16)?.checked_mul(self.chunks)?;
            usize::try_from(all).ok()
        };
        let chunks = usize::try_from(self.chunks).unwrap_or(usize::MAX);
        match (words(self.readers), words(self.chunk_len.div_ceil(8))) {
            (Some(holds), Some(bytes)) => Ok([
                (size_of::<Line<Bell>>(), 1),
                (size_of::<Chunk>(), chunks),
                (size_of::<Word64>(), holds),
                (size_of::<Word64>(), bytes),
            ]),
            _ => refuse(format!("{} chunks of {} bytes are beyond any size", self.chunks, self.chunk_len)),
        }
    }
}

impl Pool {
    /// Returns a chunk to be written, waiting until one is free.
    ///
    /// # Errors
    /// [`LoanError::Fault`].
    ///
    /// # Kernel
    /// None as long as chunks are free; futex(2) to sleep, and the oracle's fcntl(2) where none is.
    #[inline]
    pub fn loan(&self) -> Result<Loan, LoanError> {
        self.loan_until(Deadline::never())
    }

    /// Returns a chunk to be written if one is free.
    ///
    /// # Errors
    /// [`LoanError::NoneFree`], [`LoanError::Fault`].
    #[inline]
    pub fn try_loan(&self) -> Result<Loan, LoanError> {
        self.store.check()?;
        let taken = self.store.take().or_else(|| self.take_from_the_dead());
        taken.map(|taken| Loan::new(Arc::clone(&self.store), taken)).ok_or(LoanError::NoneFree)
    }

    #[cold]
    fn take_from_the_dead(&self) -> Option<(usize, Word)> {
        // Only where nothing else helps, messages of the dead that are still under way are given up.
        [Transit::Keep, Transit::TakeBack].into_iter().find_map(|transit| {
            self.store.recover(transit);
            self.store.take()
        })
    }

    /// Returns a chunk to be written, waiting until a deadline at most.
    ///
    /// # Errors
    /// [`LoanError::TimedOut`], [`LoanError::Fault`].
    pub fn loan_until(&self, until: Deadline) -> Result<Loan, LoanError> {
        loop {
            match self.try_loan() {
                Err(LoanError::NoneFree) => {}
                other => return other,
            }
            if let Some(taken) = spin::look(|| self.store.take()) {
                return Ok(Loan::new(Arc::clone(&self.store), taken));
            }
            if until.has_passed() {
                return Err(LoanError::TimedOut);
            }
            let ticket = self.store.freed().listen();
            match self.try_loan() {
                Err(LoanError::NoneFree) => {}
                other => return other,
            }
            let slice = Deadline::after(ASK_AFTER).earlier(until);
            if self.store.freed().sleep(ticket, slice) == Waited::TimedOut && until.has_passed() {
                return Err(LoanError::TimedOut);
            }
        }
    }

    /// Redeems a parcel: what was sent is the caller's alone, what was published is read by others, too.
    ///
    /// # Errors
    /// [`RedeemError`] says which.
    #[inline]
    pub fn receive(&self, parcel: Parcel) -> Result<Received, RedeemError> {
        self.store.check()?;
        let index = parcel.index();
        let chunk = self.store.chunk(index).ok_or(RedeemError::Stale)?;
        let seen = Word(chunk.word.load(Ordering::Acquire));
        if chunk.generation.load(Ordering::Relaxed) != parcel.generation()
            || u64::from(seen.generation()) != parcel.generation() & u64::from(u32::MAX)
        {
            return Err(RedeemError::Stale);
        }
        let right = match seen.state() {
            State::Sent => {
                let held = seen.to(State::Held, self.store.me());
                self.store.exchange(index, seen, held).then_some(Right::Owner(held))
            }
            State::Published => {
                let held = self.store.hold(index, seen).map_err(|()| RedeemError::TooManyReaders)?;
                held.map(Right::Hold)
            }
            _ => None,
        };
        let right = right.ok_or(RedeemError::Stale)?;
        Ok(Received::new(Arc::clone(&self.store), index, right))
    }

    /// Returns the parcels that this participant has sent and nobody has redeemed.
    #[must_use]
    pub fn in_transit(&self) -> Vec<Parcel> {
        let of = |index| {
            let chunk = self.store.chunk(index)?;
            let is_mine = Word(chunk.word.load(Ordering::Acquire)).is(State::Sent, self.store.me());
            is_mine.then(|| Parcel::new(index, chunk.generation.load(Ordering::Relaxed)))
        };
        (0..self.store.count()).filter_map(of).collect()
    }

    /// Takes back a chunk that this participant has sent; its parcel is worth nothing from now on.
    ///
    /// # Errors
    /// [`RedeemError::Stale`] where somebody has redeemed it, or it was another's.
    pub fn recall(&self, parcel: Parcel) -> Result<Loan, RedeemError> {
        self.store.check()?;
        let index = parcel.index();
        let chunk = self.store.chunk(index).ok_or(RedeemError::Stale)?;
        let seen = Word(chunk.word.load(Ordering::Acquire));
        let is_it = chunk.generation.load(Ordering::Relaxed) == parcel.generation()
            && u64::from(seen.generation()) == parcel.generation() & u64::from(u32::MAX)
            && seen.is(State::Sent, self.store.me());
        let loan = if is_it { Loan::recall(&self.store, index, seen) } else { None };
        loan.ok_or(RedeemError::Stale)
    }

    /// Frees every chunk that a dead participant had, also those whose messages are still under way; returns
    /// how many. Loans do so by themselves when nothing else is free.
    ///
    /// # Errors
    /// The shared memory is gone.
    pub fn recover(&self) -> Result<usize, Fault> {
        self.store.check()?;
        Ok(self.store.recover(Transit::TakeBack))
    }

    /// Returns how many bytes a chunk has.
    #[must_use]
    pub fn chunk_len(&self) -> usize {
        self.store.chunk_len()
    }

    /// Returns how many chunks there are.
    #[must_use]
    pub fn chunks(&self) -> usize {
        self.store.count()
    }

    /// Returns how many chunks are free now.
    #[must_use]
    pub fn free(&self) -> usize {
        let counts = self.store.states();
        counts[State::Free as usize] + counts[State::Spare as usize]
    }
}

/// Ready where a chunk can be had, be it a dead one's; another may be faster.
impl Waitable for Pool {
    fn bell(&self) -> Placed<Bell> {
        self.store.bell()
    }

    fn is_ready(&self) -> bool {
        let recovers = |transit| self.store.recover(transit) > 0;
        self.store.check().is_err()
            || self.free() > 0
            || recovers(Transit::Keep)
            || recovers(Transit::TakeBack)
    }
}

impl Object for Pool {
    const KIND: Kind = Kind::Pool;
    type Options = PoolOptions;

    fn plan(options: &PoolOptions) -> Result<Plan> {
        let parameters = [options.chunk_len, options.chunks, options.readers, 0, 0, 0];
        let len = room(ACTION, &options.parts()?)?;
        Ok(Plan { kind: Kind::Pool, len, layout: Self::layout(), parameters })
    }

    fn create(site: &Site, _options: &PoolOptions) -> Result<()> {
        // All zeros are free chunks.
        Store::at(site).map(drop)
    }

    fn layout() -> String {
        String::new()
    }

    fn attach(site: &Site) -> Result<Self> {
        let store = Arc::new(Store::at(site)?);
        // Also so that what an earlier participant of this seat had is never taken for this one's.
        store.recover(Transit::Keep);
        Ok(Self { store })
    }
}

/// Tells what can be seen of a pool.
pub(crate) fn inspect(site: &Site) -> Result<Vec<Figure>> {
    Ok(Store::at(site)?.figures())
}

impl From<Fault> for LoanError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Fault> for RedeemError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl fmt::Display for LoanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoneFree => f.write_str("no chunk is free now"),
            Self::TimedOut => f.write_str("no chunk was free before the deadline"),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for RedeemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale => f.write_str("the parcel's chunk is not in transit any more"),
            Self::TooManyReaders => f.write_str("as many as were planned read the chunk already"),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for LoanError {}
impl std::error::Error for RedeemError {}
