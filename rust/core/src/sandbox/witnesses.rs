//! Attacks that must fail: a layer holds when its witnesses say so, whatever the kernel says of its features.
//!
//! Where a layer does not hold they succeed, as root too, on a machine that is somebody's: so each of them is harmless
//! even then (it aims at what is not there, or asks for what is refused for another reason after the rights are seen).

use std::ffi::{CStr, CString};
use std::io::{Error, Result};
use std::os::unix::ffi::OsStrExt;

use super::itself::{self, NOBODY};
use super::{Layer, Profile};

/// What the attacks are aimed at, made by whoever probes.
pub(super) struct Target {
    /// A process to be signalled.
    pub parent: i32,
    /// An abstract socket that listens (the name as the kernel gave it, with its first zero byte).
    pub socket: Vec<u8>,
    /// What is not there yet, in a folder in which the user may make it.
    pub path: CString,
}

impl Target {
    /// Removes what an attack that succeeded has made.
    pub(super) fn clear(&self) {
        let path = std::path::Path::new(std::ffi::OsStr::from_bytes(self.path.as_bytes()));
        let _ = std::fs::remove_file(path);
        let _ = std::fs::remove_dir(path);
    }
}

/// An attack by its name; true: it was refused.
pub(super) type Witness = (&'static str, fn(&Target) -> bool);

/// Makes a system call; 0, or its errno. Whoever passes an address passes one of something that lives.
fn errno(number: libc::c_long, [a, b, c, d, e]: [usize; 5]) -> i32 {
    // SAFETY: this module passes numbers, and addresses of constants and of locals that live across the call.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, 0usize) };
    match result {
        -1 => Error::last_os_error().raw_os_error().unwrap_or(-1),
        _ => 0,
    }
}

fn text(text: &CStr) -> usize {
    text.as_ptr().expose_provenance()
}

/// Not allowed; on a machine whose `/` is root's alone already the way there is not.
fn denied(errno: i32) -> bool {
    errno == libc::EPERM || errno == libc::EACCES
}

/// Landlock forbids to make something; where the file system takes nothing at all that is said first.
fn barred(errno: i32) -> bool {
    errno == libc::EACCES || errno == libc::EROFS
}

const HERE: usize = libc::AT_FDCWD as isize as usize;

fn open(path: &CStr, flags: libc::c_int) -> i32 {
    errno(
        libc::SYS_openat,
        [HERE, text(path), flags as usize, 0o600, 0],
    )
}

fn socket(family: libc::c_int) -> i32 {
    errno(
        libc::SYS_socket,
        [family as usize, libc::SOCK_STREAM as usize, 0, 0, 0],
    )
}

/// `connect` or `bind` on a fresh socket; the errno of that call.
fn reach(number: libc::c_long, family: libc::c_int, address: &[u8]) -> i32 {
    // SAFETY: socket takes numbers.
    let socket = unsafe { libc::socket(family, libc::SOCK_STREAM, 0) };
    let fd = socket as usize;
    let result = errno(
        number,
        [
            fd,
            address.as_ptr().expose_provenance(),
            address.len(),
            0,
            0,
        ],
    );
    errno(libc::SYS_close, [fd, 0, 0, 0, 0]);
    result
}

/// 127.0.0.1, port 9, as `sockaddr_in`.
fn loopback() -> Vec<u8> {
    let mut address = (libc::AF_INET as u16).to_ne_bytes().to_vec();
    address.extend([0, 9, 127, 0, 0, 1]);
    address.extend([0; 8]);
    address
}

fn abstract_socket(target: &Target) -> i32 {
    let mut address = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
    address.extend(&target.socket);
    reach(libc::SYS_connect, libc::AF_UNIX, &address)
}

fn signal(target: &Target) -> i32 {
    errno(libc::SYS_kill, [target.parent as usize, 0, 0, 0, 0])
}

fn exec() -> i32 {
    let arguments = [c"true".as_ptr(), std::ptr::null()];
    let list = arguments.as_ptr().expose_provenance();
    // were it allowed, this process would be another program and never report
    errno(
        libc::SYS_execve,
        [text(c"/bin/true"), list, list + size_of::<usize>(), 0, 0],
    )
}

/// Were it allowed, the child ends at once.
fn fork() -> i32 {
    // SAFETY: the child calls nothing but _exit.
    match unsafe { libc::fork() } {
        // SAFETY: ends the child.
        0 => unsafe { libc::_exit(0) },
        -1 => Error::last_os_error().raw_os_error().unwrap_or(-1),
        _ => 0,
    }
}

const READ: libc::c_int = libc::O_RDONLY | libc::O_CLOEXEC;
const CREATE: libc::c_int = libc::O_WRONLY | libc::O_CREAT | libc::O_CLOEXEC;

/// Landlock's rules about files, that every version has.
pub(super) const FILES: &[Witness] = &[
    ("read /etc/passwd", |_| {
        open(c"/etc/passwd", READ) == libc::EACCES
    }),
    ("list /", |_| {
        open(c"/", READ | libc::O_DIRECTORY) == libc::EACCES
    }),
    ("list /tmp", |_| {
        open(c"/tmp", READ | libc::O_DIRECTORY) == libc::EACCES
    }),
    ("read /proc", |_| {
        open(c"/proc/self/status", READ) == libc::EACCES
    }),
    ("make a file", |target| barred(open(&target.path, CREATE))),
    ("write to /dev/null", |_| {
        open(c"/dev/null", libc::O_WRONLY) == libc::EACCES
    }),
    ("make a folder", |target| {
        barred(errno(
            libc::SYS_mkdirat,
            [HERE, text(&target.path), 0o700, 0, 0],
        ))
    }),
    ("make a link", |target| {
        let link = [text(c"/etc/passwd"), HERE, text(&target.path), 0, 0];
        barred(errno(libc::SYS_symlinkat, link))
    }),
    ("make a pipe with a name", |target| {
        let mode = (libc::S_IFIFO | 0o600) as usize;
        barred(errno(
            libc::SYS_mknodat,
            [HERE, text(&target.path), mode, 0, 0],
        ))
    }),
    ("run a program", |_| exec() == libc::EACCES),
];

/// What newer Landlocks have.
pub(super) const REACH: &[Witness] = &[
    ("connect by TCP", |_| {
        reach(libc::SYS_connect, libc::AF_INET, &loopback()) == libc::EACCES
    }),
    ("listen by TCP", |_| {
        reach(libc::SYS_bind, libc::AF_INET, &loopback()) == libc::EACCES
    }),
    ("connect to an abstract socket", |target| {
        abstract_socket(target) == libc::EPERM
    }),
    ("signal its parent", |target| signal(target) == libc::EPERM),
];

/// The filter, calls that fail.
pub(super) const CALLS: &[Witness] = &[
    ("socket", |_| socket(libc::AF_INET) == libc::EPERM),
    ("unix socket", |_| socket(libc::AF_UNIX) == libc::EPERM),
    ("netlink socket", |_| {
        socket(libc::AF_NETLINK) == libc::EPERM
    }),
    ("fork", |_| fork() == libc::EPERM),
    ("clone3", |_| {
        errno(libc::SYS_clone3, [0; 5]) == libc::ENOSYS
    }),
    ("execve", |_| exec() == libc::EPERM),
    ("memfd_create", |_| {
        errno(libc::SYS_memfd_create, [text(c"o"), 0, 0, 0, 0]) == libc::EPERM
    }),
    ("shmget", |_| {
        errno(libc::SYS_shmget, [0, 4096, 0o600, 0, 0]) == libc::EPERM
    }),
    ("fchmodat", |target| {
        errno(libc::SYS_fchmodat, [HERE, text(&target.path), 0o700, 0, 0]) == libc::EPERM
    }),
    ("symlinkat", |target| {
        errno(
            libc::SYS_symlinkat,
            [text(c"/"), HERE, text(&target.path), 0, 0],
        ) == libc::EPERM
    }),
    ("inotify_init1", |_| {
        errno(libc::SYS_inotify_init1, [0; 5]) == libc::EPERM
    }),
    ("setpriority", |_| {
        errno(libc::SYS_setpriority, [0, 0, 10, 0, 0]) == libc::EPERM
    }),
    ("setrlimit", |_| {
        let limit = [0u64, 0];
        let address = limit.as_ptr().expose_provenance();
        errno(
            libc::SYS_prlimit64,
            [0, libc::RLIMIT_CORE as usize, address, 0, 0],
        ) == libc::EPERM
    }),
    ("prctl", |_| {
        errno(
            libc::SYS_prctl,
            [libc::PR_SET_DUMPABLE as usize, 1, 0, 0, 0],
        ) == libc::EPERM
    }),
    ("sigaction of SIGSYS", |_| {
        errno(libc::SYS_rt_sigaction, [libc::SIGSYS as usize, 0, 0, 8, 0]) == libc::EPERM
    }),
    ("signal its parent", |target| signal(target) == libc::EPERM),
];

/// The filter, calls that kill: each in a process of its own.
pub(super) const DEADLY: &[Witness] = &[
    ("ptrace", |_| errno(libc::SYS_ptrace, [0; 5]) != -1),
    ("unshare", |_| {
        errno(
            libc::SYS_unshare,
            [libc::CLONE_NEWUSER as usize, 0, 0, 0, 0],
        ) != -1
    }),
    ("keyctl", |_| errno(libc::SYS_keyctl, [0; 5]) != -1),
    ("io_uring_setup", |_| {
        errno(libc::SYS_io_uring_setup, [1, 0, 0, 0, 0]) != -1
    }),
];

/// Resource limits, for an ordinary user.
pub(super) const LIMITS: &[Witness] = &[
    ("4 GiB of memory", |_| {
        let (size, private) = (
            4usize << 30,
            (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize,
        );
        // an address-space limit counts it, whether it is touched or not
        errno(libc::SYS_mmap, [0, size, 3, private, usize::MAX]) == libc::ENOMEM
    }),
    ("100 descriptors", |_| {
        (0..100).any(|_| errno(libc::SYS_dup, [3, 0, 0, 0, 0]) == libc::EMFILE)
    }),
    ("fork", |_| fork() == libc::EAGAIN),
    ("a core file", |_| {
        let limit = [1u64 << 20, 1 << 20];
        let address = limit.as_ptr().expose_provenance();
        errno(
            libc::SYS_prlimit64,
            [0, libc::RLIMIT_CORE as usize, address, 0, 0],
        ) == libc::EPERM
    }),
];

/// Who it is.
pub(super) const IDENTITY: &[Witness] = &[
    ("be root", |_| {
        // in a container that has no root nobody can be it
        matches!(
            errno(libc::SYS_setresuid, [0, 0, 0, 0, 0]),
            libc::EPERM | libc::EINVAL
        )
    }),
    ("take groups", |_| {
        errno(libc::SYS_setgroups, [0; 5]) == libc::EPERM
    }),
    ("mount", |_| {
        // who may mount is told that there is no such file system
        let (place, kind) = (text(c"/"), text(c"o-witness"));
        denied(errno(libc::SYS_mount, [place, place, kind, 0, 0]))
    }),
    ("change the root", |_| {
        denied(errno(libc::SYS_chroot, [text(c"/"), 0, 0, 0, 0]))
    }),
    ("rename the host", |_| {
        // who may is told that the name is too long
        errno(libc::SYS_sethostname, [text(c"o"), 65, 0, 0, 0]) == libc::EPERM
    }),
    ("have capabilities", |_| {
        itself::capabilities().is_ok_and(|set| set == 0)
    }),
    ("be looked into", |_| {
        // SAFETY: takes numbers only.
        unsafe { libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 }
    }),
    ("gain rights by exec", |_| {
        // SAFETY: takes numbers only.
        unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 }
    }),
];

/// What is not there.
pub(super) const WORLD: &[Witness] = &[
    ("read /etc/passwd", |_| {
        open(c"/etc/passwd", READ) == libc::ENOENT
    }),
    ("read /proc", |_| {
        open(c"/proc/self/status", READ) == libc::ENOENT
    }),
    ("see /tmp", |_| open(c"/tmp", READ) == libc::ENOENT),
    ("see /dev", |_| open(c"/dev/null", READ) == libc::ENOENT),
    ("see /root or /home", |_| {
        open(c"/root/.ssh", READ) == libc::ENOENT && open(c"/home", READ) == libc::ENOENT
    }),
    ("make a file", |_| {
        // one without a name, which nobody has to remove
        open(c"/", libc::O_WRONLY | libc::O_TMPFILE | libc::O_CLOEXEC) == libc::EROFS
    }),
    ("connect by TCP", |_| {
        reach(libc::SYS_connect, libc::AF_INET, &loopback()) == libc::ENETUNREACH
    }),
    ("connect to an abstract socket", |target| {
        abstract_socket(target) == libc::ECONNREFUSED
    }),
];

/// A last look from inside: what was put on holds.
pub(super) fn self_test(profile: Profile, on: &[Layer]) -> Result<()> {
    let has = |layer| on.contains(&layer);
    let held = |what: &str, holds: bool| match holds {
        true => Ok(()),
        false => Err(Error::other(format!("its self-test failed: {what}"))),
    };
    if has(Layer::Seccomp) {
        match profile {
            Profile::Agent => held("a socket", socket(libc::AF_INET) == libc::EPERM)?,
            _ => held(
                "shared memory",
                errno(libc::SYS_shmget, [0, 4096, 0, 0, 0]) == libc::EPERM,
            )?,
        }
    }
    if has(Layer::Landlock) {
        held(
            "a list of /",
            open(c"/", READ | libc::O_DIRECTORY) == libc::EACCES,
        )?;
    }
    if has(Layer::Itself) {
        held("a capability", itself::capabilities()? == 0)?;
        // SAFETY: geteuid takes nothing and cannot fail.
        let user = unsafe { libc::geteuid() };
        held("root", user != 0 || NOBODY == 0)?;
    }
    Ok(())
}
