//! The parent's side: a listening socket, workers, and the segment that they share.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use mapwright::share::Directory;

use crate::Failure;
use crate::client::Limit;
use crate::shared::Shared;

pub(crate) const WORKERS: usize = 4;
/// What the segments of shows are called; each has its process's number behind it.
const SHOW: &str = "preforked-show-";

/// Dropped, it ends its workers and removes the segment.
pub(crate) struct Server {
    listener: TcpListener,
    pub(crate) segment: String,
    /// There until this is dropped.
    shared: Option<Shared>,
    workers: Vec<Child>,
}

impl Server {
    /// Serves where nobody else does, with a segment of its own.
    pub(crate) fn to_show(limit: Limit) -> Result<Self, Failure> {
        remove_leftovers()?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let segment = format!("{SHOW}{}", std::process::id());
        let shared = Shared::create(&segment, limit)?;
        Self::start(listener, segment, shared)
    }

    /// Serves at an address, with what another one that was killed there has left.
    pub(crate) fn at(address: &str, limit: Limit) -> Result<Self, Failure> {
        let failed =
            |cause| format!("cannot listen at {address:?}: {cause}; an address is like 127.0.0.1:8080");
        let listener = TcpListener::bind(address).map_err(failed)?;
        let segment = format!("preforked-{}", listener.local_addr()?);
        let shared = Shared::create_or_go_on(&segment, limit)?;
        Self::start(listener, segment, shared)
    }

    fn start(listener: TcpListener, segment: String, shared: Shared) -> Result<Self, Failure> {
        let mut server = Self { listener, segment, shared: Some(shared), workers: Vec::new() };
        for _ in 0..WORKERS {
            let worker = server.start_worker()?;
            server.workers.push(worker);
        }
        Ok(server)
    }

    pub(crate) fn address(&self) -> Result<SocketAddr, Failure> {
        Ok(self.listener.local_addr()?)
    }

    pub(crate) fn shared(&self) -> Result<&Shared, Failure> {
        Ok(self.shared.as_ref().ok_or("the server was dropped")?)
    }

    /// Starts a worker, whose standard input is the listening socket.
    fn start_worker(&self) -> Result<Child, Failure> {
        let socket: OwnedFd = self.listener.try_clone()?.into();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["worker", &self.segment, &std::process::id().to_string()]).stdin(Stdio::from(socket));
        Ok(command.spawn()?)
    }

    /// Kills a worker (SIGKILL) and starts another one in its place.
    pub(crate) fn kill(&mut self, index: usize) -> Result<(), Failure> {
        self.demand_alive(index)?;
        self.workers[index].kill()?;
        self.workers[index].wait()?;
        self.workers[index] = self.start_worker()?;
        Ok(())
    }

    /// Kills all workers, for good.
    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        for index in 0..self.workers.len() {
            self.demand_alive(index)?;
        }
        self.end_workers();
        Ok(())
    }

    fn demand_alive(&mut self, index: usize) -> Result<(), Failure> {
        match self.workers[index].try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("a worker has ended by itself: {status}").into()),
        }
    }

    /// Replaces workers that have ended, and returns how.
    pub(crate) fn replace_the_dead(&mut self) -> Result<Vec<String>, Failure> {
        let mut ended = Vec::new();
        for index in 0..self.workers.len() {
            if let Some(status) = self.workers[index].try_wait()? {
                ended.push(format!("{} ({status})", self.workers[index].id()));
                self.workers[index] = self.start_worker()?;
            }
        }
        Ok(ended)
    }

    fn end_workers(&mut self) {
        for mut worker in self.workers.drain(..) {
            let _gone = worker.kill().and_then(|()| worker.wait().map(drop));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end_workers();
        // A segment is removed when nobody takes part in it.
        self.shared = None;
        let removed = Directory::default_of_user().and_then(|directory| directory.remove(&self.segment));
        if let Err(error) = removed {
            eprintln!("preforked: {error}");
        }
    }
}

/// Removes the segments of shows that were killed.
fn remove_leftovers() -> Result<(), Failure> {
    let directory = Directory::default_of_user()?;
    for name in directory.segments()?.iter().filter(|name| name.starts_with(SHOW)) {
        // Refused where it is in use.
        let _left = directory.remove(name);
    }
    Ok(())
}
