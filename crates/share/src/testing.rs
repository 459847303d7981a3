//! Ground for tests: shared memory with seats in it, without a segment around it.

use std::sync::Arc;

use mapwright_core::peer::{Area, Life, Oracle, Ordering, Roster, Seat, Word64, pid_namespace};
use mapwright_core::{MapOptions, MemFile, Seals};

use crate::object::{Object, Site};

pub(crate) use crash::{at_every_pair, at_every_point, at_every_stop};

const SEATS: usize = 16;
const SEATS_LEN: usize = SEATS * size_of::<Seat>();

/// One object in shared memory of its own, at which any number of participants can sit.
#[derive(Debug)]
pub(crate) struct Ground {
    file: MemFile,
    room: usize,
    parameters: [u64; 6],
}

impl Ground {
    /// Makes an object.
    pub(crate) fn new<O: Object>(options: &O::Options) -> Self {
        let plan = O::plan(options).unwrap();
        let file = MemFile::new("ground", SEATS_LEN + plan.len).unwrap();
        file.seal(Seals::SHRINK | Seals::GROW).unwrap();
        let ground = Self { file, room: plan.len, parameters: plan.parameters };
        O::create(&ground.site(), options).unwrap();
        ground
    }

    /// Attaches to the object as one more participant.
    pub(crate) fn attach<O: Object>(&self) -> O {
        O::attach(&self.site()).unwrap()
    }

    /// Returns the object's room, seen by one more participant.
    pub(crate) fn site(&self) -> Site {
        self.site_with(self.parameters)
    }

    /// Returns the object's room with other numbers than those that were planned.
    pub(crate) fn site_with(&self, parameters: [u64; 6]) -> Site {
        let area = Area::new(MapOptions::new().map_mut(&self.file).unwrap()).unwrap();
        let life = Life::open(self.file.file().as_ref()).unwrap();
        let seats = area.place_many(0, SEATS).unwrap();
        let roster = Roster::join(seats, life, pid_namespace()).unwrap().expect("a seat is free");
        let oracle: Arc<dyn Oracle> = Arc::new(roster);
        Site::new(area, "object", (SEATS_LEN, self.room), parameters, oracle).unwrap()
    }

    /// Returns the object's room as somebody sees it who has it mapped for reading.
    pub(crate) fn look(&self) -> Site {
        let area = Area::read_only(MapOptions::new().map(&self.file).unwrap()).unwrap();
        let oracle = Arc::clone(self.site().oracle());
        Site::look(area, "object", (SEATS_LEN, self.room), self.parameters, oracle).unwrap()
    }

    /// Overwrites words of the object's room, as a process that runs wild would.
    pub(crate) fn scribble(&self, word_at: impl Fn(usize) -> Option<u64>) {
        let area = Area::new(MapOptions::new().map_mut(&self.file).unwrap()).unwrap();
        let words = area.place_many::<Word64>(SEATS_LEN, self.room / 8).unwrap();
        for (index, word) in words.iter().enumerate() {
            if let Some(value) = word_at(index) {
                word.store(value, Ordering::Relaxed);
            }
        }
    }
}

/// Says that a test needs what this machine has not; `MAPWRIGHT_NO_SKIP=1` makes it a failure unless
/// `MAPWRIGHT_MAY_SKIP` names the need.
pub(crate) fn skip(need: &str, why: &str) {
    use std::io::Write;
    let excused = std::env::var("MAPWRIGHT_MAY_SKIP").unwrap_or_default();
    let excused = excused.split(',').any(|name| name.trim() == need);
    let refused = std::env::var_os("MAPWRIGHT_NO_SKIP").is_some_and(|value| value == "1");
    assert!(excused || !refused, "skipped where MAPWRIGHT_NO_SKIP=1 forbids it: needs {need}: {why}");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    writeln!(std::io::stderr().lock(), "SKIPPED: {test}: needs {need}: {why}").unwrap();
}

/// Deaths, one after the other.
mod crash {
    use std::fmt::Arguments;
    use std::io::Write;
    use std::sync::atomic::{AtomicU64, Ordering};

    use mapwright_core::peer::points::{self, Child, End};

