//! What is seen of a segment: data, to be drawn or printed as JSON.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use mapwright::ErrorKind;
use mapwright::share::{Attendance, Directory, Figure, Kind, Overview, Participant, SegmentReader, Value};
use serde::Serialize;

use crate::outcome::Failure;
use crate::ui::words;

/// One segment.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Seen {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) bytes: u64,
    /// Seconds since it was made.
    pub(super) age_s: u64,
    pub(super) seats: usize,
    /// It is from before the machine was started.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) outdated: bool,
    pub(super) participants: Vec<Who>,
    pub(super) objects: Vec<Thing>,
}

/// One participant.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Who {
    /// Seat and incarnation: `3.17`.
    pub(super) id: String,
    pub(super) state: &'static str,
    pub(super) process: u32,
    pub(super) program: String,
    /// Seconds since it came.
    pub(super) since_s: u64,
}

/// One object.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Thing {
    pub(super) name: String,
    pub(super) kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) layout: String,
    pub(super) bytes: usize,
    pub(super) figures: Vec<Said>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) damaged: Option<String>,
}

/// One figure of an object.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Said {
    pub(super) name: &'static str,
    pub(super) value: Told,
    /// Somebody died, or something is out of order.
    #[serde(skip)]
    pub(super) is_bad: bool,
}

/// What a figure says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Told {
    Number(u64),
    Text(String),
    Who { id: String, process: Option<u32>, program: Option<String>, state: &'static str },
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => f.write_str(&words::count(*number)),
            Self::Text(text) => f.write_str(text),
            Self::Who { id, process, program, state } => {
                match (process, program) {
                    (Some(process), Some(program)) => write!(f, "{process} ({program})")?,
                    _ => f.write_str(id)?,
                }
                if *state == "alive" { Ok(()) } else { f.write_str(", who died") }
            }
        }
    }
}

impl Seen {
    /// Looks at a segment.
    pub(super) fn of(directory: &Directory, name: &str) -> Result<Self, Failure> {
        match directory.inspect(name) {
            Ok(seen) => Ok(Self::from(seen)),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                let failure = Failure::from(error);
                Err(match directory.open_read_only(name) {
                    Ok(reader) => failure.advice(what_can_be_read(name, &reader)),
                    Err(_) => failure,
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// How many take part now.
    pub(super) fn alive(&self) -> usize {
        self.participants.iter().filter(|who| who.state == "alive").count()
    }

    /// How many died and have not been replaced.
    pub(super) fn died(&self) -> usize {
        self.participants.iter().filter(|who| who.state == "died").count()
    }
}

/// What is left to those whom somebody lets read only.
fn what_can_be_read(name: &str, reader: &SegmentReader) -> String {
    let snapshots = reader.objects().filter(|(_, kind)| *kind == Kind::Snapshot);
    let snapshots: Vec<&str> = snapshots.map(|(object, _)| object).collect();
    if snapshots.is_empty() {
        return "it can be read, but there is no snapshot in it".to_owned();
    }
    format!("it can be read: `mapwright share snapshot {name} OBJECT` prints {}", snapshots.join(", "))
}

impl From<Overview> for Seen {
    fn from(seen: Overview) -> Self {
        let participants: Vec<Who> = seen.participants.iter().map(Who::from).collect();
        let objects = seen.objects.into_iter().map(|object| {
            let (figures, damaged) = match object.figures {
                Ok(figures) => (figures, None),
                Err(why) => (Vec::new(), Some(why)),
            };
            let said = figures.into_iter().map(|figure| said(figure, &seen.participants)).collect();
            Thing {
                name: object.name,
                kind: object.kind.to_string(),
                layout: object.layout,
                bytes: object.len,
                figures: said,
                damaged,
            }
        });
        Self {
            objects: objects.collect(),
            name: seen.name,
            path: seen.path.to_string_lossy().into_owned(),
            bytes: seen.len,
            age_s: seconds_since(seen.created),
            seats: seen.seats,
            outdated: seen.is_outdated,
            participants,
        }
    }
}

impl From<&Participant> for Who {
    fn from(participant: &Participant) -> Self {
        let identity = participant.identity;
        Self {
            id: format!("{}.{}", identity.seat(), identity.incarnation()),
            state: state(participant),
            process: participant.process,
            program: participant.program.clone(),
            since_s: seconds_since(participant.since),
        }
    }
}

const fn state(participant: &Participant) -> &'static str {
    match participant.state {
        Attendance::Alive => "alive",
        Attendance::Left => "left",
        Attendance::Died => "died",
    }
}

fn said(figure: Figure, participants: &[Participant]) -> Said {
    let name = figure.name;
    match figure.value {
        Value::Number(number) => Said { name, value: Told::Number(number), is_bad: false },
        Value::Text(text) => {
            let is_bad = ["died", "poisoned", "broken", "damaged"].iter().any(|word| text.contains(word));
            Said { name, value: Told::Text(text), is_bad }
        }
        Value::Who(who) => {
            let known = participants.iter().find(|participant| participant.identity == who);
            // Who is known no more has left its seat to somebody else.
            let state = known.map_or("died", state);
            let id = format!("{}.{}", who.seat(), who.incarnation());
            let process = known.map(|known| known.process);
            let program = known.map(|known| known.program.clone());
            Said { name, value: Told::Who { id, process, program, state }, is_bad: state != "alive" }
        }
        _ => Said { name, value: Told::Text("?".to_owned()), is_bad: false },
    }
}

fn seconds_since(then: SystemTime) -> u64 {
    let nanos = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default();
    nanos(SystemTime::now()).saturating_sub(nanos(then)).as_secs()
}
