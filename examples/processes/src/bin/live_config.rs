//! A configuration that running processes see change: `cargo run --release -p mapwright-processes --bin
//! live_config`
//!
//! One process reads a file and publishes what it says as a snapshot; workers look at it with every request
//! they serve, which costs them a few nanoseconds and no lock. The snapshot is whole at every moment, and
//! stays when the process that published it is killed. Workers map it for reading: they could not change it
//! if they tried.
//!
//! - `live_config` shows it: three workers, a file that is edited four times, a publisher that is killed
//! - `live_config serve NAME FILE` publishes FILE whenever it changes
//! - `live_config work NAME` serves requests by what is published

#![allow(clippy::print_stdout, reason = "a program that prints")]

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use mapwright::Plain;
use mapwright::share::{Deadline, Directory, Segment, Snapshot, SnapshotError, SnapshotOptions};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

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
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let wrong = |why: &str| format!("line {}: {why}: {line:?}", number + 1);
            let (key, value) = line.split_once('=').ok_or_else(|| wrong("no `key = value`"))?;
            let (key, value) = (key.trim(), value.trim());
            let as_number = || value.parse().map_err(|_| wrong("no number"));
            match key {
                "requests_per_second" => config.requests_per_second = as_number()?,
                "timeout_ms" => config.timeout_ms = as_number()?,
                "edit" => (config.edit, config.edit_again) = (as_number()?, as_number()?),
                "greeting" => {
                    let target = config.greeting.get_mut(..value.len()).ok_or_else(|| wrong("too long"))?;
                    target.copy_from_slice(value.as_bytes());
                }
                _ => return Err(wrong("there is no such key")),
            }
        }
        Ok(config)
    }

    fn greeting(&self) -> String {
        let text = self.greeting.split(|&byte| byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => show(),
        ["serve", name, file] => serve(name, Path::new(file)),
        ["work", name] => work(name),
        _ => Err("usage: live_config [serve NAME FILE | work NAME]".into()),
    }
}

/// Publishes a file whenever it changes.
fn serve(name: &str, file: &Path) -> Result<(), Box<dyn Error>> {
    end_with_parent();
    let first = Config::parse(&std::fs::read_to_string(file)?)?;
    let segment = Segment::builder(name)
        .with::<Snapshot<Config>>("config", SnapshotOptions::new(first))
        .open_or_create()?;
    // One process publishes; where the last one died, this one takes its place.
    let mut writer = segment.get::<Snapshot<Config>>("config")?.writer()?;
    let mut published = None;
    loop {
        let changed = std::fs::metadata(file).and_then(|status| status.modified()).ok();
        if changed != published {
            match std::fs::read_to_string(file)
                .map_err(|error| error.to_string())
                .and_then(|text| Config::parse(&text))
            {
                Ok(config) => drop(writer.publish(&config)?),
                Err(why) => eprintln!("{}: {why}; what was published stays", file.display()),
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
    end_with_parent();
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
            println!(
                "worker {id}: edit {} after {requests} requests: {greeting:?}, {} a second, {} ms",
                now.edit, now.requests_per_second, now.timeout_ms
            );
            std::io::stdout().flush()?;
        }
        if requests.is_multiple_of(1000) {
            // A server would wait for its next client here.
            match config.changed_until(seen, Deadline::after(Duration::from_millis(1))) {
                Ok(_) | Err(SnapshotError::TimedOut) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Three workers, a file that is edited, and a publisher that is killed.
fn show() -> Result<(), Box<dyn Error>> {
    let name = format!("live-config-{}", std::process::id());
    let file = std::env::temp_dir().join(format!("{name}.conf"));
    let edit = |edit: u64| {
        // Renamed over the old one: nobody reads half of it.
        let text = format!(
            "greeting = hello, edit {edit}\nrequests_per_second = {}\ntimeout_ms = {}\nedit = {edit}\n",
            100 * edit,
            250 / edit
        );
        let beside = file.with_extension("new");
        std::fs::write(&beside, text)?;
        std::fs::rename(&beside, &file)
    };
    edit(1)?;
    let path = file.to_string_lossy().into_owned();
    let mut server = Process::start(&["serve", &name, &path])?;
    let directory = Directory::default_of_user()?;
    let config = wait_for(|| {
        let config: Snapshot<Config> = directory.open_read_only(&name).ok()?.get("config").ok()?;
        (config.read().ok()?.edit == 1).then_some(config)
    })?;
    let workers: Vec<Process> = (0..3).map(|_| Process::start(&["work", &name])).collect::<Result<_, _>>()?;
    for number in 2..=4 {
        edit(number)?;
        wait_for(|| (config.read().ok()?.edit == number).then_some(()))?;
    }
    server.0.kill()?;
    server.0.wait()?;
    println!("the publisher was killed; the workers still read edit {}", config.read()?.edit);
    let _next = Process::start(&["serve", &name, &path])?;
    edit(5)?;
    wait_for(|| (config.read().ok()?.edit == 5).then_some(()))?;
    println!("another publisher has taken its place: edit {}", config.read()?.edit);
    drop(workers);
    drop(_next);
    std::fs::remove_file(&file)?;
    directory.remove(&name)?;
    Ok(())
}

/// A process of this program, killed when dropped.
struct Process(Child);

impl Process {
    fn start(arguments: &[&str]) -> Result<Self, std::io::Error> {
        let program = std::env::current_exe()?;
        Ok(Self(Command::new(program).args(arguments).stdin(Stdio::null()).spawn()?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.0.kill().and_then(|()| self.0.wait());
    }
}

fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> Result<T, Box<dyn Error>> {
    let start = SystemTime::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if start.elapsed()? > Duration::from_secs(20) {
            return Err("waited for 20 seconds in vain".into());
        }
        std::thread::yield_now();
    }
}

fn end_with_parent() {
    let _asked = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
}
