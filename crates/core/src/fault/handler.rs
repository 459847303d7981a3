//! The signal handler: listed instruction → its exit, patched address → a page, anything else → whoever was
//! there.
//!
//! Installed once, when the first map is made, for SIGBUS and SIGSEGV. Everything that runs in the handler is
//! async-signal-safe: constant memory, atomics, and direct system calls.
//!
//! A fault that is not ours ends exactly as it would have without us. A previous handler is called on its own
//! stack, with its own mask and flags (Rust's stack overflow message still appears). For the default action
//! the signal is queued again with the same `siginfo` after the default was restored: it strikes on return,
//! at the same program counter, so that a core dump shows the same place. What defeats the handler is
//! reported by [`signal_report`].

#![allow(unsafe_code, reason = "installs a signal handler; listed in docs/SOUNDNESS.md")]

use std::mem::MaybeUninit;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use super::raw::Trap;
use super::{patch, table};
use crate::sys::absent;

/// The signals that a failing page fault arrives as.
const SIGNALS: [i32; 2] = [libc::SIGBUS, libc::SIGSEGV];

/// `si_code` of a memory error that strikes some page, not the instruction that runs.
const BUS_MCEERR_AO: i32 = 5;

/// Whoever handled a signal before us. Written once by `install`, before `READY`; then only read.
struct Previous(std::cell::UnsafeCell<[MaybeUninit<libc::sigaction>; 2]>);

// SAFETY: written by one thread inside `Once` before READY is released, and read only after READY was
// acquired.
unsafe impl Sync for Previous {}

static PREVIOUS: Previous = Previous(std::cell::UnsafeCell::new([MaybeUninit::uninit(); 2]));
static READY: AtomicBool = AtomicBool::new(false);

/// Installs the handler for both signals, once per process.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        table::sort();
        // Where it fails, so does keeping a range from children.
        let _said_later = absent::hook();
        for (index, signal) in SIGNALS.into_iter().enumerate() {
            let previous = query(signal);
            // SAFETY: only this closure writes, once, and READY is not released yet.
            let slots = unsafe { &mut *PREVIOUS.0.get() };
            slots[index].write(previous);
        }
        READY.store(true, Ordering::Release);
        for signal in SIGNALS {
            replace(signal, &in_place_of(&previous(signal)));
        }
    });
}

/// Our own action, called the way the kernel would have called the handler that is pushed aside: on its
/// stack, with its mask, interrupted calls resumed or not. Where there was none: on the alternate stack if
/// the thread has one, and nothing is interrupted.
fn in_place_of(previous: &libc::sigaction) -> libc::sigaction {
    let mut action = empty_action();
    action.sa_sigaction = OURS as usize;
    action.sa_flags = libc::SA_SIGINFO;
    if matches!(previous.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN) {
        action.sa_flags |= libc::SA_ONSTACK | libc::SA_RESTART;
    } else {
        action.sa_flags |= previous.sa_flags & (libc::SA_ONSTACK | libc::SA_RESTART | libc::SA_NODEFER);
        action.sa_mask = previous.sa_mask;
    }
    action
}

/// The handler that [`in_place_of`] installs.
const OURS: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::ucontext_t) = on_fault;

