//! Which system calls a profile may make.

use std::collections::BTreeMap;

use super::Profile;
use super::bpf::{Action, Filter, Question, Rule};
use super::calls::{self, Arch};

/// What an instance needs: memory, time, its socket, signals of its own, reading what Landlock lets it read.
const PLAIN: &[&str] = &[
    // memory
    "brk",
    "madvise",
    "mincore",
    "mmap",
    "mprotect",
    "mremap",
    "msync",
    "munmap",
    "membarrier",
    // time and waiting
    "alarm",
    "clock_getres",
    "clock_gettime",
    "clock_nanosleep",
    "getitimer",
    "gettimeofday",
    "nanosleep",
    "pause",
    "poll",
    "ppoll",
    "pselect6",
    "restart_syscall",
    "select",
    "setitimer",
    "time",
    "times",
    // descriptors that it has
    "close",
    "close_range",
    "dup",
    "dup2",
    "dup3",
    "fdatasync",
    "fstat",
    "fsync",
    "ftruncate",
    "lseek",
    "pipe",
    "pipe2",
    "pread64",
    "preadv",
    "pwrite64",
    "pwritev",
    "read",
    "readv",
    "write",
    "writev",
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_ctl_old",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "eventfd2",
    // its socket
    "getpeername",
    "getsockname",
    "getsockopt",
    "recvfrom",
    "shutdown",
    // itself
    "capget",
    "exit",
    "exit_group",
    "futex",
    "get_robust_list",
    "getcpu",
    "getcwd",
    "getegid",
    "geteuid",
    "getgid",
    "getgroups",
    "getpgid",
    "getpgrp",
    "getpid",
    "getppid",
    "getpriority",
    "getrandom",
    "getresgid",
    "getresuid",
    "getrlimit",
    "getrusage",
    "getsid",
    "gettid",
    "getuid",
    "rseq",
    "sched_getaffinity",
    "sched_yield",
    "set_robust_list",
    "set_tid_address",
    "sysinfo",
    "umask",
    "uname",
    // signals of its own
    "rt_sigpending",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "sigaltstack",
    // x86_64 only: where the thread's own memory is
    "arch_prctl",
];

/// Looking at files. Landlock says which may be opened; where there is no Landlock none of these is allowed.
const LOOKING: &[&str] = &[
    "access",
    "chdir",
    "faccessat",
    "faccessat2",
    "fadvise64",
    "fchdir",
    "fstatfs",
    "getdents",
    "getdents64",
    "lstat",
    "newfstatat",
    "open",
    "openat",
    "readlink",
    "readlinkat",
    "stat",
    "statfs",
    "statx",
];

/// Nobody who makes one of these is honest: the process dies.
const KILLED: &[&str] = &[
    "_sysctl",
    "acct",
    "add_key",
    "adjtimex",
    "bpf",
    "chroot",
    "clock_adjtime",
    "clock_settime",
    "delete_module",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "init_module",
    "io_cancel",
    "io_destroy",
    "io_getevents",
    "io_setup",
    "io_submit",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "ioperm",
    "iopl",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "mount",
    "mount_setattr",
    "move_mount",
    "name_to_handle_at",
    "nfsservctl",
    "open_by_handle_at",
    "open_tree",
    "open_tree_attr",
    "perf_event_open",
    "personality",
    "pidfd_getfd",
    "pivot_root",
    "process_madvise",
    "process_mrelease",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "quotactl",
    "quotactl_fd",
    "reboot",
    "request_key",
    "setdomainname",
    "sethostname",
    "setns",
    "settimeofday",
    "swapoff",
    "swapon",
    "syslog",
    "umount2",
    "unshare",
    "uselib",
    "userfaultfd",
    "vhangup",
    "vmsplice",
];

/// These must look as if the kernel did not have them: the C library then takes the older way, whose arguments a
/// filter can see.
const ABSENT: &[&str] = &["clone3", "openat2"];

/// The C library blocks all signals around these, and a trap would then be death: refused without a record (the audit
/// hook in the process makes one).
const UNTOLD: &[&str] = &["clone", "fork", "vfork"];

