//! What the workers share: the clients, a cache of responses, and the limit.

use hyper::body::Bytes;
use mapwright::share::{
    Builder, Directory, Segment, Snapshot, SnapshotOptions, Table, TableError, TableOptions,
};

use crate::Failure;
use crate::client::{Asked, Client, Counters, Limit, Outcome};

/// Items that there are.
pub(crate) const ITEMS: u64 = 1600;
/// Bytes of a response.
pub(crate) const BODY: usize = 256;
/// Bytes of a client's name.
pub(crate) const LONGEST_NAME: usize = 45;
/// Clients that are remembered.
const CLIENTS: usize = 10_000;

/// A response in the cache.
pub(crate) type Body = [u8; BODY];

pub(crate) struct Shared {
    pub(crate) clients: Table<[u8], Client>,
    cache: Table<u64, Body>,
    limit: Snapshot<Limit>,
}

/// The answer to a request.
pub(crate) enum Answer {
    /// The item, and whether it was in the cache when the request was counted.
    Item(Bytes, Outcome),
    /// The client has no token left; in so many nanoseconds there is one, if there ever is.
    TooMany { interval_ns: u64 },
    /// Later requests of the client have made this one forgotten.
    Forgotten,
    /// There is no room for one more client.
    TooManyClients,
}

impl Shared {
    /// Makes a new segment.
    pub(crate) fn create(name: &str, limit: Limit) -> Result<Self, Failure> {
        Self::of(&Self::planned(name, limit)?.create()?)
    }

    /// Makes a segment, or goes on with the one that a killed server has left: what its clients have used up
    /// stays used up.
    pub(crate) fn create_or_go_on(name: &str, limit: Limit) -> Result<Self, Failure> {
        let shared = Self::of(&Self::planned(name, limit)?.open_or_create()?)?;
        // It may have had another limit.
        shared.limit.writer()?.publish(&limit)?;
        Ok(shared)
    }

    pub(crate) fn open(name: &str) -> Result<Self, Failure> {
        Self::of(&Directory::default_of_user()?.open(name)?)
    }

    fn planned(name: &str, limit: Limit) -> Result<Builder, Failure> {
        Ok(Segment::builder(name)
            .with::<Table<[u8], Client>>("clients", TableOptions::new(CLIENTS).key_bytes(LONGEST_NAME))
            .with::<Table<u64, Body>>("cache", TableOptions::new(usize::try_from(ITEMS)?))
            .with::<Snapshot<Limit>>("limit", SnapshotOptions::new(limit)))
    }

    fn of(segment: &Segment) -> Result<Self, Failure> {
        let (clients, cache) = (segment.get("clients")?, segment.get("cache")?);
        Ok(Self { clients, cache, limit: segment.get("limit")? })
    }

    /// Counts a request and answers it.
    ///
    /// Between any two lines the worker may be killed. Before `update` nothing has happened; after it the
    /// request is counted, and what is left to do can be done again by whoever is asked again.
    pub(crate) fn ask(&self, client: &[u8], asked: Option<Asked>, item: u64) -> Result<Answer, Failure> {
        let (limit, now) = (self.limit.read()?, now());
        let cached = self.cache.get(&item)?;
        let mut became = None;
        let counted = self.clients.update(client, |known| {
            let known = known.unwrap_or_else(|| Client::new(&limit, now));
            // Run again where another worker was first: what the last run says is what was done.
            let (client, outcome) = known.after(asked, cached.is_some(), &limit, now);
            became = outcome;
            Some(client)
        });
        match counted {
            Ok(_) => {}
            Err(TableError::Full) => return Ok(Answer::TooManyClients),
            Err(error) => return Err(error.into()),
        }
        let outcome = match became {
            None => return Ok(Answer::Forgotten),
            Some(Outcome::Refused) => return Ok(Answer::TooMany { interval_ns: limit.interval_ns }),
            Some(outcome) => outcome,
        };
        let body = match cached {
            Some(body) => body,
            None => {
                let body = render(item);
                self.cache.insert(&item, &body)?;
                body
            }
        };
        Ok(Answer::Item(Bytes::copy_from_slice(&body), outcome))
    }

    /// Sums up what was counted for all clients.
    pub(crate) fn counters(&self) -> Result<Counters, Failure> {
        let clients = self.clients.iter()?;
        Ok(clients.fold(Counters::default(), |sum, (_, client)| sum.plus(&client.counters)))
    }

    /// Checks that the cache has every item's response, whole.
    pub(crate) fn check_cache(&self) -> Result<(), Failure> {
        for item in 0..ITEMS {
            if self.cache.get(&item)? != Some(render(item)) {
                return Err(format!("the cache has something else for item {item}").into());
            }
        }
        Ok(())
    }
}

/// Half a millisecond or so: what is worth a cache. Also what a worker is killed in, most likely, if that
/// falls between counting a request and answering it.
const ROUNDS: u64 = if cfg!(debug_assertions) { 50_000 } else { 300_000 };

/// What takes long, and is done once for all workers (or twice, where several miss it at the same time).
fn render(item: u64) -> Body {
    let digest = (0..ROUNDS).fold(item, |digest: u64, round| {
        (digest ^ round).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(27)
    });
    let mut body = [b'.'; BODY];
    let text = format!("item {item} of {ITEMS}: {digest:016x}\n");
    body[..text.len()].copy_from_slice(text.as_bytes());
    body[BODY - 1] = b'\n';
    body
}

fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    u64::try_from(time.tv_sec).unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(nanos)
}