fn empty_action() -> libc::sigaction {
    // SAFETY: sigaction is a C struct of integers and a nullable function pointer; all zeros is its default
    // action.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

/// Reads a signal's current action. Async-signal-safe.
fn query(signal: i32) -> libc::sigaction {
    let mut action = empty_action();
    // SAFETY: a null new action only reads; the target is a local. It cannot fail for a valid signal.
    unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
    action
}

/// Sets a signal's action. Async-signal-safe.
fn replace(signal: i32, action: &libc::sigaction) {
    // SAFETY: the action is either ours, the default, or one that was installed before. It cannot fail for
    // these signals.
    unsafe { libc::sigaction(signal, action, std::ptr::null_mut()) };
}

extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::ucontext_t) {
    // SAFETY: the kernel hands a handler with SA_SIGINFO a valid siginfo.
    let told = unsafe { &*info };
    let si_code = told.si_code;
    let from_an_access = si_code > 0 && !(signal == libc::SIGBUS && si_code == BUS_MCEERR_AO);
    if from_an_access {
        // SAFETY: for SIGBUS and SIGSEGV from an access, the address field is the one in use.
        let address = unsafe { told.si_addr() }.addr();
        // SAFETY: the kernel hands a handler with SA_SIGINFO the interrupted context, valid until the handler
        // returns.
        let registers = unsafe { &mut *context };
        if let Some(exit) = table::find(program_counter(registers)) {
            go_on_at(registers, exit, address, Trap::pack(signal, si_code));
            return;
        }
        if patch::apply(address, signal) {
            return;
        }
    }
    pass_on(signal, info, context, from_an_access);
}

#[cfg(target_arch = "x86_64")]
mod registers {
    //! Where x86-64 keeps the program counter and the two return registers.

    #![allow(clippy::cast_possible_wrap, reason = "registers are bit patterns; the kernel's type is signed")]
    #![allow(clippy::cast_sign_loss, reason = "registers are bit patterns; the kernel's type is signed")]
    #![allow(clippy::cast_possible_truncation, reason = "usize is 64 bits wide on x86-64")]

    use crate::fault::table::Exit;

    /// The kernel's index of a register, as an index.
    const fn at(register: i32) -> usize {
        register as usize
    }

    pub(super) fn program_counter(context: &libc::ucontext_t) -> usize {
        context.uc_mcontext.gregs[at(libc::REG_RIP)] as usize
    }

