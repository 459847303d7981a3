//! The chapter *Two processes*: a second, real process, and memory that both share.

mod lock;
mod messages;
pub(crate) mod peer;
mod snapshot;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use mapwright::share::Segment;

use super::Chapter;
use super::stage::Stage;
use crate::outcome::Failure;

/// The chapter.
pub(super) const CHAPTER: Chapter =
    Chapter { name: "processes", title: "Two processes", on_files: false, tell };

fn tell(stage: &mut Stage<'_>) -> Result<(), Failure> {
    messages::send(stage)?;
    lock::kill_the_holder(stage)?;
    snapshot::read_at_full_speed(stage)
}

/// A second process of this program; killed when dropped.
struct Second(Child);

impl Second {
    /// Starts one, and hands it a segment through the socket that is its standard input.
    fn start(role: &str, segment: &Segment) -> Result<Self, Failure> {
        let failed = |cause| Failure::os("make", "a pair of sockets", cause);
        let (here, there) = UnixStream::pair().map_err(failed)?;
        let second = Self::start_with(role, there.into())?;
        segment.send(&here)?;
        Ok(second)
    }

    /// Starts one with a descriptor as its standard input.
    fn start_with(role: &str, input: OwnedFd) -> Result<Self, Failure> {
        let failed = |cause| Failure::os("start", "a second process", cause);
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        command.args(["peer", role]).stdin(Stdio::from(input)).stdout(Stdio::null());
        Ok(Self(command.spawn().map_err(failed)?))
    }

    /// Kills it (SIGKILL), and waits until it is dead.
    fn kill(&mut self) -> Result<(), Failure> {
        let failed = |cause| Failure::os("kill", "the second process", cause);
        self.0.kill().map_err(failed)?;
        self.0.wait().map(drop).map_err(failed)
    }

    /// Waits until it has ended by itself.
    fn join(mut self) -> Result<(), Failure> {
        let status = self.0.wait().map_err(|cause| Failure::os("wait for", "the second process", cause))?;
        if status.success() {
            Ok(())
        } else {
            Err(Failure::new(format!("the second process ended with {status}")))
        }
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let _killed = self.kill();
    }
}

/// A failure of something that two processes share.
fn shared(error: impl std::fmt::Display) -> Failure {
    Failure::new(format!("the two processes cannot go on: {error}"))
}
