//! What the second process does: `mapwright peer ROLE`, started by the tour.

use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixStream};

use mapwright::share::{Deadline, Segment};

use super::{lock, messages, shared, snapshot};
use crate::outcome::{Failure, Outcome};

/// Take the other part in a chapter of the tour.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to do.
    role: Role,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Role {
    /// Receive messages through a queue.
    Receive,
    /// Receive messages through a socket.
    Socket,
    /// Take a lock, and hold it.
    Hold,
    /// Publish values without a pause.
    Publish,
}

/// Plays a role.
pub(crate) fn run(args: &Args) -> Result<Outcome, Failure> {
    // Whoever asked for it is gone: so is the reason to go on.
    let _asked = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let input = std::io::stdin().as_fd().try_clone_to_owned();
    let input = input.map_err(|cause| Failure::os("use", "the standard input", cause))?;
    if let Role::Socket = args.role {
        messages::receive_from_socket(&UnixDatagram::from(input))?;
        return Ok(Outcome::Done);
    }
    let segment = Segment::receive(&UnixStream::from(input))?;
    match args.role {
        Role::Receive => messages::receive(&segment)?,
        Role::Hold => lock::hold(&segment)?,
        Role::Publish | Role::Socket => snapshot::publish(&segment)?,
    }
    Ok(Outcome::Done)
}

/// Waits for ever: to be killed.
pub(super) fn stay(event: &mapwright::share::Event) -> Result<(), Failure> {
    event.wait_until(Deadline::never()).map_err(shared)
}
