//! Signals that are not ours: each scenario runs twice, in a process without Mapwright and in one whose
//! handler is installed and has served faults, and must end the same way, byte for byte of what was printed.
//!
//! Then the faults that are ours: from any thread, inside other handlers, beneath handlers that chain, and
//! what defeats the handler, which is documented and reported.

mod foreign;

use crate::support::process::{self, Ended, Parent};
use crate::support::suite::{role, suite};
use crate::support::{scratch, signals};
use foreign::SCENARIOS;
use mapwright::{Fault, FaultKind, HandlerState, Map};
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

suite!(
    tests: [
        foreign_signals_end_as_without_us,
        faults_are_served_from_any_thread,
        fault_is_served_inside_another_handler,
        handler_installed_later_that_chains_changes_nothing,
        handler_installed_later_that_does_not_chain_is_reported,
        thread_that_blocks_sigbus_is_reported_and_dies_of_a_fault,
    ],
    roles: [
        play_alone, play_beside_us, fault_in_handler, fault_beneath_chain, fault_beneath_wall,
        fault_while_blocked,
    ],
);

/// Plays a scenario by its name.
fn play_alone(parent: &mut Parent) {
    let name = parent.arg(0);
    let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name).unwrap();
    (scenario.prepare)();
    (scenario.play)(parent.arg(1).as_ref());
}

/// Plays a scenario by its name with our handler installed, after it served a fault.
fn play_beside_us(parent: &mut Parent) {
    let name = parent.arg(0);
    let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name).unwrap();
    (scenario.prepare)();
    let victim = Victim::new(Path::new(parent.arg(1)));
    assert_eq!(victim.fault().unwrap_err().kind(), FaultKind::Truncated);
    (scenario.play)(parent.arg(1).as_ref());
}

fn foreign_signals_end_as_without_us() {
    for scenario in SCENARIOS {
        let folder = scratch::folder();
        let path = folder.path().to_str().unwrap();
        let alone = process::run(role!(play_alone), &[scenario.name, path]);
        let beside = process::run(role!(play_beside_us), &[scenario.name, path]);
        println!("  {:<48}{:?}", scenario.name, alone.ended);
        let name = scenario.name;
        assert_eq!(alone.ended, scenario.ends, "{name}, without us: {alone}");
        assert_eq!(beside.ended, alone.ended, "{name}: {beside}");
        assert_eq!(beside.said, alone.said, "{name}");
        assert_eq!(without_numbers(&beside.stderr), without_numbers(&alone.stderr), "{name}");
        assert!(alone.stderr.contains(scenario.stderr), "{name}: {alone}");
    }
}

/// The text without digits: process ids and addresses differ from run to run.
fn without_numbers(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_ascii_digit()).collect()
}

/// A map whose file was cut to nothing.
struct Victim {
    map: Map,
}

impl Victim {
    fn new(folder: &Path) -> Self {
        let path = folder.join("victim");
        std::fs::write(&path, [1; 8192]).unwrap();
        let map = Map::open(&path).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        Self { map }
    }

    /// Makes an access that cannot be served.
    fn fault(&self) -> Result<u64, Fault> {
        self.map.view().load::<u64>(4096)
    }
}

fn faults_are_served_from_any_thread() {
    let folder = scratch::folder();
    let victim = Victim::new(folder.path());
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    assert_eq!(victim.fault().unwrap_err().kind(), FaultKind::Truncated);
                }
            });
        }
    });
}

static SERVED: AtomicUsize = AtomicUsize::new(0);
static VICTIM: std::sync::OnceLock<Victim> = std::sync::OnceLock::new();

extern "C" fn fault_here(_signal: i32, _info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    if VICTIM.get().is_some_and(|victim| victim.fault().is_err()) {
        SERVED.fetch_add(1, Ordering::SeqCst);
    }
}

/// Takes a fault inside the handler of another signal, while others fault in the open.
fn fault_in_handler(parent: &mut Parent) {
    VICTIM.set(Victim::new(Path::new(parent.arg(0)))).unwrap_or_else(|_| panic!("set twice"));
    signals::handle(libc::SIGUSR1, fault_here, 0);
    for round in 1..=1_000 {
        signals::send_to_self(libc::SIGUSR1);
        assert_eq!(SERVED.load(Ordering::SeqCst), round);
        assert!(VICTIM.get().unwrap().fault().is_err());
    }
}

fn fault_is_served_inside_another_handler() {
    let folder = scratch::folder();
    process::run(role!(fault_in_handler), &[folder.path().to_str().unwrap()]).assert_ok();
}

static BEFORE: std::sync::OnceLock<signals::Disposition> = std::sync::OnceLock::new();

extern "C" fn chain(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    SERVED.fetch_add(1, Ordering::SeqCst);
    signals::call(*BEFORE.get().unwrap(), signal, info, context);
}

/// Installs a handler after ours that passes on what it gets.
fn fault_beneath_chain(parent: &mut Parent) {
    let victim = Victim::new(Path::new(parent.arg(0)));
    BEFORE.set(signals::current(libc::SIGBUS)).unwrap();
    signals::handle(libc::SIGBUS, chain, libc::SA_ONSTACK);
    assert_eq!(victim.fault().unwrap_err().kind(), FaultKind::Truncated);
    assert!(SERVED.load(Ordering::SeqCst) > 0);
    assert_eq!(mapwright::signal_report().bus, HandlerState::Replaced);
}

fn handler_installed_later_that_chains_changes_nothing() {
    let folder = scratch::folder();
    process::run(role!(fault_beneath_chain), &[folder.path().to_str().unwrap()]).assert_ok();
}

extern "C" fn wall(_signal: i32, _info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    signals::exit_now(9);
}

/// Installs a handler after ours that keeps what it gets.
fn fault_beneath_wall(parent: &mut Parent) {
    let victim = Victim::new(Path::new(parent.arg(0)));
    assert_eq!(mapwright::signal_report().bus, HandlerState::Installed);
    signals::handle(libc::SIGBUS, wall, libc::SA_ONSTACK);
    parent.say(format!("{:?}", mapwright::signal_report().bus));
    parent.say(format!("survived: {:?}", victim.fault()));
}

fn handler_installed_later_that_does_not_chain_is_reported() {
    let folder = scratch::folder();
    let report = process::run(role!(fault_beneath_wall), &[folder.path().to_str().unwrap()]);
    assert_eq!(report.assert_ended(Ended::Exit(9)).said, "Replaced\n");
}

fn fault_while_blocked(parent: &mut Parent) {
    let victim = Victim::new(Path::new(parent.arg(0)));
    assert_eq!(mapwright::signal_report().blocking_threads, []);
    thread::scope(|scope| {
        scope.spawn(|| {
            signals::block(libc::SIGBUS);
            let me = rustix::thread::gettid().as_raw_nonzero().get();
            // Not alone: a thread that is just starting another one blocks everything for a moment.
            parent.say(mapwright::signal_report().blocking_threads.contains(&me));
            parent.say(format!("survived: {:?}", victim.fault()));
        });
    });
}

fn thread_that_blocks_sigbus_is_reported_and_dies_of_a_fault() {
    let folder = scratch::folder();
    let report = process::run(role!(fault_while_blocked), &[folder.path().to_str().unwrap()]);
    assert_eq!(report.assert_died_of(libc::SIGBUS).said, "true\n");
}
