//! The right to change something alone, which names whoever has it.
//!
//! One exchange both takes the claim and names the taker, so a death at any instant leaves either nothing or
//! a name, and a name that is a dead one's is taken over at once, without a timeout. The taker is told whose
//! place it took: what that one left half done has to be put right first. One that dies over putting it right
//! leaves its own name, and the next one does it again.

use std::time::Duration;

use mapwright_core::peer::{
    Bell, Deadline, Identity, Oracle, Ordering, Shared, Waited, Word32, Word64, relax,
};

/// How often a taken claim is looked at before sleeping: about as long as a wake-up takes.
#[cfg(not(any(loom, shuttle)))]
const LOOKS: u32 = 200;
#[cfg(any(loom, shuttle))]
const LOOKS: u32 = 1;

/// After so long a sleeper asks whether the holder is still alive.
const ASK_AFTER: Duration = Duration::from_millis(100);

/// All zeros is a free one.
#[derive(Debug, Default, Shared)]
#[shared(crate = "mapwright_core")]
#[repr(C)]
pub(crate) struct Claim {
    /// The holder's identity, 0 for nobody.
    holder: Word64,
    bell: Bell,
    _reserved: Word32,
}

/// How a claim was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The one before let go of it.
    Clean,
    /// The one before died with it.
    AfterDeath,
}

impl Claim {
    /// Takes it, waiting until a deadline at most.
    ///
    /// # Errors
    /// Whoever has it, and lives.
    #[inline]
    pub(crate) fn take(&self, oracle: &dyn Oracle, me: Identity, until: Deadline) -> Result<Taken, Identity> {
        match self.holder.compare_exchange(0, me.number(), Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => Ok(Taken::Clean),
            Err(_) => self.take_slowly(oracle, me, until),
        }
    }

    #[cold]
    fn take_slowly(&self, oracle: &dyn Oracle, me: Identity, until: Deadline) -> Result<Taken, Identity> {
        loop {
            for _ in 0..LOOKS {
                if self.swap(0, me) {
                    return Ok(Taken::Clean);
                }
                relax();
            }
            let seen = self.holder.load(Ordering::Relaxed);
            let holder = match Identity::from_number(seen) {
                Some(holder) if oracle.is_alive(holder) => holder,
                _ if seen != 0 && self.swap(seen, me) => return Ok(Taken::AfterDeath),
                // It was let go of, or somebody was faster.
                _ => continue,
            };
            if until.has_passed() {
                return Err(holder);
            }
            let ticket = self.bell.listen();
            if self.holder.load(Ordering::Relaxed) == holder.number() {
                let _woken: Waited = self.bell.sleep(ticket, until.earlier(Deadline::after(ASK_AFTER)));
            }
        }
    }

    fn swap(&self, seen: u64, me: Identity) -> bool {
        self.holder.load(Ordering::Relaxed) == seen
            && self.holder.compare_exchange(seen, me.number(), Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Lets go of it. Only for whoever has it.
    #[inline]
    pub(crate) fn let_go(&self) {
        self.holder.store(0, Ordering::Release);
        self.bell.ring();
    }

    /// Returns who has it; `None` for nobody.
    pub(crate) fn holder(&self) -> Option<Identity> {
        Identity::from_number(self.holder.load(Ordering::Relaxed))
    }
}
