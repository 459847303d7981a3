//! The runner's own view of the mount table.
//!
//! The whole run lives in a private mount namespace, so that no mount outlives it: not after a panic, not
//! after kill -9. Without root a user namespace (in which everyone keeps their own user id) brings the right
//! to mount; the children, which execute anew, lose it, and stay the ordinary users that they are.

use rustix::mount::MountPropagationFlags;
use rustix::thread::UnshareFlags;
use std::sync::OnceLock;

static ENTERED: OnceLock<Result<(), String>> = OnceLock::new();

/// Enters the private namespace. Called once, while there is only one thread.
pub(crate) fn enter() {
    ENTERED.set(try_enter()).unwrap();
}

/// Whether mounts are possible and private here, or why not.
pub(crate) fn entered() -> Result<(), String> {
    ENTERED.get().cloned().unwrap_or_else(|| Err("the sandbox was never entered".to_owned()))
}

fn try_enter() -> Result<(), String> {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    if user.is_root() {
        unshare(UnshareFlags::NEWNS)?;
    } else {
        unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS)?;
        write("/proc/self/setgroups", "deny")?;
        write("/proc/self/uid_map", &format!("{user} {user} 1", user = user.as_raw()))?;
        write("/proc/self/gid_map", &format!("{group} {group} 1", group = group.as_raw()))?;
    }
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(|error| format!("making the mounts private: {error}"))
}

#[allow(unsafe_code, reason = "unshare can split threads apart")]
fn unshare(flags: UnshareFlags) -> Result<(), String> {
    // SAFETY: the flags never include FILES, the one that lets file descriptors go out of step between
    // threads.
    let done = unsafe { rustix::thread::unshare_unsafe(flags) };
    done.map_err(|error| format!("a namespace of our own ({flags:?}): {error}"))
}

fn write(path: &str, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("writing {text:?} to {path}: {error}"))
}
