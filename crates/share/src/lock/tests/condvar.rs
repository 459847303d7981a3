//! Condition variables: no wake-up is lost, whoever is killed.

use super::*;
use mapwright_core::peer::points::{Child, End};

/// Numbers under a mutex: what is waited for, and how many have begun to wait.
type Numbers = [u64; 2];

struct Both {
    mutex: Ground,
    condvar: Ground,
}

impl Both {
    fn new() -> Self {
        Self { mutex: Ground::new::<Mutex<Numbers>>(&[0, 0]), condvar: Ground::new::<Condvar>(&()) }
    }

    fn attach(&self) -> (Mutex<Numbers>, Condvar) {
        (self.mutex.attach(), self.condvar.attach())
    }

    /// A child that waits until the first number is at least so large, takes one of them, and ends.
    fn consumer(&self) -> Child {
        Child::fork(|| {
            let (mutex, condvar) = self.attach();
            let mut guard = mutex.lock().unwrap();
            guard.update(|value| value[1] += 1);
            loop {
                if guard.load()[0] > 0 {
                    return guard.update(|value| value[0] -= 1);
                }
                guard = match condvar.wait_until(guard, soon()) {
                    Ok(guard) => guard,
                    Err(LockError::OwnerDied(recovery)) => recovery.recover(),
                    Err(error) => panic!("{error}"),
                };
            }
        })
    }
}

fn lock(mutex: &Mutex<Numbers>) -> MutexGuard<'_, Numbers> {
    match mutex.lock_until(soon()) {
        Ok(guard) => guard,
        Err(LockError::OwnerDied(recovery)) => recovery.recover(),
        Err(LockError::Poisoned) => mutex.repair_until(soon(), |_| {}).unwrap(),
        Err(error) => panic!("{error}"),
    }
}

fn wait_for_waiters(mutex: &Mutex<Numbers>, count: u64) {
    while lock(mutex).load()[1] < count {
        std::thread::yield_now();
    }
}

#[test]
fn each_notification_lets_one_go_on() {
    let both = Both::new();
    let (mutex, condvar) = both.attach();
    let children = [both.consumer(), both.consumer(), both.consumer()];
    wait_for_waiters(&mutex, 3);
    for _ in 0..3 {
        lock(&mutex).update(|value| value[0] += 1);
        condvar.notify_one();
    }
    for child in children {
        assert_eq!(child.wait(), End::Exited(0));
    }
    assert_eq!(lock(&mutex).load()[0], 0);
}

#[test]
fn one_notification_of_all_lets_all_go_on() {
    let both = Both::new();
    let (mutex, condvar) = both.attach();
    let children = [both.consumer(), both.consumer(), both.consumer()];
    wait_for_waiters(&mutex, 3);
    lock(&mutex).update(|value| value[0] = 3);
    condvar.notify_all();
    for child in children {
        assert_eq!(child.wait(), End::Exited(0));
    }
}

#[test]
fn at_the_deadline_the_mutex_is_not_held() {
    let both = Both::new();
    let (mutex, condvar) = both.attach();
    let short = Deadline::after(Duration::from_millis(1));
    let waited = condvar.wait_while(mutex.lock().unwrap(), short, |value| value[0] == 0);
    assert!(matches!(waited, Err(LockError::TimedOut)));
    assert!(mutex.try_lock().is_ok());
    assert!(condvar.wait_while(mutex.lock().unwrap(), short, |value| value[0] != 0).is_ok());
}

#[test]
fn a_waiter_killed_asleep_does_not_swallow_what_others_wait_for() {
    let both = Both::new();
    let (mutex, condvar) = both.attach();
    let (victim, survivor) = (both.consumer(), both.consumer());
    wait_for_waiters(&mutex, 2);
    // Stopped, it is still the one to be woken first; then it is killed, perhaps woken.
    victim.signal(19);
    let (victim, _stopped) = victim.wait_until_stopped();
    let mut guard = lock(&mutex);
    guard.update(|value| value[0] = 1);
    drop(guard);
    condvar.notify_one();
    drop(victim);
    assert_eq!(survivor.wait(), End::Exited(0));
}

#[test]
fn a_waiter_learns_of_the_death_of_the_one_that_would_have_notified() {
    let both = Both::new();
    let (mutex, condvar) = both.attach();
    let guard = mutex.lock().unwrap();
    let child = Child::fork(|| {
        let (mutex, _) = both.attach();
        let mut guard = mutex.lock().unwrap();
        guard.update(|value| value[0] = 1);
        die();
    });
    let waited = condvar.wait_while(guard, soon(), |value| value[0] == 0);
    let Err(LockError::OwnerDied(recovery)) = waited else { panic!("{waited:?}") };
    assert_eq!(recovery.recover().load(), [1, 0]);
    assert_eq!(child.wait(), End::Killed(9));
}

#[test]
fn a_repair_brings_waiters_back() {
    let both = Both::new();
    let (mutex, condvar) = both.attach();
    std::thread::scope(|scope| {
        let guard = mutex.lock().unwrap();
        scope.spawn(|| drop(both.mutex.attach::<Mutex<Numbers>>().repair(|value| value[0] = 1).unwrap()));
        assert!(condvar.wait_while(guard, soon(), |value| value[0] == 0).is_ok());
    });
    assert!(!Condvar::inspect(&both.condvar.site()).unwrap().is_empty());
}

mod crash {
    use super::*;
    use crate::testing::at_every_point;

    #[test]
    fn a_death_at_any_step_of_notifying_is_made_good() {
        for all in [true, false] {
            at_every_point(
                "condvar notify while another waits",
                || {
                    let both = Both::new();
                    let child = both.consumer();
                    wait_for_waiters(&both.mutex.attach(), 1);
                    (both, std::cell::Cell::new(Some(child)))
                },
                |(both, _), arm| {
                    let (mutex, condvar) = both.attach();
                    arm();
                    let mut guard = lock(&mutex);
                    guard.update(|value| value[0] += 1);
                    drop(guard);
                    if all { condvar.notify_all() } else { condvar.notify_one() }
                },
                |(both, child), _| {
                    // Where it died before it had changed anything, somebody else does.
                    let (mutex, condvar) = both.attach();
                    lock(&mutex).update(|value| value[0] += 1);
                    condvar.notify_one();
                    assert_eq!(child.take().unwrap().wait(), End::Exited(0));
                },
            );
        }
    }

    #[test]
    fn a_death_at_any_step_of_waiting_swallows_nothing_for_good() {
        at_every_point(
            "condvar wait, while another waits",
            || {
                let both = Both::new();
                let child = both.consumer();
                wait_for_waiters(&both.mutex.attach(), 1);
                (both, std::cell::Cell::new(Some(child)))
            },
            |(both, _), arm| {
                let (mutex, condvar) = both.attach();
                let guard = lock(&mutex);
                arm();
                let soon = Deadline::after(Duration::from_micros(200));
                assert!(matches!(condvar.wait_until(guard, soon), Err(LockError::TimedOut)));
            },
            |(both, child), _| {
                let (mutex, condvar) = both.attach();
                lock(&mutex).update(|value| value[0] += 1);
                condvar.notify_one();
                assert_eq!(child.take().unwrap().wait(), End::Exited(0));
            },
        );
    }
}
