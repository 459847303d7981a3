//! Memory that somebody scribbles over, and rooms that are described wrongly.

use std::sync::Arc;

use mapwright_core::peer::{Area, Life, Ordering, Roster, Seat, Word64, pid_namespace};
use mapwright_core::{MapOptions, MemFile, Seals};

use crate::object::{Object, Site};

const SEATS: usize = 4;
const SEATS_LEN: usize = SEATS * size_of::<Seat>();

/// One object that can be scribbled over.
pub(in crate::queue) struct Rough {
    file: MemFile,
    area: Area,
    room: usize,
    parameters: [u64; 6],
    random: u64,
}

impl Rough {
    pub(in crate::queue) fn new<O: Object>(options: &O::Options, seed: u64) -> Self {
        let plan = O::plan(options).unwrap();
        let file = MemFile::new("rough", SEATS_LEN + plan.len).unwrap();
        file.seal(Seals::SHRINK | Seals::GROW).unwrap();
        let area = Area::new(MapOptions::new().map_mut(&file).unwrap()).unwrap();
        Self { file, area, room: plan.len, parameters: plan.parameters, random: seed + 1 }
    }

    /// The room, with its own or other parameters.
    pub(in crate::queue) fn site(&self, parameters: Option<[u64; 6]>) -> Site {
        let life = Life::open(self.file.file().as_ref()).unwrap();
        let seats = self.area.place_many(0, SEATS).unwrap();
        let roster = Roster::join(seats, life, pid_namespace()).unwrap().expect("a seat is free");
        let parameters = parameters.unwrap_or(self.parameters);
        Site::new(self.area.clone(), "rough", (SEATS_LEN, self.room), parameters, Arc::new(roster)).unwrap()
    }

    /// Changes some words of the room, to anything or by a little.
    pub(in crate::queue) fn scribble(&mut self) {
        let words = self.area.place_many::<Word64>(SEATS_LEN, self.room / 8).unwrap();
        for _ in 0..self.next() % 6 {
            let index = usize::try_from(self.next()).unwrap() % words.len();
            let near = words[index].load(Ordering::Relaxed).wrapping_add(self.next() % 5).wrapping_sub(2);
            let value = match self.next() % 4 {
                0 => self.next() << 40 ^ self.next(),
                1 => 0,
                2 => u64::MAX,
                _ => near,
            };
            words[index].store(value, Ordering::Relaxed);
        }
    }

    fn next(&mut self) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.random >> 33
    }
}
