//! Which system calls a profile may make.

use std::collections::BTreeMap;

use super::Profile;
use super::bpf::{Action, Filter, Question, Rule};
use super::calls::{self, Arch};
use lists::{ABSENT, CHANGING_MODES, KILLED, LOOKING, MARKING, PLAIN, REFUSED, SIGNALLING, UNTOLD};

mod lists;

pub use lists::path_argument;

const INT: u64 = 0xffff_ffff;
const POINTER: u64 = u64::MAX;
const PR_SET_VMA: u32 = 0x5356_4d41;

/// What other layers hold, so that the filter need not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beside {
    /// Landlock says which files may be opened, so they may be looked at.
    pub files: bool,
    /// It says to which port a tool may connect.
    pub network: bool,
    /// It keeps the signals of a tool among the tool's own processes.
    pub signals: bool,
    /// Nothing of the operator's is there, and what may be read is mounted so that nobody changes it.
    pub world: bool,
}

/// The filter of a profile.
///
/// Args:
///     pid: The only process that it may signal.
///     concurrent: An instance may start threads, and have pairs of sockets (a loop of asyncio wakes itself by one).
#[must_use]
pub fn filter(profile: Profile, arch: Arch, pid: u32, concurrent: bool, beside: Beside) -> Filter {
    let mut rules = BTreeMap::new();
    let mut put = |names: &[&str], rule: Rule| {
        let numbers = names.iter().filter_map(|name| calls::number(arch, name));
        rules.extend(numbers.map(|number| (number, rule.clone())));
    };
    let (default, killed) = match profile {
        Profile::Agent => {
            put(PLAIN, Rule::Always(Action::Allow));
            if beside.files {
                put(LOOKING, Rule::Always(Action::Allow));
            }
            for (name, rule) in asked(pid) {
                put(&[name], rule);
            }
            put(UNTOLD, Rule::Always(Action::Errno(EPERM)));
            if concurrent {
                put(&["clone"], threads_of_its_own());
                put(&["socketpair"], pairs());
            }
            // the handler records it, then lets it kill
            (Action::Trap, Action::Trap)
        }
        Profile::Tool | Profile::Build => {
            let all: Vec<&str> = calls::names(arch).collect();
            put(&all, Rule::Always(Action::Allow));
            put(REFUSED, Rule::Always(Action::Errno(EPERM)));
            put(&["prlimit64", "sched_setaffinity"], of_itself());
            put(&["clone"], without_namespaces());
            put(&["ioctl"], neither_typing_nor_signalling());
            put(&["fcntl"], not_signalling());
            put(
                &["socket"],
                sockets(profile == Profile::Tool && beside.network),
            );
            if !beside.world {
                put(MARKING, Rule::Always(Action::Errno(EPERM)));
                for (name, mode) in CHANGING_MODES {
                    put(&[name], allowed_with(*mode, INT, libc::S_IRWXU));
                }
                put(&["utimensat"], of_what_is_open());
            }
            if !beside.signals {
                put(SIGNALLING, Rule::Always(Action::Errno(EPERM)));
                put(&["kill"], of_itself());
            }
            // a program that is exec'd has no handler (`heard` says what it is where somebody listens)
            (Action::Errno(EPERM), Action::Kill)
        }
    };
    put(KILLED, Rule::Always(killed));
    put(ABSENT, Rule::Always(Action::Errno(ENOSYS)));
    Filter {
        arch,
        default,
        rules,
    }
}

/// The same where somebody listens: what is refused, or kills, waits until it is recorded.
#[must_use]
pub fn heard(filter: Filter) -> Filter {
    let ask = |action| match action {
        Action::Errno(EPERM) | Action::Kill => Action::Ask,
        other => other,
    };
    let rules = filter.rules.into_iter().map(|(number, rule)| {
        let rule = match rule {
            Rule::Always(action) => Rule::Always(ask(action)),
            Rule::Ask(questions, yes, no) => Rule::Ask(questions, ask(yes), ask(no)),
        };
        (number, rule)
    });
    Filter {
        arch: filter.arch,
        default: ask(filter.default),
        rules: rules.collect(),
    }
}

const EPERM: u16 = libc::EPERM as u16;
const ENOSYS: u16 = libc::ENOSYS as u16;

/// Calls of an instance that are allowed with some arguments only.
fn asked(pid: u32) -> Vec<(&'static str, Rule)> {
    let only = |argument, mask, values: &[u32]| {
        let question = Question {
            argument,
            mask,
            values: values.to_vec(),
        };
        Rule::Ask(vec![question], Action::Allow, Action::Trap)
    };
    let never = |argument, values: &[u32]| {
        let question = Question {
            argument,
            mask: INT,
            values: values.to_vec(),
        };
        Rule::Ask(vec![question], Action::Trap, Action::Allow)
    };
    let fcntl = [
        libc::F_DUPFD,
        libc::F_DUPFD_CLOEXEC,
        libc::F_GETFD,
        libc::F_SETFD,
        libc::F_GETFL,
        libc::F_SETFL,
    ];
    vec![
        // its handler of SIGSYS stays
        ("rt_sigaction", never(0, &[libc::SIGSYS as u32])),
        ("kill", only(0, INT, &[pid])),
        ("tgkill", only(0, INT, &[pid])),
        // to whom the socket leads, and nobody else
        ("sendto", only(4, POINTER, &[0])),
        // limits may be read, not set
        ("prlimit64", only(2, POINTER, &[0])),
        ("fcntl", only(1, INT, &fcntl.map(i32::cast_unsigned))),
        (
            "ioctl",
            only(1, INT, &[0x5401, 0x5413, 0x541b, 0x5421, 0x5450, 0x5451]),
        ),
        (
            "prctl",
            only(
                0,
                INT,
                &[
                    PR_SET_VMA,
                    libc::PR_SET_NAME as u32,
                    libc::PR_GET_NAME as u32,
                    libc::PR_GET_DUMPABLE as u32,
                    libc::PR_GET_NO_NEW_PRIVS as u32,
                ],
            ),
        ),
    ]
}

