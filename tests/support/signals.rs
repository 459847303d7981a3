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

/// Sets what happens on a signal, and returns what happened before.
pub(crate) fn set(signal: i32, disposition: Disposition) -> Disposition {
    // SAFETY: all zeros is a valid sigaction: the default action, nothing blocked.
    let (mut new, mut old): (libc::sigaction, libc::sigaction) = unsafe { std::mem::zeroed() };
    new.sa_sigaction = disposition.action;
    new.sa_flags = disposition.flags;
    // SAFETY: both point to live sigactions, and the action is a constant or a handler of the type that its flags say.
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

/// Blocks a signal in the calling thread.
pub(crate) fn block(signal: i32) {
    // SAFETY: all zeros is a valid sigset.
    let mut signals: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is live.
    assert_eq!(unsafe { libc::sigaddset(&raw mut signals, signal) }, 0);
    // SAFETY: the set is live and initialised; the old one is not asked for.
    assert_eq!(unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals, ptr::null_mut()) }, 0);
}

/// Sends a signal to this process, as another process would.
pub(crate) fn send_to_self(signal: i32) {
    let me = i32::try_from(std::process::id()).unwrap();
    // SAFETY: the call takes no pointers.
    assert_eq!(unsafe { libc::kill(me, signal) }, 0);
}

/// The address that a fault was about. For use in handlers of SIGBUS and SIGSEGV.
pub(crate) fn fault_address(info: *mut libc::siginfo_t) -> usize {
    // SAFETY: handlers get the kernel's siginfo, which lives on the signal's own stack frame.
    let info = unsafe { &*info };
    // SAFETY: the kernel fills in the address for faults, and zero or a sender's id otherwise: plain numbers either way.
    unsafe { info.si_addr() }.addr()
}

/// Ends the process without running anything more of it. For use in handlers.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: the call takes no pointers and does not return.
    unsafe { libc::_exit(code) }
}
