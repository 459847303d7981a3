//! Scenarios of signals that have nothing to do with Mapwright.
//!
//! Each has a part that runs before Mapwright's handler is installed (a program that sets its handlers
//! early), and a part that runs after.

use crate::support::plain_map::PlainMap;
use crate::support::process::Ended;
use crate::support::signals::{self, Disposition};
use crate::support::{fork, plain_map, watchdog};
use std::fs::File;
use std::io::{PipeWriter, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// One scenario.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) prepare: fn(),
    /// Gets a folder to work in.
    pub(super) play: fn(&Path),
    pub(super) ends: Ended,
    /// What its stderr holds, among other things.
    pub(super) stderr: &'static str,
}

const BUS: Ended = Ended::Signal(libc::SIGBUS);
const SEGV: Ended = Ended::Signal(libc::SIGSEGV);
const OK: Ended = Ended::Exit(0);

const fn scenario(name: &'static str, prepare: fn(), play: fn(&Path), ends: Ended) -> Scenario {
    Scenario { name, prepare, play, ends, stderr: "" }
}

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario("plain load behind the end", nothing, load_behind_the_end, BUS),
    scenario("plain load behind the end, default action", default_actions, load_behind_the_end, BUS),
    scenario("plain load behind the end, ignored", ignore, load_behind_the_end, BUS),
    scenario("plain load behind the end in a thread", nothing, load_behind_the_end_in_a_thread, BUS),
    scenario("plain load behind the end in a forked child", nothing, load_behind_the_end_in_a_child, OK),
    scenario("plain load behind the end, signal blocked", nothing, load_behind_the_end_while_blocked, BUS),
    scenario("wild load", nothing, wild_load, SEGV),
    scenario("wild load, default action", default_actions, wild_load, SEGV),
    scenario("wild load, ignored", ignore, wild_load, SEGV),
    scenario("load from an address that cannot exist", nothing, non_canonical_load, SEGV),
    Scenario {
        stderr: "has overflowed its stack",
        ..scenario("stack overflow", nothing, overflow, Ended::Signal(libc::SIGABRT))
    },
    Scenario {
        stderr: "has overflowed its stack",
        ..scenario("stack overflow in a thread", nothing, overflow_in_a_thread, Ended::Signal(libc::SIGABRT))
    },
    scenario("sent SIGBUS, default action", default_actions, sent_bus, BUS),
    scenario("sent SIGSEGV, default action", default_actions, sent_segv, SEGV),
    scenario("sent SIGBUS, ignored", ignore, sent_bus, OK),
    scenario("sent SIGSEGV, ignored", ignore, sent_segv, OK),
    scenario("sent SIGBUS, Rust's own handler swallows the first", nothing, sent_bus, OK),
    scenario("sent SIGBUS twice, Rust's own handler", nothing, sent_bus_twice, BUS),
    scenario("sent to a thread, default action", default_actions, raised_in_a_thread, BUS),
    scenario("queued with a value, handled", handle_and_tell, queued, OK),
    scenario("plain load, handled and told", handle_and_tell_and_exit, load_behind_the_end, Ended::Exit(5)),
    scenario("wild load, handled and told", handle_and_tell_and_exit, wild_load, Ended::Exit(5)),
    scenario("plain load, handled without information", handle_simply, load_behind_the_end, Ended::Exit(6)),
    scenario("plain load, handled once", handle_once, load_behind_the_end, BUS),
    scenario("plain load, handler repairs the page", handle_and_repair, load_behind_the_end, OK),
    scenario("plain load, handler's signal mask", handle_and_tell_mask, load_behind_the_end, Ended::Exit(7)),
    scenario("plain load, handler that allows nesting", handle_nested, load_behind_the_end, Ended::Exit(8)),
    scenario("plain load, handler that needs much stack", handle_deeply, load_behind_the_end, Ended::Exit(9)),
    scenario("sent while a read waits, handler interrupts", handle_and_interrupt, interrupt_a_reader, OK),
    scenario("sent while a read waits, handler resumes", handle_and_resume, resume_a_reader, OK),
];

fn nothing() {}

const BOTH: [i32; 2] = [libc::SIGBUS, libc::SIGSEGV];

fn set_both(disposition: Disposition) {
    for signal in BOTH {
        signals::set(signal, disposition);
    }
}

fn default_actions() {
    set_both(Disposition { action: libc::SIG_DFL, flags: 0 });
}

fn ignore() {
    set_both(Disposition { action: libc::SIG_IGN, flags: 0 });
}

fn handle_both(handler: signals::Handler, flags: i32) {
    for signal in BOTH {
        signals::handle(signal, handler, flags);
    }
}

fn short_file(folder: &Path) -> File {
    std::fs::write(folder.join("short"), b"x").unwrap();
    File::options().read(true).write(true).open(folder.join("short")).unwrap()
}

/// Loads a byte of a page that the file does not have, and tells it.
fn load_behind_the_end(folder: &Path) {
    let map = PlainMap::new(&short_file(folder), 3 * 4096).unwrap();
    println!("loaded {}", map.load(2 * 4096 + 5));
}

fn load_behind_the_end_in_a_thread(folder: &Path) {
    std::thread::scope(|scope| {
        scope.spawn(|| load_behind_the_end(folder));
    });
}

fn load_behind_the_end_in_a_child(folder: &Path) {
    assert_eq!(fork::run(|| load_behind_the_end(folder)), BUS);
}

