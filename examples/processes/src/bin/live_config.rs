//! A configuration that running processes see change: `cargo run --release -p mapwright-processes --bin
//! live_config`
//!
//! One process reads a file and publishes what it says as a snapshot; workers look at it with every request
//! they serve, which costs them a few nanoseconds and no lock. The snapshot is whole at every moment, and
//! stays when the process that published it is killed. Workers map it for reading: they could not change it
//! if they tried.
//!
//! - `live_config` shows it: three workers, a file that is edited four times, a publisher that is killed
//! - `live_config serve NAME FILE` publishes FILE whenever it changes; where it is wrong or half written, it
//!   says so, and what was published stays. It stays, too, when this ends, for the next one to go on with;
//!   `mapwright share prune` removes it when nobody publishes
//! - `live_config work NAME` serves requests by what is published
//!
//! A file looks like this; all three have to be there:
//!
//! ```text
//! # a comment
//! greeting = hello
//! requests_per_second = 100
//! timeout_ms = 250
//! ```

#![allow(clippy::print_stdout, reason = "a program that prints")]

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mapwright::Plain;
use mapwright::share::{Deadline, Directory, Segment, Snapshot, SnapshotError, SnapshotOptions};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What segments and files of shows are called; each has its process's number behind it.
const SHOW: &str = "live-config-show-";
/// Said to the processes of a show, with its number: they end with it, even where it is killed.
const WITH_PARENT: &str = "--with-parent=";

/// What can be set. Plain: numbers and bytes, no pointers.
#[derive(Clone, Copy, Debug, Default, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout, Plain)]
#[repr(C)]
struct Config {
    requests_per_second: u64,
    timeout_ms: u64,
    /// Text of up to 32 bytes, filled up with zeros.
    greeting: [u8; 32],
    /// Each edit's number twice, so that a torn value would show.
    edit: u64,
    edit_again: u64,
}

impl Config {
    /// Reads lines like `timeout_ms = 250`.
    fn parse(text: &str) -> Result<Self, String> {
        let mut config = Self::default();
        let mut missing = vec!["greeting", "requests_per_second", "timeout_ms"];
        for (number, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |why: &str| format!("line {}: {why}: {line:?}", number + 1);
            let (key, value) = line.split_once('=').ok_or_else(|| wrong("no `key = value`"))?;
            let (key, value) = (key.trim(), value.trim());
            let as_number = || value.parse().map_err(|_| wrong("no whole number"));
            match key {
                "requests_per_second" => config.requests_per_second = as_number()?,
                "timeout_ms" => config.timeout_ms = as_number()?,
                "edit" => (config.edit, config.edit_again) = (as_number()?, as_number()?),
                "greeting" => {
                    let target = config.greeting.get_mut(..value.len());
                    let target = target.ok_or_else(|| wrong("more than 32 bytes"))?;
                    target.copy_from_slice(value.as_bytes());
                }
                _ => return Err(wrong("there is no such key")),
            }
            missing.retain(|it| *it != key);
        }
        // An editor may have emptied the file, and be about to write it.
        if missing.is_empty() { Ok(config) } else { Err(format!("it does not say {}", missing.join(", "))) }
    }

    fn greeting(&self) -> String {
        let text = self.greeting.split(|&byte| byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    }
}

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(last) = arguments.pop_if(|last| last.starts_with(WITH_PARENT)) {
        let _asked = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
        // One that was gone before that sends no signal.
        let parent = rustix::process::getppid().map_or(0, rustix::process::Pid::as_raw_pid);
        if last != format!("{WITH_PARENT}{parent}") {
            return ExitCode::FAILURE;
        }
    }
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => show(),
        ["serve", name, file] => serve(name, Path::new(file)),
        ["work", name] => work(name),
        _ => Err("usage: live_config [serve NAME FILE | work NAME]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("live_config: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a line; an error where nobody reads it any more.
fn say(line: &str) -> Result<(), Box<dyn Error>> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn read(file: &Path) -> Result<Config, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string());
    text.and_then(|text| Config::parse(&text)).map_err(|why| format!("{}: {why}", file.display()))
}

/// Publishes a file whenever it changes.
fn serve(name: &str, file: &Path) -> Result<(), Box<dyn Error>> {
    let segment = Segment::builder(name)
        .with::<Snapshot<Config>>("config", SnapshotOptions::new(read(file)?))
        .open_or_create()?;
    // One process publishes; where the last one died, this one takes its place.
    let writer = segment.get::<Snapshot<Config>>("config")?.writer();
    let mut writer = writer.map_err(|error| format!("cannot publish \"{name}\": {error}"))?;
    let mut published = None;
    loop {
        let changed = std::fs::metadata(file).and_then(|status| status.modified()).ok();
        if changed != published {
            match read(file) {
                Ok(config) => drop(writer.publish(&config)?),
                Err(why) => eprintln!("{why}; what was published stays"),
            }
            published = changed;
        }
        // The file system has no bell: look now and then.
        let _timed_out = writer
            .snapshot()
            .changed_until(writer.snapshot().version(), Deadline::after(Duration::from_millis(20)));
    }
}

