//! A web server of several processes: `cargo run --release -p mapwright-processes --bin preforked`
//!
//! One process listens and starts workers; every worker takes connections from the same socket. What they
//! have to agree on lies in one segment of shared memory: who may still ask how much (a rate limiter), a
//! cache of responses, and counters. A worker that is killed, at whatever instant, takes its own connections
//! with it and nothing else. Nobody waits for it, and whoever asks again is not counted again.
//!
//! - `preforked [SEED]` shows it: four workers, 32 clients, and SIGKILL for a worker at 60 random moments;
//!   then every client's entry in the segment has to be exactly what the client saw
//! - `preforked serve ADDRESS` serves: `curl http://ADDRESS/item/7`, `curl http://ADDRESS/counters`
//!
//! `client` is what is known of a client, one value that is changed at once; `shared` what lies in shared
//! memory, `worker` the web server, `server` its parent, `load` the clients.

#![allow(clippy::print_stdout, reason = "a program that prints")]

mod client;
mod load;
mod server;
mod shared;
mod worker;

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use client::{Client, Counters, Limit};
use load::{BUDGET, CLIENTS, CONNECTIONS, REQUESTS, Seen};
use server::{Server, WORKERS};
use shared::Shared;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

type Failure = Box<dyn Error + Send + Sync>;

/// SIGKILLs in a show.
const KILLS: u64 = 60;
/// What a client may ask while the server is shown: so much and no more, so that it can be foretold.
const SHOWN: Limit = Limit { burst: BUDGET, interval_ns: 0 };
/// What a client may ask else: 20 at once, and one more every second.
const SERVED: Limit = Limit { burst: 20, interval_ns: 1_000_000_000 };

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => show(fastrand::u64(..)),
        ["serve", address] => serve(address),
        ["worker", segment, parent] => worker::run(segment, parent),
        [seed] if seed.parse::<u64>().is_ok() => show(seed.parse().unwrap_or(0)),
        _ => Err("usage: preforked [SEED | serve ADDRESS]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("preforked: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Set by Ctrl-C and the like.
fn asked_to_end() -> Result<Arc<AtomicBool>, Failure> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
    }
    Ok(flag)
}

/// Prints a line; an error where nobody reads it any more.
fn say(line: &str) -> Result<(), Failure> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

/// Serves until it is ended.
fn serve(address: &str) -> Result<(), Failure> {
    let is_over = asked_to_end()?;
    let mut server = Server::at(address, SERVED)?;
    let (address, counted) = (server.address()?, server.shared()?.counters()?.requests);
    say(&format!(
        "http://{address}/item/7 and http://{address}/counters; {WORKERS} workers; Ctrl-C ends it"
    ))?;
    if counted > 0 {
        say(&format!("going on where a server that was killed has stopped: {counted} requests are counted"))?;
    }
    while !is_over.load(Ordering::Relaxed) {
        // A server with nothing else to do may as well look at its workers now and then.
        std::thread::park_timeout(Duration::from_millis(50));
        let ended = server.replace_the_dead()?;
        if !ended.is_empty() && !is_over.load(Ordering::Relaxed) {
            say(&format!("ended, and replaced: worker {}", ended.join(", ")))?;
        }
    }
    say(&format!("{:#?}", server.shared()?.counters()?))
}

/// Loads the server and kills workers meanwhile; then everything has to add up.
fn show(seed: u64) -> Result<(), Failure> {
    let is_over = asked_to_end()?;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut server = Server::to_show(SHOWN)?;
    let address = server.address()?;
    say(&format!("{WORKERS} workers at {address}; `preforked {seed}` has the same random numbers again"))?;
    let start = Instant::now();
    let load = std::thread::spawn(move || load::run(address));
    // Anywhere in the load, but not so late that the clients are done before.
    let mut moments: Vec<u64> = (0..KILLS).map(|_| random.u64(..CLIENTS * REQUESTS * 9 / 10)).collect();
    moments.sort_unstable();
    for moment in moments {
        while server.shared()?.counters()?.requests < moment && !load.is_finished() {
            if is_over.load(Ordering::Relaxed) {
                return Err("ended before it was done".into());
            }
            // Not in step with what the workers are doing.
            std::thread::park_timeout(Duration::from_micros(random.u64(1..1000)));
        }
        server.kill(random.usize(..WORKERS))?;
    }
    let seen = load.join().map_err(|_| "the load panicked")??;
    let took = start.elapsed();
    server.end()?;
    // From the segment itself, as somebody finds it who had no part in it.
    let found = Shared::open(&server.segment)?;
    let counters = found.counters()?;
    let sum = |part: fn(&Seen) -> u64| seen.iter().map(part).sum::<u64>();
    let (answered, broken) = (sum(|seen| seen.hits + seen.misses + seen.refused), sum(|seen| seen.broken));
    say(&format!(
        "{CLIENTS} clients: {answered} requests answered in {took:.1?}; {KILLS} kills broke {broken} tries"
    ))?;
    say(&format!(
        "in the segment: {} requests, {} tries; {} let through ({} from the cache, {} made), {} refused",
        counters.requests,
        counters.attempts,
        counters.allowed(),
        counters.hits,
        counters.misses,
        counters.refused
    ))?;
    say(&format!(
        "{} of the broken ones had been counted; asked again, they were answered and not counted again",
        counters.repeated
    ))?;
    check(&found, &seen)?;
    say("nothing hung, nothing was answered with an error, and everything is counted exactly once")
}

/// Checks every client's entry against what the client saw.
fn check(found: &Shared, seen: &[Seen]) -> Result<(), Failure> {
    let entries = found.clients.iter()?.count();
    if entries as u64 != CLIENTS || seen.len() != entries {
        return Err(format!("{entries} clients are in the segment, and there were {CLIENTS}").into());
    }
    let mut broken = 0;
    for seen in seen {
        let entry = found.clients.get(seen.name.as_bytes())?;
        let entry = entry.ok_or_else(|| format!("{} is not in the segment", seen.name))?;
        check_client(&entry, seen).map_err(|why| format!("{}: {why}: {entry:?}, {seen:?}", seen.name))?;
        broken += seen.broken;
    }
    // A kill breaks what one worker had, and nothing else breaks anything.
    if broken > KILLS * CONNECTIONS {
        return Err(format!("{broken} connections broke by {KILLS} kills").into());
    }
    found.check_cache()
}

fn check_client(entry: &Client, seen: &Seen) -> Result<(), &'static str> {
    let Counters { requests, refused, hits, misses, attempts, repeated } = entry.counters;
    if requests != REQUESTS {
        return Err("not every request is counted once");
    }
    if (hits, misses, refused) != (seen.hits, seen.misses, seen.refused) {
        return Err("what is counted is not what was answered");
    }
    if (entry.counters.allowed(), entry.tokens, refused) != (BUDGET, 0, REQUESTS - BUDGET) {
        return Err("more or less was let through than the limit allows");
    }
    if attempts != requests + seen.broken || repeated > seen.broken {
        return Err("the tries are not those that were answered and those that broke");
    }
    Ok(())
}
