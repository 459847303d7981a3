//! `mapwright doctor --pid PID`: what keeps faults from becoming errors in a process that runs.
//!
//! A fault becomes an error by way of a signal handler. From outside it can be seen whether there is one, and
//! which threads block the signals; not whose it is, which `mapwright::signal_report` says inside of the
//! process.

use std::fs;
use std::io;
use std::path::Path;

use rustix::process::Signal;
use serde::Serialize;

use crate::outcome::{Failure, reason};
use crate::ui::{Charset, Ink, Line, name, words, wrapped};
use crate::width::wide;

/// The signals that a failing page fault raises.
const SIGNALS: [(Signal, &str); 2] = [(Signal::BUS, "SIGBUS"), (Signal::SEGV, "SIGSEGV")];

/// What was found.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Report {
    schema: &'static str,
    pid: u32,
    name: String,
    threads: usize,
    signals: Vec<Disposition>,
    /// Threads that block one of the signals.
    blocking: Vec<Blocking>,
    verdict: &'static str,
}

/// What a process does about a signal.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Disposition {
    signal: &'static str,
    is: Is,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Is {
    /// A handler is installed.
    Caught,
    /// It is ignored, which a fault cannot be.
    Ignored,
    /// Nothing was said about it.
    Default,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Blocking {
    thread: u32,
    name: String,
    signals: Vec<&'static str>,
}

/// Looks at a process.
pub(super) fn examine(pid: u32) -> Result<Report, Failure> {
    let refused = |cause| refusal(pid, &cause);
    let folder = Path::new("/proc").join(pid.to_string()).join("task");
    let mut threads = Vec::new();
    for entry in fs::read_dir(&folder).map_err(refused)? {
        let status = entry.and_then(|entry| fs::read(entry.path().join("status")));
        match status {
            // A name may be any bytes.
            Ok(status) => threads.extend(Thread::of(&String::from_utf8_lossy(&status))),
            // It ended between the two calls.
            Err(cause) if has_ended(&cause) => {}
            Err(cause) => return Err(refused(cause)),
        }
    }
    let ended = || Failure::new(format!("cannot examine process {pid}: it has ended"));
    Report::of(threads).ok_or_else(ended)
}

fn has_ended(cause: &io::Error) -> bool {
    cause.kind() == io::ErrorKind::NotFound
        || cause.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

fn refusal(pid: u32, cause: &io::Error) -> Failure {
    let what = |why: &str| Failure::new(format!("cannot examine process {pid}: {why}"));
    match cause.kind() {
        io::ErrorKind::NotFound if Path::new("/proc/self").exists() => what("there is no such process")
            .advice("/proc may hide those of others (hidepid); then ask as its owner, or as root"),
        io::ErrorKind::NotFound => what("/proc is not mounted"),
        io::ErrorKind::PermissionDenied => {
            what(&reason(cause)).advice("ask as the owner of the process, or as root")
        }
        _ => what(&reason(cause)),
    }
}

/// What /proc says of one thread.
#[derive(Debug)]
struct Thread {
    process: u32,
    thread: u32,
    name: String,
    blocked: u64,
    ignored: u64,
    caught: u64,
}

impl Thread {
    /// Reads a status file; nothing where the thread has ended already.
    fn of(status: &str) -> Option<Self> {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(str::trim)
        };
        let number = |name| field(name)?.parse().ok();
        let set = |name| u64::from_str_radix(field(name)?, 16).ok();
        if field("State").is_some_and(|state| state.starts_with(['Z', 'X'])) {
            return None;
        }
        Some(Self {
            process: number("Tgid")?,
            thread: number("Pid")?,
            name: field("Name")?.to_owned(),
            blocked: set("SigBlk")?,
            ignored: set("SigIgn")?,
            caught: set("SigCgt")?,
        })
    }

    fn blocks(&self) -> Option<Blocking> {
        let blocked = |&(signal, name): &(Signal, &'static str)| has(self.blocked, signal).then_some(name);
        let signals: Vec<_> = SIGNALS.iter().filter_map(blocked).collect();
        let blocking = Blocking { thread: self.thread, name: self.name.clone(), signals };
        Some(blocking).filter(|blocking| !blocking.signals.is_empty())
    }

    fn disposition(&self, signal: Signal) -> Is {
        match (has(self.caught, signal), has(self.ignored, signal)) {
            (true, _) => Is::Caught,
            (false, true) => Is::Ignored,
            (false, false) => Is::Default,
        }
    }
}

/// Whether a set of signals has one.
fn has(set: u64, signal: Signal) -> bool {
    set >> (signal.as_raw() - 1) & 1 == 1
}

impl Report {
    /// Puts a report together; nothing where there is no thread. Handlers are the same for all threads.
    fn of(threads: Vec<Thread>) -> Option<Self> {
        let first = threads.iter().find(|thread| thread.thread == thread.process).or(threads.first())?;
        let disposition = |&(number, signal): &(Signal, &'static str)| Disposition {
            signal,
            is: first.disposition(number),
        };
        let signals: Vec<_> = SIGNALS.iter().map(disposition).collect();
        let blocking: Vec<_> = threads.iter().filter_map(Thread::blocks).collect();
        let is_caught = signals.iter().all(|signal| signal.is == Is::Caught);
        Some(Self {
            schema: "mapwright.doctor.process/1",
            pid: first.process,
            name: first.name.clone(),
            threads: threads.len(),
            signals,
            verdict: verdict(is_caught, blocking.is_empty()),
            blocking,
        })
    }

    /// As text.
    pub(super) fn draw(&self, charset: Charset, width: usize) -> Vec<Line> {
        let threads = words::counted(wide(self.threads), "thread");
        let title = format!("Process {} ({}), {threads}", self.pid, name(&self.name));
        let mut lines = vec![Line::of(Ink::Title, title)];
        for Disposition { signal, is } in &self.signals {
            let text = match is {
                Is::Caught => "a handler is installed",
                Is::Ignored => "is ignored, which a fault cannot be: it ends the process",
                Is::Default => "no handler is installed: a fault ends the process",
            };
            lines.extend(self.line(*is == Is::Caught, &format!("{signal}: {text}"), charset, width));
        }
        for Blocking { thread, name: own, signals } in &self.blocking {
            let text = format!("thread {thread} ({}) blocks {}", name(own), signals.join(" and "));
            lines.extend(self.line(false, &text, charset, width));
        }
        if self.blocking.is_empty() {
            lines.extend(self.line(true, "no thread blocks either signal", charset, width));
        }
        lines.push(Line::empty());
        lines.extend(wrapped(Ink::Plain, self.verdict, width));
        lines
    }

    fn line(&self, good: bool, text: &str, charset: Charset, width: usize) -> Vec<Line> {
        let state = if good { mapwright::Availability::Have } else { mapwright::Availability::Missing };
        let (ink, mark) = super::mark(state, charset);
        let margin = 4;
        let start = |index| match index {
            0 => Line::of(ink, format!("  {mark} ")),
            _ => Line::empty().padded(margin),
        };
        let texts = wrapped(Ink::Plain, text, width.saturating_sub(margin));
        texts.into_iter().enumerate().map(|(index, text)| start(index).and_line(text)).collect()
    }
}

/// What it means, and what to do.
const fn verdict(all_are_caught: bool, none_is_blocked: bool) -> &'static str {
    match (all_are_caught, none_is_blocked) {
        (true, true) => {
            "Nothing that can be seen from outside keeps a fault from becoming an error. Whose the \
             handlers are, only the process itself can tell: mapwright::signal_report()."
        }
        (true, false) => {
            "A fault in a thread that blocks its signal ends the process, whatever the handler: unblock \
             SIGBUS and SIGSEGV in threads that touch maps (pthread_sigmask(3))."
        }
        (false, _) => {
            "Without handlers, faults end the process. Mapwright installs them at the first map: this \
             process has made none, or somebody has taken them away."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(id: u32, blocked: &str, caught: &str) -> Thread {
        let status = format!(
            "Name:\ta b\nState:\tS (sleeping)\nTgid:\t7\nPid:\t{id}\nSigPnd:\tffffffffffffffff\n\
             SigBlk:\t{blocked}\nSigIgn:\t0000000000000040\nSigCgt:\t{caught}\n"
        );
        Thread::of(&status).unwrap()
    }

    fn plain(threads: Vec<Thread>) -> Vec<String> {
        let lines = Report::of(threads).unwrap().draw(Charset::Ascii, 200);
        lines.iter().map(Line::plain).collect()
    }

    #[test]
    fn masks_are_read_bit_by_bit() {
        // SIGBUS is 7 and SIGSEGV 11: bits 6 and 10.
        assert_eq!(thread(7, "fffffffffffffbbf", "0").blocks(), None);
        assert_eq!(thread(7, "0000000000000040", "0").blocks().unwrap().signals, ["SIGBUS"]);
        assert_eq!(thread(7, "0000000000000440", "0").blocks().unwrap().signals, ["SIGBUS", "SIGSEGV"]);
        let thread = thread(7, "0", "0000000000000400");
        assert_eq!(thread.disposition(Signal::BUS), Is::Ignored);
        assert_eq!(thread.disposition(Signal::SEGV), Is::Caught);
    }

    #[test]
    fn a_process_in_order_is_said_to_be_so() {
        let lines = plain(vec![thread(7, "0", "440"), thread(8, "0", "440")]);
        assert_eq!(
            lines[..4],
            [
                "Process 7 (a b), 2 threads",
                "  + SIGBUS: a handler is installed",
                "  + SIGSEGV: a handler is installed",
                "  + no thread blocks either signal"
            ]
        );
        assert!(lines[5].starts_with("Nothing that can be seen from outside"), "{lines:?}");
    }

    #[test]
    fn what_defeats_a_handler_is_named_with_the_thread() {
        let lines = plain(vec![thread(8, "0", "440"), thread(7, "0", "440"), thread(9, "400", "440")]);
        assert_eq!(lines[3], "  - thread 9 (a b) blocks SIGSEGV");
        assert!(lines[5].contains("unblock SIGBUS and SIGSEGV"), "{lines:?}");
        let lines = plain(vec![thread(7, "0", "0")]);
        assert!(lines[1].contains("ignored") && lines[2].contains("no handler"), "{lines:?}");
        assert!(lines[5].starts_with("Without handlers"), "{lines:?}");
    }

    #[test]
    fn a_thread_that_has_ended_counts_no_more() {
        assert!(Thread::of("Name:\ta\nState:\tZ (zombie)\nTgid:\t7\nPid:\t7\n").is_none());
        assert_eq!(Report::of(Vec::new()), None);
    }

    #[test]
    fn refusals_say_who_may_ask() {
        let refused = refusal(7, &io::Error::from(rustix::io::Errno::ACCESS));
        assert_eq!(refused.to_string(), "cannot examine process 7: permission denied");
        assert!(matches!(refused, Failure::Told { advice: Some(advice), .. } if advice.contains("root")));
        let missing = refusal(7, &io::Error::from(rustix::io::Errno::NOENT));
        assert_eq!(missing.to_string(), "cannot examine process 7: there is no such process");
    }
}