    pub(super) fn go_on_at(context: &mut libc::ucontext_t, exit: Exit, address: usize, code: u64) {
        let registers = &mut context.uc_mcontext.gregs;
        registers[at(libc::REG_RIP)] = exit.address as i64;
        if exit.returns_trap {
            registers[at(libc::REG_RAX)] = address as i64;
            registers[at(libc::REG_RDX)] = code as i64;
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod registers {
    //! Where aarch64 keeps the program counter and the two return registers.

    #![allow(clippy::cast_possible_truncation, reason = "usize is 64 bits wide on aarch64")]

    use crate::fault::table::Exit;

    pub(super) fn program_counter(context: &libc::ucontext_t) -> usize {
        context.uc_mcontext.pc as usize
    }

    pub(super) fn go_on_at(context: &mut libc::ucontext_t, exit: Exit, address: usize, code: u64) {
        context.uc_mcontext.pc = exit.address as u64;
        if exit.returns_trap {
            context.uc_mcontext.regs[0] = address as u64;
            context.uc_mcontext.regs[1] = code;
        }
    }
}

use registers::{go_on_at, program_counter};

/// Hands a signal that is not ours to whoever had it before.
fn pass_on(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::ucontext_t, from_an_access: bool) {
    let previous = previous(signal);
    match previous.sa_sigaction {
        libc::SIG_IGN if !from_an_access => {}
        // The kernel does not let a process ignore its own faults: it kills as if by default.
        libc::SIG_DFL | libc::SIG_IGN => {
            replace(signal, &empty_action());
            strike_again(signal, info);
        }
        handler => call_previous(signal, info, context, &previous, handler),
    }
}

fn previous(signal: i32) -> libc::sigaction {
    assert!(READY.load(Ordering::Acquire), "the handler runs only after install");
    let index = usize::from(signal == libc::SIGSEGV);
    // SAFETY: READY was acquired, so the writes in `install` happened before, and nothing writes any more.
    let slots = unsafe { &*PREVIOUS.0.get() };
    // SAFETY: `install` wrote both slots before READY.
    unsafe { slots[index].assume_init() }
}

/// Queues the signal again with the same information; it strikes when the handler returns and unblocks it.
fn strike_again(signal: i32, info: *mut libc::siginfo_t) {
    // SAFETY: no arguments, no memory.
    let process = unsafe { libc::getpid() };
    // SAFETY: no arguments, no memory.
    let thread = unsafe { libc::gettid() };
    // SAFETY: info is the kernel's own, valid during the handler; a thread may queue any signal to itself.
    let queued = unsafe { libc::syscall(libc::SYS_rt_tgsigqueueinfo, process, thread, signal, info) };
    if queued != 0 {
        // SAFETY: raise is async-signal-safe. Only a filter on system calls brings us here.
        unsafe { libc::raise(signal) };
    }
}

/// Calls a previous handler, once only where it asked for that. Its stack and mask are in force: see
/// [`in_place_of`].
fn call_previous(
    signal: i32,
    info: *mut libc::siginfo_t,
    context: *mut libc::ucontext_t,
    previous: &libc::sigaction,
    handler: usize,
) {
    if previous.sa_flags & libc::SA_RESETHAND != 0 {
        replace(signal, &empty_action());
    }
    if previous.sa_flags & libc::SA_SIGINFO == 0 {
        // SAFETY: without SA_SIGINFO a handler is a function of the signal alone; it was installed as such.
        let handler: extern "C" fn(i32) = unsafe { std::mem::transmute(handler) };
        handler(signal);
    } else {
        type Full = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::ucontext_t);
        // SAFETY: with SA_SIGINFO a handler takes these three arguments; it was installed as such.
        let handler: Full = unsafe { std::mem::transmute(handler) };
        handler(signal, info, context);
    }
}

/// Who would get a failing page fault now.
///
/// See [`SignalReport`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandlerState {
    /// No map was made yet, so no handler is installed.
    NotInstalled,
    /// Our handler comes first.
    Installed,
    /// A handler that was installed after ours comes first. Faults reach ours only if it chains.
    Replaced,
}

/// What stands between a failing page fault and a [`Fault`](crate::Fault).
///
/// ```
/// use mapwright_core::{HandlerState, MapOptions, signal_report};
/// let map = MapOptions::new().shared_memory(4096)?;
/// let report = signal_report();
/// assert_eq!((report.bus, report.segv), (HandlerState::Installed, HandlerState::Installed));
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalReport {
    /// Who gets SIGBUS.
    pub bus: HandlerState,
    /// Who gets SIGSEGV.
    pub segv: HandlerState,
    /// Threads (by id) that block one of the two signals. The kernel kills a process whose thread faults
    /// with the signal blocked.
    pub blocking_threads: Vec<i32>,
}

/// Reports what would defeat the handler: a later handler, or a thread that blocks the signals.
///
/// # Kernel
/// sigaction(2), and `SigBlk` in `/proc/self/task/*/status` (proc(5)).
///
/// ```
/// use mapwright_core::{HandlerState, Memory, signal_report};
/// let _memory = Memory::new(4096)?;
/// assert_eq!(signal_report().bus, HandlerState::Installed);
/// # Ok::<(), mapwright_core::Error>(())
/// ```
#[must_use]
pub fn signal_report() -> SignalReport {
    SignalReport {
        bus: state(libc::SIGBUS),
        segv: state(libc::SIGSEGV),
        blocking_threads: blocking_threads(),
    }
}

fn state(signal: i32) -> HandlerState {
    if !READY.load(Ordering::Acquire) {
        HandlerState::NotInstalled
    } else if query(signal).sa_sigaction == OURS as usize {
        HandlerState::Installed
    } else {
        HandlerState::Replaced
    }
}

fn blocking_threads() -> Vec<i32> {
    let ours = SIGNALS.iter().fold(0u64, |set, signal| set | (1 << (signal - 1)));
    let blocks = |status: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix("SigBlk:"))
            .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
            .is_some_and(|set| set & ours != 0)
    };
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    tasks
        .flatten()
        .filter(|task| std::fs::read_to_string(task.path().join("status")).is_ok_and(|text| blocks(&text)))
        .filter_map(|task| task.file_name().to_str()?.parse().ok())
        .collect()
}
