//! Signals: what is installed, what is blocked, what is sent.
#![allow(unsafe_code, reason = "signal handlers have no safe form")]

use std::ptr;

/// A handler that is told the cause.
pub(crate) type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// What happens on a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Disposition {
    /// `SIG_DFL`, `SIG_IGN` or the address of a handler.
    pub(crate) action: usize,
    pub(crate) flags: i32,
}

/// Installs a handler, and returns what was there.
pub(crate) fn handle(signal: i32, handler: Handler, flags: i32) -> Disposition {
    set(signal, Disposition { action: handler as usize, flags: flags | libc::SA_SIGINFO })
}

/// Installs a handler during which one more signal is blocked.
pub(crate) fn handle_blocking(signal: i32, handler: Handler, flags: i32, blocked: i32) -> Disposition {
    let disposition = Disposition { action: handler as usize, flags: flags | libc::SA_SIGINFO };
    let mut mask = no_signals();
    add(&mut mask, blocked);
    set_with_mask(signal, disposition, mask)
}

/// Sets what happens on a signal, and returns what happened before.
pub(crate) fn set(signal: i32, disposition: Disposition) -> Disposition {
    set_with_mask(signal, disposition, no_signals())
}

fn set_with_mask(signal: i32, disposition: Disposition, mask: libc::sigset_t) -> Disposition {
    // SAFETY: all zeros is a valid sigaction: the default action, nothing blocked.
    let (mut new, mut old): (libc::sigaction, libc::sigaction) = unsafe { std::mem::zeroed() };
    new.sa_sigaction = disposition.action;
    new.sa_flags = disposition.flags;
    new.sa_mask = mask;
    // SAFETY: both point to live sigactions, and the action is a constant or a handler of the type that its
    // flags say.
    assert_eq!(unsafe { libc::sigaction(signal, &raw const new, &raw mut old) }, 0);
    Disposition { action: old.sa_sigaction, flags: old.sa_flags }
}

/// What happens on a signal now.
pub(crate) fn current(signal: i32) -> Disposition {
    // SAFETY: as in `set`.
    let mut now: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: nothing is set, and `now` is live.
    assert_eq!(unsafe { libc::sigaction(signal, ptr::null(), &raw mut now) }, 0);
    Disposition { action: now.sa_sigaction, flags: now.sa_flags }
}

fn no_signals() -> libc::sigset_t {
    // SAFETY: all zeros is the empty set.
    unsafe { std::mem::zeroed() }
}

fn add(set: &mut libc::sigset_t, signal: i32) {
    // SAFETY: the set is live.
    assert_eq!(unsafe { libc::sigaddset(set, signal) }, 0);
}

/// Blocks a signal in the calling thread.
pub(crate) fn block(signal: i32) {
    let mut signals = no_signals();
    add(&mut signals, signal);
    // SAFETY: the set is live; the old one is not asked for.
    assert_eq!(unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals, ptr::null_mut()) }, 0);
}

/// The signals that the calling thread blocks.
pub(crate) fn blocked() -> Vec<i32> {
    let mut signals = no_signals();
    // SAFETY: nothing is changed, and the set is live.
    assert_eq!(unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &raw mut signals) }, 0);
    // SAFETY: the set is live.
    (1..32).filter(|&signal| unsafe { libc::sigismember(&raw const signals, signal) } == 1).collect()
}

/// Sends a signal to this process, as another process would.
pub(crate) fn send_to_self(signal: i32) {
    let me = i32::try_from(std::process::id()).unwrap();
    // SAFETY: the call takes no pointers.
    assert_eq!(unsafe { libc::kill(me, signal) }, 0);
}

/// Sends a signal to a thread of this process.
pub(crate) fn send_to_thread(thread: i32, signal: i32) {
    let me = i32::try_from(std::process::id()).unwrap();
    // SAFETY: the call takes no pointers.
    assert_eq!(unsafe { libc::syscall(libc::SYS_tgkill, me, thread, signal) }, 0);
}

/// Sends a signal to the calling thread.
pub(crate) fn send_to_this_thread(signal: i32) {
    // SAFETY: the call takes no pointers.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
}

/// Sends a signal with a value to this process.
pub(crate) fn queue_to_self(signal: i32, value: usize) {
    let me = i32::try_from(std::process::id()).unwrap();
    let value = libc::sigval { sival_ptr: ptr::without_provenance_mut(value) };
    // SAFETY: the value is a number, whatever its type.
    assert_eq!(unsafe { libc::sigqueue(me, signal, value) }, 0);
}

/// Calls a handler of the shape that its flags say, as the kernel would.
pub(crate) fn call(
    disposition: Disposition,
    signal: i32,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    assert_ne!(disposition.flags & libc::SA_SIGINFO, 0, "a handler that is told the cause");
    // SAFETY: with SA_SIGINFO the action is the address of such a function.
    let handler: Handler = unsafe { std::mem::transmute(disposition.action) };
    handler(signal, info, context);
}

/// Why the signal came. For use in handlers.
pub(crate) fn code(info: *mut libc::siginfo_t) -> i32 {
    // SAFETY: handlers get the kernel's siginfo, which lives on the signal's own stack frame.
    unsafe { (*info).si_code }
}

/// The value that was sent along with `SI_QUEUE`. For use in handlers.
pub(crate) fn queued_value(info: *mut libc::siginfo_t) -> usize {
    // SAFETY: as for `code`.
    let info = unsafe { &*info };
    // SAFETY: the caller has seen `SI_QUEUE`, for which the kernel fills in the value.
    unsafe { info.si_value() }.sival_ptr.addr()
}

/// The address that a fault was about. For use in handlers of SIGBUS and SIGSEGV.
pub(crate) fn fault_address(info: *mut libc::siginfo_t) -> usize {
    // SAFETY: handlers get the kernel's siginfo, which lives on the signal's own stack frame.
    let info = unsafe { &*info };
    // SAFETY: the kernel fills in the address for faults, and zero or a sender's id otherwise: plain numbers
    // either way.
    unsafe { info.si_addr() }.addr()
}

/// Ends the process without running anything more of it. For use in handlers.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: the call takes no pointers and does not return.
    unsafe { libc::_exit(code) }
}