/// Serves requests, each by the configuration of its moment, and says when that has changed.
fn work(name: &str) -> Result<(), Box<dyn Error>> {
    let segment = Directory::default_of_user()?.open_read_only(name)?;
    let config: Snapshot<Config> = segment.get("config")?;
    let (mut seen, mut requests) = (u64::MAX, 0u64);
    let mut now = Config::default();
    loop {
        requests += 1;
        let version = config.read_into(&mut now)?;
        if now.edit != now.edit_again {
            return Err(format!("torn: {now:?}").into());
        }
        if version != seen {
            seen = version;
            let (id, greeting) = (std::process::id(), now.greeting());
            say(&format!(
                "worker {id}: version {version} after {requests} requests: {greeting:?}, {} a second, {} ms",
                now.requests_per_second, now.timeout_ms
            ))?;
        }
        if requests.is_multiple_of(1000) {
            // A server would wait for its next client here.
            match config.changed_until(seen, Deadline::after(Duration::from_millis(1))) {
                Ok(_) => {}
                Err(SnapshotError::TimedOut) if segment.is_current() => {}
                Err(SnapshotError::TimedOut) => {
                    return Err(format!("\"{name}\" was removed: nothing new will come").into());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Three workers, a file that is edited, and a publisher that is killed.
fn show() -> Result<(), Box<dyn Error>> {
    let stage = Stage::new()?;
    let (name, path) = (&*stage.name, stage.file.to_string_lossy());
    stage.edit(1)?;
    let mut server = Process::start(&["serve", name, &path])?;
    let config = stage.wait_for(|| {
        let config: Snapshot<Config> = stage.directory.open_read_only(name).ok()?.get("config").ok()?;
        (config.read().ok()?.edit == 1).then_some(config)
    })?;
    let _workers: Vec<Process> = (0..3).map(|_| Process::start(&["work", name])).collect::<Result<_, _>>()?;
    for number in 2..=4 {
        stage.edit(number)?;
        stage.wait_for(|| (config.read().ok()?.edit == number).then_some(()))?;
    }
    server.0.kill()?;
    server.0.wait()?;
    say(&format!("the publisher was killed; the workers still read edit {}", config.read()?.edit))?;
    let _next = Process::start(&["serve", name, &path])?;
    stage.edit(5)?;
    stage.wait_for(|| (config.read().ok()?.edit == 5).then_some(()))?;
    say(&format!("another publisher has taken its place: edit {}", config.read()?.edit))
}

/// A segment and a file for a show, removed when it is dropped, after the processes that use them.
struct Stage {
    directory: Directory,
    name: String,
    file: PathBuf,
    /// Set by Ctrl-C and the like.
    is_over: Arc<AtomicBool>,
}

impl Stage {
    fn new() -> Result<Self, Box<dyn Error>> {
        let is_over = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&is_over))?;
        }
        let directory = Directory::default_of_user()?;
        // What shows that were killed have left; what is in use is refused.
        for name in directory.segments()?.iter().filter(|name| name.starts_with(SHOW)) {
            if directory.remove(name).is_ok() {
                let _gone = std::fs::remove_file(Self::file_of(name));
            }
        }
        let name = format!("{SHOW}{}", std::process::id());
        Ok(Self { directory, file: Self::file_of(&name), name, is_over })
    }

    fn file_of(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("{name}.conf"))
    }

    fn edit(&self, edit: u64) -> Result<(), std::io::Error> {
        // Renamed over the old one: nobody reads half of it.
        let text = format!(
            "greeting = hello, edit {edit}\nrequests_per_second = {}\ntimeout_ms = {}\nedit = {edit}\n",
            100 * edit,
            250 / edit
        );
        let beside = self.file.with_extension("new");
        std::fs::write(&beside, text)?;
        std::fs::rename(&beside, &self.file)
    }

    fn wait_for<T>(&self, mut look: impl FnMut() -> Option<T>) -> Result<T, Box<dyn Error>> {
        let start = Instant::now();
        loop {
            if let Some(found) = look() {
                return Ok(found);
            }
            if self.is_over.load(Ordering::Relaxed) {
                return Err("ended before it was done".into());
            }
            if start.elapsed() > Duration::from_secs(60) {
                return Err("waited for 60 seconds in vain".into());
            }
            std::thread::yield_now();
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.file);
        // Not there yet, where it ended early.
        let _gone = self.directory.remove(&self.name);
    }
}

/// A process of this program, killed when dropped.
struct Process(Child);

impl Process {
    fn start(arguments: &[&str]) -> Result<Self, std::io::Error> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).arg(format!("{WITH_PARENT}{}", std::process::id()));
        Ok(Self(command.stdin(Stdio::null()).spawn()?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.0.kill().and_then(|()| self.0.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_wrong_or_half_written_is_refused_with_the_reason() {
        let whole = "# ours\ngreeting = hi\nrequests_per_second = 7\n\ntimeout_ms = 3\n";
        let config = Config::parse(whole).unwrap();
        assert_eq!((config.greeting(), config.requests_per_second, config.timeout_ms), ("hi".into(), 7, 3));
        let why = |text: &str| Config::parse(text).unwrap_err();
        assert_eq!(why(""), "it does not say greeting, requests_per_second, timeout_ms");
        assert_eq!(why("greeting = hi\ntimeout_ms = 1"), "it does not say requests_per_second");
        assert_eq!(why("timeout_ms 3"), "line 1: no `key = value`: \"timeout_ms 3\"");
        assert_eq!(why("\ntimeout_ms = soon"), "line 2: no whole number: \"timeout_ms = soon\"");
        assert_eq!(why("colour = red"), "line 1: there is no such key: \"colour = red\"");
        let long = format!("greeting = {}", "x".repeat(33));
        assert!(why(&long).starts_with("line 1: more than 32 bytes"));
    }
}
