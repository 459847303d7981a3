//! Ground for tests: shared memory with seats in it, without a segment around it.

use std::sync::Arc;

use mapwright_core::peer::{Area, Life, Oracle, Ordering, Roster, Seat, Word64, pid_namespace};
use mapwright_core::{MapOptions, MemFile, Seals};

use crate::object::{Object, Site};

pub(crate) use crash::at_every_point;

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
    use std::io::Write;
    use std::sync::atomic::{AtomicU64, Ordering};

    use mapwright_core::peer::points::{self, Child, End};

    /// Points at which somebody was killed, over all tests of this run.
    static KILLED: AtomicU64 = AtomicU64::new(0);

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
        let mut point = 1;
        loop {
            let ground = prepare();
            let child = Child::fork(|| operate(&ground, &|| points::arm(point)));
            match child.wait() {
                End::Killed(9) => check(&ground, point),
                End::Exited(0) => {
                    check(&ground, 0);
                    break;
                }
                end => panic!("{name}: at point {point} the child ended by itself: {end:?}"),
            }
            point += 1;
        }
        let all = KILLED.fetch_add(point - 1, Ordering::Relaxed) + point - 1;
        let mut out = std::io::stderr().lock();
        writeln!(out, "crash points: {name}: killed at each of {} ({all} so far)", point - 1).unwrap();
    }
}