    /// Points at which somebody was killed, over all tests of this run.
    static KILLED: AtomicU64 = AtomicU64::new(0);
    /// Pairs of points of two who were killed one after the other, over all tests of this run.
    static PAIRS: AtomicU64 = AtomicU64::new(0);

    /// Kills a child before each step of an operation, and once after the last; each time on fresh ground.
    ///
    /// `prepare` makes the ground and runs in the parent. `operate` runs in the child: what it does first,
    /// until it calls the function that it is given, is not counted (attaching); from there on every step
    /// is a point. `check` runs in the parent with the number of the step, 0 for the run that came to its
    /// end.
    pub(crate) fn at_every_point<G>(
        name: &str,
        prepare: impl Fn() -> G,
        operate: impl Fn(&G, &dyn Fn()),
        check: impl Fn(&G, u64),
    ) {
        let killed = at_each(name, prepare, operate, check);
        let all = KILLED.fetch_add(killed, Ordering::Relaxed) + killed;
        say(format_args!("crash points: {name}: killed at each of {killed} ({all} so far)"));
    }

    /// A death at each step of an operation, and after each of them one at each step of what puts it right:
    /// as [`at_every_point`], with one more who is killed before.
    pub(crate) fn at_every_pair<G>(
        name: &str,
        prepare: impl Fn() -> G,
        operate: impl Fn(&G, &dyn Fn()),
        recover: impl Fn(&G, &dyn Fn()),
        check: impl Fn(&G, u64),
    ) {
        let mut pairs = 0;
        for first in 1.. {
            let is_last = std::cell::Cell::new(false);
            let killed = || {
                let ground = prepare();
                let child = Child::fork(|| operate(&ground, &|| points::arm(first)));
                is_last.set(is_over(name, first, child.wait()));
                ground
            };
            pairs += at_each(&format!("{name}, after point {first}"), killed, &recover, &check);
            if is_last.get() {
                KILLED.fetch_add(first - 1, Ordering::Relaxed);
                break;
            }
        }
        let all = PAIRS.fetch_add(pairs, Ordering::Relaxed) + pairs;
        say(format_args!("crash pairs: {name}: killed at each of {pairs} pairs ({all} so far)"));
    }

    /// Stops a child before each step of an operation, while somebody else does something, and lets it go on:
    /// it has to come to its end.
    pub(crate) fn at_every_stop<G>(
        name: &str,
        prepare: impl Fn() -> G,
        operate: impl Fn(&G, &dyn Fn()),
        meanwhile: impl Fn(&G),
        check: impl Fn(&G),
    ) {
        let mut point = 1;
        loop {
            let ground = prepare();
            let child = Child::fork(|| operate(&ground, &|| points::arm_stop(point)));
            let end = match child.wait_until_stopped() {
                (Some(stopped), _) => {
                    meanwhile(&ground);
                    stopped.signal(rustix::process::Signal::CONT.as_raw());
                    stopped.wait()
                }
                (None, end) => {
                    assert_eq!(end, End::Exited(0), "{name}: it was not stopped");
                    break;
                }
            };
            assert_eq!(end, End::Exited(0), "{name}: it was stopped at point {point}");
            check(&ground);
            point += 1;
        }
        say(format_args!("stops: {name}: stopped at each of {}", point - 1));
    }

    /// Returns how many steps there were.
    fn at_each<G>(
        name: &str,
        prepare: impl Fn() -> G,
        operate: impl Fn(&G, &dyn Fn()),
        check: impl Fn(&G, u64),
    ) -> u64 {
        let mut point = 1;
        loop {
            let ground = prepare();
            let child = Child::fork(|| operate(&ground, &|| points::arm(point)));
            if is_over(name, point, child.wait()) {
                check(&ground, 0);
                return point - 1;
            }
            check(&ground, point);
            point += 1;
        }
    }

    /// Tells whether a child had fewer steps than the one before which it was to die.
    fn is_over(name: &str, point: u64, end: End) -> bool {
        match end {
            End::Killed(9) => false,
            End::Exited(0) => true,
            end => panic!("{name}: at point {point} the child ended by itself: {end:?}"),
        }
    }

    fn say(what: Arguments<'_>) {
        writeln!(std::io::stderr().lock(), "{what}").unwrap();
    }
}