fn load_behind_the_end_while_blocked(folder: &Path) {
    signals::block(libc::SIGBUS);
    load_behind_the_end(folder);
}

fn wild_load(_folder: &Path) {
    println!("loaded {}", plain_map::load_anywhere(64));
}

/// Beyond what the processor can translate: the kernel tells another cause and no address.
fn non_canonical_load(_folder: &Path) {
    println!("loaded {}", plain_map::load_anywhere(1 << 63));
}

#[allow(unconditional_recursion, reason = "overflowing the stack is the point")]
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    recurse(depth + 1) + frame[0]
}

fn overflow(_folder: &Path) {
    println!("{}", recurse(0));
}

fn overflow_in_a_thread(folder: &Path) {
    std::thread::scope(|scope| {
        scope.spawn(|| overflow(folder));
    });
}

fn sent_bus(_folder: &Path) {
    signals::send_to_self(libc::SIGBUS);
    println!("went on");
}

fn sent_bus_twice(folder: &Path) {
    sent_bus(folder);
    sent_bus(folder);
}

fn sent_segv(_folder: &Path) {
    signals::send_to_self(libc::SIGSEGV);
    println!("went on");
}

fn raised_in_a_thread(_folder: &Path) {
    std::thread::scope(|scope| {
        scope.spawn(|| signals::send_to_this_thread(libc::SIGBUS));
    });
    println!("went on");
}

fn queued(_folder: &Path) {
    signals::queue_to_self(libc::SIGBUS, 42);
    println!("went on");
}

extern "C" fn tell(signal: i32, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    match signals::code(info) {
        libc::SI_QUEUE => println!("signal {signal}, queued with {}", signals::queued_value(info)),
        code => println!("signal {signal}, code {code}, page offset {}", signals::fault_address(info) % 4096),
    }
}

fn handle_and_tell() {
    handle_both(tell, 0);
}

extern "C" fn tell_and_exit(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    tell(signal, info, context);
    signals::exit_now(5);
}

fn handle_and_tell_and_exit() {
    handle_both(tell_and_exit, libc::SA_ONSTACK);
}

extern "C" fn simple(signal: i32) {
    println!("signal {signal}");
    signals::exit_now(6);
}

fn handle_simply() {
    set_both(Disposition { action: simple as extern "C" fn(i32) as usize, flags: 0 });
}

/// Returns, so that the load strikes again: this time at the default action.
fn handle_once() {
    handle_both(tell, libc::SA_RESETHAND);
}

/// Makes the page exist, as a program with its own fault handling does.
extern "C" fn repair(_signal: i32, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    plain_map::put_zero_page_at(signals::fault_address(info));
}

fn handle_and_repair() {
    handle_both(repair, 0);
}

/// Tells which signals are blocked while it runs: its own and the one that was asked for.
extern "C" fn tell_mask(_signal: i32, _info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    println!("blocked: {:?}", signals::blocked());
    signals::exit_now(7);
}

fn handle_and_tell_mask() {
    signals::handle_blocking(libc::SIGBUS, tell_mask, 0, libc::SIGUSR2);
}

/// Sends itself the signal that it handles, once: with SA_NODEFER it nests.
extern "C" fn nest(signal: i32, _info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    static DEPTH: AtomicUsize = AtomicUsize::new(0);
    let depth = DEPTH.fetch_add(1, Ordering::SeqCst);
    println!("depth {depth}");
    if depth == 0 {
        signals::send_to_self(signal);
        signals::exit_now(8);
    }
}

fn handle_nested() {
    handle_both(nest, libc::SA_NODEFER);
}

/// More than an alternate stack has; without `SA_ONSTACK` a handler has the thread's own.
extern "C" fn go_deep(_signal: i32, _info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    let much = std::hint::black_box([1u8; 256 << 10]);
    println!("{} bytes", much.iter().map(|&byte| usize::from(byte)).sum::<usize>());
    signals::exit_now(9);
}

fn handle_deeply() {
    handle_both(go_deep, 0);
}

static COUNT: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_signal: i32, _info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    COUNT.fetch_add(1, Ordering::SeqCst);
}

fn handle_and_interrupt() {
    handle_both(count, 0);
}

fn handle_and_resume() {
    handle_both(count, libc::SA_RESTART);
}

/// Sends the signal to a thread that waits in read(2), goes on once it was handled, and tells what the read
/// returned.
fn signal_a_waiting_reader(go_on: impl FnOnce(PipeWriter)) {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let (tell_id, id) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        tell_id.send(rustix::thread::gettid()).unwrap();
        println!("read: {:?}", reader.read(&mut [0; 10]).map_err(|error| error.kind()));
    });
    let id = id.recv().unwrap().as_raw_nonzero().get();
    watchdog::until("the reader waits", || {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{id}/stat")).unwrap();
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S'))
    });
    signals::send_to_thread(id, libc::SIGBUS);
    watchdog::until("the signal was handled", || COUNT.load(Ordering::SeqCst) == 1);
    go_on(writer);
    thread.join().unwrap();
}

fn interrupt_a_reader(_folder: &Path) {
    // The writer stays open until the reader has returned: only the signal can end its call.
    let mut kept = None;
    signal_a_waiting_reader(|writer| kept = Some(writer));
}

fn resume_a_reader(_folder: &Path) {
    signal_a_waiting_reader(|mut writer| writer.write_all(b"on").unwrap());
}
