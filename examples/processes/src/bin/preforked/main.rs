//! A web server of several processes: `cargo run --release -p mapwright-processes --bin preforked`
//!
//! One process listens and starts workers; every worker takes connections from the same socket. What they
//! have to agree on lies in one segment of shared memory: a rate limiter, a cache of responses, and counters.
//! A worker that is killed, at whatever instant, takes its own connections with it and nothing else: the lock
//! that it held says so to the next, the counters are those of the last finished change, and nobody waits for
//! it.
//!
//! - `preforked` shows it: four workers, a client with many connections, and SIGKILL for a worker every now
//!   and then
//! - `preforked serve ADDRESS` serves: `curl http://ADDRESS/item/7`, `curl http://ADDRESS/counters`
//!
//! `shared` is what lies in shared memory, `worker` the web server, `load` the client, and this file the
//! parent.

#![allow(clippy::print_stdout, reason = "a program that prints")]

mod load;
mod shared;
mod worker;

use std::error::Error;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mapwright::share::Directory;
use shared::{Counters, Shared};

type Failure = Box<dyn Error + Send + Sync>;

const WORKERS: usize = 4;
/// What the client asks for when the server is shown.
const REQUESTS: u64 = 20_000;
const KILLS: u32 = 20;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => show(),
        ["serve", address] => serve(address),
        ["worker", segment] => worker::run(segment),
        _ => Err("usage: preforked [serve ADDRESS]".into()),
    }
}

/// A listening socket, its workers, and what they share.
struct Server {
    listener: TcpListener,
    segment: String,
    shared: Shared,
    workers: Vec<Child>,
}

impl Server {
    fn start(address: &str) -> Result<Self, Failure> {
        let listener = TcpListener::bind(address)?;
        let segment = format!("preforked-{}", std::process::id());
        let shared = Shared::create(&segment)?;
        let mut server = Self { listener, segment, shared, workers: Vec::new() };
        for _ in 0..WORKERS {
            let worker = server.start_worker()?;
            server.workers.push(worker);
        }
        Ok(server)
    }

    /// Starts a worker, whose standard input is the listening socket.
    fn start_worker(&self) -> Result<Child, Failure> {
        let socket: OwnedFd = self.listener.try_clone()?.into();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["worker", &self.segment]).stdin(Stdio::from(socket));
        Ok(command.spawn()?)
    }

    /// Kills a worker (SIGKILL) and starts another one in its place.
    fn kill(&mut self, index: usize) -> Result<(), Failure> {
        self.workers[index].kill()?;
        self.workers[index].wait()?;
        self.workers[index] = self.start_worker()?;
        Ok(())
    }

    /// Replaces workers that have ended by themselves.
    fn replace_the_dead(&mut self) -> Result<usize, Failure> {
        let mut replaced = 0;
        for index in 0..self.workers.len() {
            if self.workers[index].try_wait()?.is_some() {
                self.workers[index] = self.start_worker()?;
                replaced += 1;
            }
        }
        Ok(replaced)
    }

    fn stop(mut self) -> Result<Counters, Failure> {
        for worker in &mut self.workers {
            worker.kill()?;
            worker.wait()?;
        }
        let counters = self.shared.counters()?;
        let segment = self.segment;
        drop(self.shared);
        Directory::default_of_user()?.remove(&segment)?;
        Ok(counters)
    }
}

/// Serves until it is ended.
fn serve(address: &str) -> Result<(), Failure> {
    let mut server = Server::start(address)?;
    println!("http://{}/item/7 and /counters; {WORKERS} workers", server.listener.local_addr()?);
    loop {
        // A server with nothing else to do may as well look at its workers twice a second.
        std::thread::park_timeout(Duration::from_millis(500));
        let replaced = server.replace_the_dead()?;
        if replaced > 0 {
            println!("{replaced} workers had ended; others have taken their places");
        }
    }
}

/// Loads the server and kills workers meanwhile; then everything has to add up.
fn show() -> Result<(), Failure> {
    let mut server = Server::start("127.0.0.1:0")?;
    let address = server.listener.local_addr()?;
    let start = Instant::now();
    let client = std::thread::spawn(move || load::run(address, REQUESTS));
    let mut kills = 0;
    while kills < KILLS && !client.is_finished() {
        // At moments that have nothing to do with what the workers are doing.
        let served = server.shared.counters()?.served;
        while server.shared.counters()?.served < served + REQUESTS / u64::from(KILLS + 5)
            && !client.is_finished()
        {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        server.kill(usize::try_from(kills)? % WORKERS)?;
        kills += 1;
    }
    let seen = client.join().map_err(|_| "the client panicked")??;
    let took = start.elapsed();
    let counters = server.stop()?;
    println!(
        "{} requests in {took:.1?}: {} answered, {} connections broken by {kills} kills",
        REQUESTS, seen.answered, seen.broken
    );
    println!("counters: {counters:?}");
    check(&seen, &counters)?;
    println!("nothing hung, nothing was answered with an error, and the counters are exact");
    Ok(())
}

fn check(seen: &load::Seen, counters: &Counters) -> Result<(), Failure> {
    if seen.answered != REQUESTS || seen.errors > 0 {
        return Err(format!("{} answered, {} with errors", seen.answered, seen.errors).into());
    }
    // A request that was counted and whose answer broke with its worker was asked again.
    if counters.served < seen.answered || counters.served > seen.answered + seen.broken {
        return Err(format!(
            "{} were counted, {} answered, {} broken",
            counters.served, seen.answered, seen.broken
        )
        .into());
    }
    if counters.hits + counters.misses != counters.served
        || counters.by_item.iter().sum::<u64>() != counters.served
    {
        return Err(format!("the counters contradict each other: {counters:?}").into());
    }
    Ok(())
}
