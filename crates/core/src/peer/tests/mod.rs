//! Robust words between real processes, which really die.

mod robust;

use super::points::{Child, End};
use super::*;
use crate::{MapOptions, MemFile};

/// Shared memory with a lock word at 0, counters at 1024, and seats at 4096.
struct Ground {
    file: MemFile,
    area: Area,
}

impl Ground {
    fn new() -> Self {
        let file = MemFile::new("ground", 16384).unwrap();
        file.seal(crate::Seals::SHRINK).unwrap();
        let area = Area::new(MapOptions::new().map_mut(&file).unwrap()).unwrap();
        Self { file, area }
    }

    fn lock(&self) -> Placed<RobustWord> {
        self.area.place(0).unwrap()
    }

    fn counters(&self) -> Placed<[Word64]> {
        self.area.place_many(1024, 8).unwrap()
    }

    /// Takes a seat; `namespace` 1 is nobody's, so that lock words hold identities.
    fn join(&self, namespace: u64) -> Roster {
        let life = Life::open(self.file.file().as_ref()).unwrap();
        Roster::join(self.area.place_many(4096, 16).unwrap(), life, namespace).unwrap().unwrap()
    }
}

/// Ends this process as a crash would.
fn die() -> ! {
    let _sent = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    loop {
        relax();
    }
}