/// What a program of the profiles `tool` and `build` may not do, beside what kills.
const REFUSED: &[&str] = &[
    "fanotify_init",
    "fanotify_mark",
    "get_mempolicy",
    "mbind",
    "migrate_pages",
    "mlock",
    "mlock2",
    "mlockall",
    "move_pages",
    "mq_open",
    "mq_unlink",
    "msgget",
    "pidfd_open",
    "pidfd_send_signal",
    "remap_file_pages",
    "seccomp",
    "semget",
    "set_mempolicy",
    "set_mempolicy_home_node",
    "setdomainname",
    "setfsgid",
    "setfsuid",
    "setgid",
    "setgroups",
    "setpriority",
    "setregid",
    "setresgid",
    "setresuid",
    "setreuid",
    "setuid",
    "shmat",
    "shmget",
];

const INT: u64 = 0xffff_ffff;
const POINTER: u64 = u64::MAX;
const PR_SET_VMA: u32 = 0x5356_4d41;

/// The filter of a profile.
///
/// Args:
///     pid: The only process that it may signal.
///     files: Landlock stands behind this filter, so files may be looked at.
///     network: And it says to which port a tool may connect.
#[must_use]
pub fn filter(profile: Profile, arch: Arch, pid: u32, files: bool, network: bool) -> Filter {
    let mut rules = BTreeMap::new();
    let mut put = |names: &[&str], rule: Rule| {
        let numbers = names.iter().filter_map(|name| calls::number(arch, name));
        rules.extend(numbers.map(|number| (number, rule.clone())));
    };
    let (default, killed) = match profile {
        Profile::Agent => {
            put(PLAIN, Rule::Always(Action::Allow));
            if files {
                put(LOOKING, Rule::Always(Action::Allow));
            }
            for (name, rule) in asked(pid) {
                put(&[name], rule);
            }
            put(UNTOLD, Rule::Always(Action::Errno(EPERM)));
            // the handler records it, then lets it kill
            (Action::Trap, Action::Trap)
        }
        Profile::Tool | Profile::Build => {
            let all: Vec<&str> = calls::names(arch).collect();
            put(&all, Rule::Always(Action::Allow));
            put(REFUSED, Rule::Always(Action::Errno(EPERM)));
            put(&["ioctl"], not_pushing_into_terminals());
            put(&["socket"], sockets(profile == Profile::Tool && network));
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

/// TIOCSTI and TIOCLINUX type into the terminal of whoever started it.
fn not_pushing_into_terminals() -> Rule {
    let question = Question {
        argument: 1,
        mask: INT,
        values: vec![0x5412, 0x541c],
    };
    Rule::Ask(vec![question], Action::Errno(EPERM), Action::Allow)
}

/// Whether the process dies of it.
#[must_use]
pub fn is_killed(name: &str) -> bool {
    KILLED.contains(&name)
}

/// Which argument of a call is a path; None: it has none that is worth telling.
#[must_use]
pub fn path_argument(name: &str) -> Option<u8> {
    let first = [
        "access",
        "acct",
        "chdir",
        "chmod",
        "chown",
        "chroot",
        "creat",
        "execve",
        "getxattr",
        "lchown",
        "lgetxattr",
        "link",
        "listxattr",
        "llistxattr",
        "lremovexattr",
        "lsetxattr",
        "lstat",
        "memfd_create",
        "mkdir",
        "mknod",
        "mount",
        "mq_open",
        "mq_unlink",
        "open",
        "pivot_root",
        "readlink",
        "removexattr",
        "rename",
        "rmdir",
        "setxattr",
        "stat",
        "statfs",
        "swapon",
        "symlink",
        "truncate",
        "umount2",
        "unlink",
        "utime",
        "utimes",
    ];
    let second = [
        "execveat",
        "faccessat",
        "faccessat2",
        "fchmodat",
        "fchmodat2",
        "fchownat",
        "futimesat",
        "inotify_add_watch",
        "linkat",
        "mkdirat",
        "mknodat",
        "name_to_handle_at",
        "newfstatat",
        "open_tree",
        "openat",
        "readlinkat",
        "renameat",
        "renameat2",
        "statx",
        "unlinkat",
        "utimensat",
    ];
    match name {
        "symlinkat" => Some(2),
        name if first.contains(&name) => Some(0),
        name if second.contains(&name) => Some(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::bpf;

    const BOTH: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];
    const PID: u32 = 4711;

    fn answer(
        profile: Profile,
        arch: Arch,
        files: bool,
        name: &str,
        arguments: [u64; 6],
    ) -> Option<u32> {
        let program = filter(profile, arch, PID, files, true).compile();
        let number = calls::number(arch, name)?;
        Some(bpf::run(&program, arch.audit(), number, arguments))
    }

    fn all_of(profile: Profile, files: bool, names: &[&str], wanted: u32) {
        for arch in BOTH {
            for name in names {
                if let Some(found) = answer(profile, arch, files, name, [0; 6]) {
                    assert_eq!(found, wanted, "{arch:?} {name}");
                }
            }
        }
    }

    #[test]
    fn every_name_is_a_call_of_some_machine() {
        let lists = [PLAIN, LOOKING, KILLED, ABSENT, UNTOLD, REFUSED];
        for name in lists.concat() {
            assert!(
                BOTH.iter().any(|arch| calls::number(*arch, name).is_some()),
                "{name}"
            );
        }
        for (at, name) in PLAIN.iter().chain(LOOKING).enumerate() {
            assert!(
                !KILLED.contains(name) && !UNTOLD.contains(name),
                "{at} {name}"
            );
        }
    }

    #[test]
    fn an_instance_may_do_little() {
        let (trap, allow) = (libc::SECCOMP_RET_TRAP, libc::SECCOMP_RET_ALLOW);
        let untold = libc::SECCOMP_RET_ERRNO | 1;
        all_of(Profile::Agent, true, PLAIN, allow);
        all_of(Profile::Agent, true, LOOKING, allow);
        all_of(Profile::Agent, false, LOOKING, trap);
        all_of(Profile::Agent, true, KILLED, trap);
        all_of(Profile::Agent, true, UNTOLD, untold);
        all_of(Profile::Agent, true, ABSENT, libc::SECCOMP_RET_ERRNO | 38);
        let refused = [
            "socket",
            "socketpair",
            "connect",
            "bind",
            "listen",
            "accept4",
            "sendmsg",
            "recvmsg",
            "sendmmsg",
            "memfd_create",
            "memfd_secret",
            "shmget",
            "shmat",
            "chmod",
            "fchmod",
            "fchmodat",
            "fchmodat2",
            "link",
            "linkat",
            "symlink",
            "symlinkat",
            "unlink",
            "unlinkat",
            "rename",
            "renameat2",
            "mkdir",
            "mkdirat",
            "mknod",
            "truncate",
            "inotify_init1",
            "setpriority",
            "execve",
            "execveat",
            "setrlimit",
            "seccomp",
            "setuid",
            "setresuid",
            "setgroups",
            "capset",
            "tkill",
            "pidfd_open",
            "pidfd_send_signal",
            "setxattr",
            "getxattr",
            "utimensat",
            "sched_setaffinity",
            "sched_setscheduler",
            "ioprio_set",
            "setsid",
            "chown",
            "landlock_restrict_self",
            "timer_create",
            "timerfd_create",
            "signalfd4",
            "fanotify_init",
            "mlockall",
            "creat",
            "flock",
            "splice",
            "sendfile",
            "copy_file_range",
            "setsockopt",
            "msgget",
            "semget",
            "mq_open",
        ];
        all_of(Profile::Agent, true, &refused, trap);
    }

    #[test]
    fn some_calls_depend_on_an_argument() {
        let (trap, allow) = (libc::SECCOMP_RET_TRAP, libc::SECCOMP_RET_ALLOW);
        let on = |argument: usize, value: u64| {
            let mut arguments = [0u64; 6];
            arguments[argument] = value;
            arguments
        };
        for (name, argument, good, bad) in [
            ("rt_sigaction", 0, 2, 31),
            ("kill", 0, u64::from(PID), 1),
            ("kill", 0, u64::from(PID), 0xffff_ffff),
            ("tgkill", 0, u64::from(PID), 0),
            ("sendto", 4, 0, 0x7fff_0000_0000),
            ("prlimit64", 2, 0, 0x1_0000_0000),
            ("fcntl", 1, 3, 8),
            ("ioctl", 1, 0x5401, 0x5412),
            ("prctl", 0, 15, 4),
        ] {
            for arch in BOTH {
                let told = |value| answer(Profile::Agent, arch, true, name, on(argument, value));
                assert_eq!(told(good), Some(allow), "{name} {good}");
                assert_eq!(told(bad), Some(trap), "{name} {bad}");
            }
        }
    }

    #[test]
    fn tools_may_do_what_programs_do_and_no_more() {
        for profile in [Profile::Tool, Profile::Build] {
            let usual = [
                "execve",
                "clone",
                "openat",
                "socketpair",
                "connect",
                "mkdirat",
                "chmod",
                "wait4",
                "setsid",
            ];
            all_of(profile, true, &usual, libc::SECCOMP_RET_ALLOW);
            all_of(profile, true, KILLED, libc::SECCOMP_RET_KILL_PROCESS);
            let refused = [
                "setuid",
                "shmget",
                "mlock",
                "seccomp",
                "pidfd_open",
                "socket",
            ];
            all_of(profile, true, &refused, libc::SECCOMP_RET_ERRNO | 1);
            let on = |name, arguments| answer(profile, Arch::X86_64, true, name, arguments);
            let typed = on("ioctl", [0, 0x5412, 0, 0, 0, 0]);
            assert_eq!(typed, Some(libc::SECCOMP_RET_ERRNO | 1));
            for ([family, kind, protocol], is_tcp) in [
                ([2, 1, 0], true),
                ([10, 0o2_000_001, 6], true),
                ([2, 2, 0], false),
                ([1, 1, 0], false),
                ([40, 1, 0], false),
                ([2, 1, 262], false),
            ] {
                let allowed = profile == Profile::Tool && is_tcp;
                let wanted = if allowed {
                    libc::SECCOMP_RET_ALLOW
                } else {
                    libc::SECCOMP_RET_ERRNO | 1
                };
                assert_eq!(
                    on("socket", [family, kind, protocol, 0, 0, 0]),
                    Some(wanted)
                );
            }
        }
    }

    #[test]
    fn who_listens_hears_of_every_refusal_and_of_nothing_else() {
        for profile in [Profile::Tool, Profile::Build] {
            for arch in BOTH {
                let plain = filter(profile, arch, PID, true, true);
                let (alone, listened) = (plain.compile(), heard(plain).compile());
                for (number, argument) in (0..700).flat_map(|n| [(n, 0), (n, 2), (n, 0x5412)]) {
                    let on = |program| bpf::run(program, arch.audit(), number, [argument; 6]);
                    let wanted = match on(&alone) {
                        libc::SECCOMP_RET_KILL_PROCESS => libc::SECCOMP_RET_USER_NOTIF,
                        refused if refused == libc::SECCOMP_RET_ERRNO | 1 => {
                            libc::SECCOMP_RET_USER_NOTIF
                        }
                        other => other,
                    };
                    assert_eq!(on(&listened), wanted, "{arch:?} {number}");
                }
                let foreign = bpf::run(&listened, 0x4000_0003, 0, [0; 6]);
                assert_eq!(foreign, libc::SECCOMP_RET_KILL_PROCESS);
            }
        }
    }

    /// Whatever becomes of any call of any machine is written down, so that no rule goes without being noticed.
    #[test]
    fn the_whole_policy_is_as_written_down() {
        let mut written = String::new();
        for (profile, of) in [(Profile::Agent, "agent"), (Profile::Tool, "tool")] {
            for arch in BOTH {
                for name in calls::names(arch) {
                    let number = calls::number(arch, name).unwrap();
                    let rules = filter(profile, arch, PID, true, true);
                    let rule = rules.rules.get(&number).cloned();
                    let rule = rule.unwrap_or(Rule::Always(rules.default));
                    let dies = if is_killed(name) { " dies" } else { "" };
                    written += &format!("{of} {arch:?} {name} {rule:?}{dies}\n");
                }
            }
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/sandbox/policy.txt");
        if std::env::var_os("O_WRITE_POLICY").is_some() {
            std::fs::write(path, &written).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            written,
            "O_WRITE_POLICY=1 writes it anew"
        );
    }

    #[test]
    fn paths_are_where_they_are() {
        assert_eq!(path_argument("unlink"), Some(0));
        assert_eq!(path_argument("openat"), Some(1));
        assert_eq!(path_argument("symlinkat"), Some(2));
        assert_eq!(path_argument("socket"), None);
    }
}
