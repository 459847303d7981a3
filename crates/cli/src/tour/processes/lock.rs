//! A lock whose holder is killed.

use std::time::Instant;

use mapwright::share::{Event, EventOptions, LockError, Mutex, Segment};

use super::peer::stay;
use super::{Second, shared};
use crate::outcome::Failure;
use crate::tour::scene::Scene;
use crate::tour::stage::Stage;
use crate::ui::words;

/// Kills a process that holds a lock, and takes the lock.
pub(super) fn kill_the_holder(stage: &mut Stage<'_>) -> Result<(), Failure> {
    stage.doing("killing a lock's holder");
    let segment = Segment::anonymous("tour")
        .with::<Mutex<u64>>("stock", 100)
        .with::<Event>("taken", EventOptions::Manual)
        .with::<Event>("never", EventOptions::Manual)
        .create()?;
    let (stock, taken): (Mutex<u64>, Event) = (segment.get("stock")?, segment.get("taken")?);
    let mut second = Second::start("hold", &segment)?;
    taken.wait().map_err(shared)?;
    let is_held = matches!(stock.try_lock(), Err(LockError::TimedOut));
    second.kill()?;
    let start = Instant::now();
    let recovery = match stock.lock() {
        Err(LockError::OwnerDied(recovery)) => recovery,
        Ok(_) => return Err(Failure::new("the lock of a dead holder was taken as if nothing had happened")),
        Err(error) => return Err(shared(error)),
    };
    let waited = start.elapsed();
    let found = recovery.load();
    let left = recovery.repair(|stock| *stock -= 1).load();
    if !is_held || found != 93 || left != 92 {
        return Err(Failure::new(format!("the stock was {found} and is {left}; it should be 93 and 92")));
    }
    let says = format!(
        "The second process took the lock, changed 100 into 93, and was killed (SIGKILL) holding it. Taking \
         the lock said so after {}: OwnerDied, with the value of its last finished change, {found}. It is \
         repaired to {left}, and the lock is as good as before. A flag or a plain futex would be held for \
         ever.",
        words::time(waited),
    );
    let scene =
        Scene::new("A lock's holder is killed").code("Err(LockError::OwnerDied(recovery))").says(says);
    stage.show(scene)
}

/// The second process.
pub(super) fn hold(segment: &Segment) -> Result<(), Failure> {
    let stock: Mutex<u64> = segment.get("stock")?;
    let mut guard = stock.lock().map_err(shared)?;
    guard.update(|stock| *stock -= 7);
    segment.get::<Event>("taken")?.set().map_err(shared)?;
    stay(&segment.get("never")?)
}
