//! Who listens to the refusals of programs: a handler of signals does not survive exec, so the filter has the kernel ask.
//!
//! The process that is refused waits while its supervisor records the call by its name and makes it fail, or ends it.
//! Nothing is ever allowed here: with nobody listening, such a call fails too.

use std::fs::File;
use std::io::{Error, IoSlice, Result};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;

use super::{calls, policy};
use crate::violations::{Layer, PATH_BYTES, Ring, syscall_name};

const DESCRIPTOR: u32 = size_of::<RawFd>() as u32;

/// A control message with room for one descriptor.
#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    descriptor: RawFd,
}

/// Sends the descriptor on which the kernel asks to whoever listens.
pub(super) fn hand_over(listener: &OwnedFd, socket: RawFd) -> Result<()> {
    // SAFETY: CMSG_LEN reads nothing.
    let length = unsafe { libc::CMSG_LEN(DESCRIPTOR) };
    // SAFETY: all zeros is a header, and a descriptor.
    let mut control: Control = unsafe { std::mem::zeroed() };
    control.header.cmsg_len = length as _;
    control.header.cmsg_level = libc::SOL_SOCKET;
    control.header.cmsg_type = libc::SCM_RIGHTS;
    control.descriptor = listener.as_raw_fd();
    let mut text = IoSlice::new(b"l");
    // SAFETY: all zeros is a message: no address, nothing to send.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = (&raw mut text).cast();
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = length as _;
    // SAFETY: the message and what it names live across the call; an IoSlice is an iovec.
    match unsafe { libc::sendmsg(socket, &raw const message, libc::MSG_NOSIGNAL) } {
        -1 => Err(Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Takes one refused call, records it (None: not yet, the sandbox tests itself), and makes it fail; a call of the kill
/// list ends the process. `listener` must have something to read.
///
/// # Errors
/// It is no such descriptor.
pub fn answer(listener: RawFd, ring: Option<&Ring>) -> Result<()> {
    // SAFETY: all zeros is what the kernel wants to be given.
    let mut asked: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    let receive = libc::SECCOMP_IOCTL_NOTIF_RECV;
    // SAFETY: `asked` is ours, of the size that the call's number says, and lives across the call.
    if unsafe { libc::ioctl(listener, receive, &raw mut asked) } == -1 {
        return gone(Error::last_os_error());
    }
    let number = asked.data.nr.cast_unsigned();
    let name = calls::native().map_or("?", |arch| syscall_name(arch, number));
    let killed = policy::is_killed(name);
    let errno = match (killed, name) {
        (true, _) => 0,
        // newer than the table: the C library is to take the older way
        (false, "?") => libc::ENOSYS,
        (false, _) => libc::EPERM,
    };
    if let Some(ring) = ring {
        let mut path = [0u8; PATH_BYTES];
        let length = path_of(&asked, name, &mut path);
        let path = path.get(..length).unwrap_or(&[]);
        ring.push(Layer::Seccomp, number, errno.unsigned_abs() as u16, path);
    }
    if killed && still_asks(listener, asked.id) {
        // SAFETY: kill takes numbers; who asks waits for this answer, so the number is its own.
        unsafe { libc::kill(asked.pid.cast_signed(), libc::SIGKILL) };
    }
    let refuse = if killed { libc::EPERM } else { errno };
    respond(listener, asked.id, refuse)
}

fn respond(listener: RawFd, id: u64, errno: libc::c_int) -> Result<()> {
    let mut answer = libc::seccomp_notif_resp {
        id,
        val: 0,
        error: -errno,
        flags: 0,
    };
    let send = libc::SECCOMP_IOCTL_NOTIF_SEND;
    // SAFETY: `answer` is ours, of the size that the call's number says, and lives across the call.
    match unsafe { libc::ioctl(listener, send, &raw mut answer) } {
        -1 => gone(Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Who asked may have ended, or taken a signal, meanwhile.
fn gone(error: Error) -> Result<()> {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::EINTR) => Ok(()),
        _ => Err(error),
    }
}

fn still_asks(listener: RawFd, id: u64) -> bool {
    let valid = libc::SECCOMP_IOCTL_NOTIF_ID_VALID;
    // SAFETY: `id` lives across the call.
    unsafe { libc::ioctl(listener, valid, &raw const id) == 0 }
}

/// The path in the memory of who asks, where that may be read; returns its length.
fn path_of(asked: &libc::seccomp_notif, name: &str, path: &mut [u8; PATH_BYTES]) -> usize {
    let argument = policy::path_argument(name).map(usize::from);
    let Some(address) = argument.and_then(|at| asked.data.args.get(at)) else {
        return 0;
    };
    let read = File::open(format!("/proc/{}/mem", asked.pid))
        .and_then(|memory| memory.read_at(path, *address));
    let read = path.get(..read.unwrap_or(0)).unwrap_or(&[]);
    read.iter()
        .position(|byte| *byte == 0)
        .unwrap_or(read.len())
}