/// TCP, where it leads to the proxy only; nothing else of the network, and no socket that has a name. Pairs are free.
fn sockets(tcp: bool) -> Rule {
    if !tcp {
        return Rule::Always(Action::Errno(EPERM));
    }
    let question = |argument, mask, values: &[libc::c_int]| Question {
        argument,
        mask,
        values: values.iter().map(|value| value.cast_unsigned()).collect(),
    };
    let family = question(0, INT, &[libc::AF_INET, libc::AF_INET6]);
    let kind = question(1, 0xf, &[libc::SOCK_STREAM]);
    // not MPTCP or SCTP, of which Landlock knows nothing
    let protocol = question(2, INT, &[0, libc::IPPROTO_TCP]);
    Rule::Ask(
        vec![family, kind, protocol],
        Action::Allow,
        Action::Errno(EPERM),
    )
}

/// What the C library asks for in `pthread_create`, to the bit: nothing that is a process, or has a namespace.
fn threads_of_its_own() -> Rule {
    let shared = libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND;
    let words = libc::CLONE_SETTLS | libc::CLONE_PARENT_SETTID | libc::CLONE_CHILD_CLEARTID;
    let glibc = libc::CLONE_THREAD | libc::CLONE_SYSVSEM | shared | words;
    let question = Question {
        argument: 0,
        mask: POINTER,
        // musl says besides that nobody waits for it, which the kernel ignores
        values: vec![
            glibc.cast_unsigned(),
            (glibc | libc::CLONE_DETACHED).cast_unsigned(),
        ],
    };
    Rule::Ask(vec![question], Action::Allow, Action::Errno(EPERM))
}

/// Two ends without a name, that nothing but bytes goes through: `sendmsg` stays refused.
fn pairs() -> Rule {
    let question = |argument, mask, value: libc::c_int| Question {
        argument,
        mask,
        values: vec![value.cast_unsigned()],
    };
    let family = question(0, INT, libc::AF_UNIX);
    let kind = question(1, 0xf, libc::SOCK_STREAM);
    let protocol = question(2, INT, 0);
    Rule::Ask(vec![family, kind, protocol], Action::Allow, Action::Trap)
}

fn allowed_with(argument: u8, mask: u64, value: u32) -> Rule {
    let values = vec![value];
    let question = Question {
        argument,
        mask,
        values,
    };
    Rule::Ask(vec![question], Action::Allow, Action::Errno(EPERM))
}

fn refused_with(argument: u8, values: &[u32]) -> Rule {
    let question = Question {
        argument,
        mask: INT,
        values: values.to_vec(),
    };
    Rule::Ask(vec![question], Action::Errno(EPERM), Action::Allow)
}

/// Their first argument is a process, and 0 the one that calls (or its group). The kernel lets a user set limits and
/// processors of every process of his, the guardian too, and a limit of no CPU time kills.
fn of_itself() -> Rule {
    allowed_with(0, INT, 0)
}

/// Without a path: the times of a descriptor.
fn of_what_is_open() -> Rule {
    allowed_with(1, POINTER, 0)
}

/// Threads and processes. In a user namespace of its own a program would have every capability there, and with them
/// the parts of the kernel that only root reaches.
fn without_namespaces() -> Rule {
    let world = libc::CLONE_NEWNS | libc::CLONE_NEWCGROUP | libc::CLONE_NEWUTS;
    let more = libc::CLONE_NEWIPC | libc::CLONE_NEWUSER | libc::CLONE_NEWPID | libc::CLONE_NEWNET;
    allowed_with(0, u64::from((world | more).cast_unsigned()), 0)
}

const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541c;
const FIOSETOWN: u32 = 0x8901;
const SIOCSPGRP: u32 = 0x8902;
const F_SETSIG: u32 = 10;
const F_SETOWN_EX: u32 = 15;

/// It neither types into the terminal of whoever started it, nor has the kernel send signals to somebody.
fn neither_typing_nor_signalling() -> Rule {
    refused_with(1, &[TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP])
}

/// A descriptor may have the kernel signal any process of the user, with any signal.
fn not_signalling() -> Rule {
    refused_with(1, &[libc::F_SETOWN.cast_unsigned(), F_SETSIG, F_SETOWN_EX])
}

/// Whether the process dies of it.
#[must_use]
pub fn is_killed(name: &str) -> bool {
    KILLED.contains(&name)
}

#[cfg(test)]
mod tests;
