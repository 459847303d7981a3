//! Waiting without sleeping, and the end of a test that hangs.
//!
//! [`until`] waits for a condition. A [`Watch`] ends the whole process, naming the test, when a test outlives
//! its patience: a hang must never look like a slow machine. `MAPWRIGHT_PATIENCE` multiplies it (emulators,
//! sanitizers).

use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long a test may take before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(180);

struct Watched {
    ticket: u64,
    name: String,
    deadline: Instant,
}

#[derive(Default)]
struct Kennel {
    watched: Vec<Watched>,
    tickets: u64,
    has_dog: bool,
}

static KENNEL: Mutex<Kennel> = Mutex::new(Kennel { watched: Vec::new(), tickets: 0, has_dog: false });
static CHANGED: Condvar = Condvar::new();

/// Aborts the process if it is not dropped in time.
pub(crate) struct Watch {
    ticket: u64,
}

impl Watch {
    /// Watches over a test with the usual patience.
    pub(crate) fn over(name: &str) -> Self {
        Self::with_patience(name, PATIENCE * factor())
    }

    /// Watches over anything, for as long as this.
    pub(crate) fn with_patience(name: &str, patience: Duration) -> Self {
        let mut kennel = KENNEL.lock().unwrap();
        kennel.tickets += 1;
        let ticket = kennel.tickets;
        kennel.watched.push(Watched { ticket, name: name.to_owned(), deadline: Instant::now() + patience });
        if !kennel.has_dog {
            kennel.has_dog = true;
            std::thread::Builder::new().name("watchdog".to_owned()).spawn(watch).unwrap();
        }
        CHANGED.notify_one();
        Self { ticket }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        KENNEL.lock().unwrap().watched.retain(|watched| watched.ticket != self.ticket);
    }
}

fn watch() {
    let mut kennel = KENNEL.lock().unwrap();
    loop {
        let now = Instant::now();
        if let Some(late) = kennel.watched.iter().find(|watched| watched.deadline <= now) {
            eprintln!("watchdog: {} hangs; ending the process", late.name);
            std::process::abort();
        }
        let next = kennel.watched.iter().map(|watched| watched.deadline).min();
        let pause = next.map_or(PATIENCE, |deadline| deadline - now);
        kennel = CHANGED.wait_timeout(kennel, pause).unwrap().0;
    }
}

/// Waits until the condition holds. The watch over the test ends a wait in vain; `what` names it on the way.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let _watch = Watch::with_patience(&format!("waiting until {what}"), PATIENCE / 2 * factor());
    while !condition() {
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

fn factor() -> u32 {
    let Ok(text) = std::env::var("MAPWRIGHT_PATIENCE") else { return 1 };
    text.parse().unwrap_or_else(|_| panic!("MAPWRIGHT_PATIENCE is {text:?}, not a whole number"))
}
