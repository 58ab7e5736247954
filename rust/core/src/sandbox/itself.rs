//! What a process is: who, with which rights, descriptors and parent.

use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsRawFd, RawFd};

use super::Settings;
use crate::process;

/// The user and group that root becomes.
pub const NOBODY: u32 = 65_534;
/// An instance can be made anew, the guardian cannot.
const OOM_SCORE: &str = "500";
pub(super) const SOCKET: RawFd = 3;
/// `_LINUX_CAPABILITY_VERSION_3`: two words a set.
const CAPABILITIES: u32 = 0x2008_0522;

pub(super) fn check(result: libc::c_int) -> Result<()> {
    match result {
        -1 => Err(Error::last_os_error()),
        _ => Ok(()),
    }
}

pub(super) fn prctl(option: libc::c_int, argument: libc::c_ulong) -> Result<()> {
    let zero: libc::c_ulong = 0;
    // SAFETY: the options that this module uses take numbers and touch no memory of ours.
    check(unsafe { libc::prctl(option, argument, zero, zero, zero) })
}

/// A session of its own; descriptors: the socket as number 3 and nothing else, or the three that everybody has, and as
/// number 3 what leads to whoever listens.
pub(super) fn detach(socket: Option<RawFd>, listener: Option<RawFd>) -> Result<()> {
    // SAFETY: setsid takes nothing. Who leads a group already keeps its session.
    unsafe { libc::setsid() };
    // SAFETY: umask takes a number and cannot fail.
    unsafe { libc::umask(0o077) };
    match fs::write("/proc/self/oom_score_adj", OOM_SCORE) {
        Err(error) if error.kind() == ErrorKind::OutOfMemory => return Err(error),
        _ => {} // not everywhere it may be set
    }
    let Some(socket) = socket else {
        return listener.map_or_else(|| process::close_range(3, u32::MAX), keep);
    };
    let nowhere = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    for standard in 0..SOCKET {
        // SAFETY: dup2 takes numbers; the standard descriptors are given up, as it is asked for.
        check(unsafe { libc::dup2(nowhere.as_raw_fd(), standard) })?;
    }
    drop(nowhere); // before 3 is somebody else's
    keep(socket)
}

/// As number 3, and none above it.
fn keep(socket: RawFd) -> Result<()> {
    if socket != SOCKET {
        // SAFETY: dup2 takes numbers; whatever 3 was is given up, as it is asked for.
        check(unsafe { libc::dup2(socket, SOCKET) })?;
    }
    // SAFETY: F_SETFD takes numbers.
    check(unsafe { libc::fcntl(SOCKET, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    process::close_range(4, u32::MAX)
}

/// Root becomes nobody, without groups; an ordinary user stays who he is.
pub(super) fn drop_root() -> Result<()> {
    // SAFETY: geteuid takes nothing and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return Ok(());
    }
    forget_bounds();
    // SAFETY: a list of no groups has no address.
    check(unsafe { libc::setgroups(0, std::ptr::null()) })?;
    // SAFETY: setresgid takes numbers.
    check(unsafe { libc::setresgid(NOBODY, NOBODY, NOBODY) })?;
    // SAFETY: setresuid takes numbers.
    check(unsafe { libc::setresuid(NOBODY, NOBODY, NOBODY) })?;
    // a change of the user makes /proc/self root's; it is wanted once more (`give_up` ends it)
    prctl(libc::PR_SET_DUMPABLE, 1)
}

fn forget_bounds() {
    for capability in 0..64 {
        if prctl(libc::PR_CAPBSET_DROP, capability).is_err() {
            break; // the last one that this kernel knows was before, or they are gone already
        }
    }
}

/// Gets a signal when its parent ends; one that has ended already is an error.
pub(super) fn follow(settings: &Settings) -> Result<()> {
    if settings.death_signal != 0 {
        process::set_parent_death_signal(settings.death_signal)?;
    }
    // SAFETY: getppid takes nothing and cannot fail.
    let parent = unsafe { libc::getppid() };
    match settings.parent {
        0 => Ok(()),
        wanted if wanted == parent => Ok(()),
        _ => Err(Error::from_raw_os_error(libc::ESRCH)),
    }
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: libc::c_int,
}

/// No capability in any set (the kernel keeps in the ambient one what is in the others), and nobody else of the user may look into it.
pub(super) fn give_up() -> Result<()> {
    forget_bounds();
    let header = CapabilityHeader {
        version: CAPABILITIES,
        pid: 0,
    };
    let sets = [0u32; 6];
    // SAFETY: header and sets have the layout of version 3 and live across the call.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) };
    match result {
        0 => process::set_no_new_privs_not_dumpable(),
        _ => Err(Error::last_os_error()),
    }
}

/// The effective capabilities.
pub(super) fn capabilities() -> Result<u64> {
    let header = CapabilityHeader {
        version: CAPABILITIES,
        pid: 0,
    };
    let mut sets = [0u32; 6];
    // SAFETY: header and sets have the layout of version 3 and live across the call.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw const header, sets.as_mut_ptr()) };
    let [effective, _, _, more, ..] = sets;
    match result {
        0 => Ok(u64::from(effective) | u64::from(more) << 32),
        _ => Err(Error::last_os_error()),
    }
}

/// No program that it runs gains rights; without that neither Landlock nor a filter may be put on.
pub(super) fn no_new_privileges() -> Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)
}
