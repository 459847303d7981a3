//! `mapwright share send` and `recv`: messages by hand, into and out of what holds messages of bytes.

use std::io::{BufRead, Write};
use std::time::Duration;

use mapwright::share::{Deadline, Directory, Kind, Log, LogError, ReceiveError, Records, Segment, SendError};

use crate::outcome::{Failure, Outcome};
use crate::ui::note;

/// What `send` can be told.
#[derive(Debug, clap::Args)]
pub(super) struct Send {
    /// The segment's name.
    segment: String,
    /// The object in it: records, or a log.
    object: String,
    /// The messages; without any, each line of the standard input is one.
    messages: Vec<String>,
    /// Wait no longer than this for room.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
}

/// What `recv` can be told.
#[derive(Debug, clap::Args)]
pub(super) struct Receive {
    /// The segment's name.
    segment: String,
    /// The object in it: records, or a log.
    object: String,
    /// End after so many messages.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// End when none came for so long; 0 takes what is there.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// Where to begin in a log: a position that was printed, or its beginning.
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    from: u64,
    /// Print messages as they are, without a line's end behind each.
    #[arg(long)]
    raw: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|_| "a number of seconds, not below 0".to_owned())
}

fn until(timeout: Option<Duration>) -> Deadline {
    timeout
        .map_or(Deadline::never(), |timeout| if timeout.is_zero() { Deadline::now() } else { timeout.into() })
}

/// What an object of a segment is.
fn kind_of(segment: &Segment, object: &str) -> Option<Kind> {
    segment.objects().find(|(name, _)| *name == object).map(|(_, kind)| kind)
}

/// A kind with its article.
fn one(kind: Kind) -> String {
    let name = kind.to_string();
    let article = if name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {name}")
}

fn neither(object: &str, kind: Option<Kind>) -> Failure {
    let what = kind.map_or_else(|| "is not there".to_owned(), |kind| format!("is {}", one(kind)));
    Failure::new(format!("\"{object}\" {what}; messages of bytes go through records and logs"))
        .advice("`mapwright share show` lists what there is")
}

/// Sends.
pub(super) fn send(directory: &Directory, args: &Send) -> Result<Outcome, Failure> {
    let segment = directory.open(&args.segment)?;
    match kind_of(&segment, &args.object) {
        Some(Kind::Records) => {
            let mut sender = segment.get::<Records>(&args.object)?.sender()?;
            each(&args.messages, |message| {
                sender.send_until(message, until(args.timeout)).map_err(|error| match error {
                    SendError::NoReceiver => failed("send", &error).advice("start a receiver first"),
                    error => failed("send", &error),
                })
            })
        }
        Some(Kind::Log) => {
            let log: Log = segment.get(&args.object)?;
            each(&args.messages, |message| {
                log.append(message).map(drop).map_err(|error| failed("append", &error))
            })
        }
        kind => Err(neither(&args.object, kind)),
    }
}

fn failed(verb: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("cannot {verb}: {error}"))
}

fn each(messages: &[String], mut send: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<Outcome, Failure> {
    if messages.is_empty() {
        let mut input = std::io::stdin().lock();
        let mut line = Vec::new();
        loop {
            line.clear();
            let got = input.read_until(b'\n', &mut line);
            if got.map_err(|cause| Failure::os("read", "the standard input", cause))? == 0 {
                return Ok(Outcome::Done);
            }
            send(line.strip_suffix(b"\n").unwrap_or(&line))?;
        }
    }
    messages.iter().try_for_each(|message| send(message.as_bytes()))?;
    Ok(Outcome::Done)
}

/// Receives.
pub(super) fn receive(directory: &Directory, args: &Receive) -> Result<Outcome, Failure> {
    let segment = directory.open(&args.segment)?;
    let mut printer = Printer { raw: args.raw, left: args.count };
    match kind_of(&segment, &args.object) {
        Some(Kind::Records) => {
            let mut receiver = segment.get::<Records>(&args.object)?.receiver()?;
            let mut message = Vec::new();
            while printer.wants_more() {
                match receiver.receive_into_until(&mut message, until(args.timeout)) {
                    Ok(()) => printer.print(&message)?,
                    Err(ReceiveError::TimedOut | ReceiveError::Empty) => break,
                    Err(ReceiveError::NoSender) => {
                        note("no sender is left alive");
                        break;
                    }
                    Err(error) => return Err(failed("receive", &error)),
                }
            }
        }
        Some(Kind::Log) => {
            let mut reader = segment.get::<Log>(&args.object)?.read_from(args.from);
            let mut message = Vec::new();
            while printer.wants_more() {
                match reader.next_into_until(&mut message, until(args.timeout)) {
                    Ok(_) => printer.print(&message)?,
                    Err(LogError::TimedOut | LogError::Empty) => break,
                    Err(error) => return Err(failed("read", &error)),
                }
            }
            note(format!("the log goes on at --from {}", reader.position()));
        }
        kind => return Err(neither(&args.object, kind)),
    }
    Ok(printer.outcome())
}

struct Printer {
    raw: bool,
    left: Option<u64>,
}

impl Printer {
    fn wants_more(&self) -> bool {
        self.left != Some(0)
    }

    fn print(&mut self, message: &[u8]) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        out.write_all(message).map_err(Failure::output)?;
        if !self.raw {
            out.write_all(b"\n").map_err(Failure::output)?;
        }
        // Somebody may wait for this one.
        out.flush().map_err(Failure::output)?;
        self.left = self.left.map(|left| left - 1);
        Ok(())
    }

    /// Fewer than were asked for is only a part.
    fn outcome(&self) -> Outcome {
        if self.left.is_none_or(|left| left == 0) { Outcome::Done } else { Outcome::Partly }
    }
}
