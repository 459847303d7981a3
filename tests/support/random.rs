//! Random choices that can be made again: each run prints its seed, and `MAPWRIGHT_SEED` takes one back.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use std::sync::OnceLock;

/// The run's seed: the environment's, or the clock's.
pub(crate) fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| {
        let seed = match std::env::var("MAPWRIGHT_SEED") {
            Ok(text) => {
                text.parse().unwrap_or_else(|_| panic!("MAPWRIGHT_SEED is {text:?}, not a whole number"))
            }
            Err(_) => {
                let now = std::time::UNIX_EPOCH.elapsed().unwrap();
                now.as_secs() << 30 | u64::from(now.subsec_nanos())
            }
        };
        println!("seed {seed} (give it back with MAPWRIGHT_SEED={seed})");
        seed
    })
}

/// By how much more than usual is tried: `MAPWRIGHT_EFFORT`, for runs through the night.
pub(crate) fn effort() -> u32 {
    let Ok(text) = std::env::var("MAPWRIGHT_EFFORT") else { return 1 };
    text.parse().unwrap_or_else(|_| panic!("MAPWRIGHT_EFFORT is {text:?}, not a whole number"))
}

/// A small generator (splitmix64): even enough to choose lengths and offsets.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The `stream`-th generator of this run's seed.
    pub(crate) fn stream(stream: u64) -> Self {
        Self(seed() ^ stream.wrapping_mul(0xD134_2543_DE82_EF95))
    }

    /// The generator of a given seed.
    pub(crate) const fn of_seed(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }
}

/// Checks a property of `cases` random values, from the `stream`-th generator of this run's seed. A value
/// that fails is made as small as it can be.
pub(crate) fn for_all<S: Strategy>(
    stream: u64,
    cases: u32,
    values: S,
    check: impl Fn(S::Value) -> Result<(), String>,
) {
    let mut runner = runner(Random::stream(stream).next(), cases * effort());
    let result = runner.run(&values, |value| check(value).map_err(TestCaseError::fail));
    result.unwrap_or_else(|error| panic!("{error}\nMAPWRIGHT_SEED={}", seed()));
}

/// The value that this seed chooses.
pub(crate) fn choose<S: Strategy>(seed: u64, values: S) -> S::Value {
    values.new_tree(&mut runner(seed, 1)).unwrap().current()
}

fn runner(seed: u64, cases: u32) -> TestRunner {
    let mut random = Random::of_seed(seed);
    let seed: Vec<u8> = (0..4).flat_map(|_| random.next().to_le_bytes()).collect();
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed))
}
