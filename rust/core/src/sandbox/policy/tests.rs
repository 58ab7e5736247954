//! Each profile answers each call as it says: by name, on both machines, and against what was agreed (golden.txt).

use super::*;
use crate::sandbox::bpf;

const BOTH: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];
const PID: u32 = 4711;
const ALL: Beside = Beside {
    files: true,
    network: true,
    signals: true,
    world: true,
};
const NOTHING: Beside = Beside {
    files: false,
    network: false,
    signals: false,
    world: false,
};

fn answer(
    profile: Profile,
    arch: Arch,
    files: bool,
    name: &str,
    arguments: [u64; 6],
) -> Option<u32> {
    let beside = Beside { files, ..ALL };
    let program = filter(profile, arch, PID, false, beside).compile();
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
    let lists = [
        PLAIN, LOOKING, KILLED, ABSENT, UNTOLD, REFUSED, MARKING, SIGNALLING,
    ];
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
fn threads_and_nothing_else_of_clone() {
    const PTHREAD: u64 = 0x003d_0f00; // glibc 2.41, as strace shows it
    let (allow, refused) = (libc::SECCOMP_RET_ALLOW, libc::SECCOMP_RET_ERRNO | 1);
    let newns = u64::from(libc::CLONE_NEWNS.cast_unsigned());
    let asked = [
        (PTHREAD, allow),
        (PTHREAD | 0x0040_0000, allow), // musl
        (17, refused),                  // fork
        (0x4111, refused),              // vfork, posix_spawn
        (PTHREAD | newns, refused),
        (PTHREAD | 1 << 32, refused),
        (PTHREAD & !0x1_0000, refused), // no thread
        (0, refused),
    ];
    for arch in BOTH {
        let number = calls::number(arch, "clone").expect("everybody has it");
        for (flags, wanted) in asked {
            for (concurrent, wanted) in [(true, wanted), (false, refused)] {
                let rules = filter(Profile::Agent, arch, PID, concurrent, ALL).compile();
                let found = bpf::run(&rules, arch.audit(), number, [flags, 0, 0, 0, 0, 0]);
                assert_eq!(found, wanted, "{arch:?} {flags:#x} {concurrent}");
            }
        }
    }
}

#[test]
fn pairs_of_sockets_and_no_other_sockets() {
    let (unix, inet) = (libc::AF_UNIX as u64, libc::AF_INET as u64);
    let (stream, datagram) = (libc::SOCK_STREAM as u64, libc::SOCK_DGRAM as u64);
    let ready = stream | libc::SOCK_CLOEXEC as u64 | libc::SOCK_NONBLOCK as u64;
    let asked = [
        ("socketpair", [unix, ready, 0], true),
        ("socketpair", [unix, datagram, 0], false),
        ("socketpair", [inet, stream, 0], false),
        ("socketpair", [unix, stream, 6], false),
        ("socket", [unix, stream, 0], false),
    ];
    for arch in BOTH {
        for (name, [family, kind, protocol], allowed) in asked {
            let number = calls::number(arch, name).expect("everybody has it");
            for concurrent in [true, false] {
                let rules = filter(Profile::Agent, arch, PID, concurrent, ALL).compile();
                let arguments = [family, kind, protocol, 0, 0, 0];
                let found = bpf::run(&rules, arch.audit(), number, arguments);
                let wanted = match allowed && concurrent {
                    true => libc::SECCOMP_RET_ALLOW,
                    false => libc::SECCOMP_RET_TRAP,
                };
                assert_eq!(
                    found, wanted,
                    "{arch:?} {name} {family} {kind} {concurrent}"
                );
            }
        }
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
            "sched_setscheduler",
            "ioprio_set",
            "msgrcv",
        ];
        all_of(profile, true, &refused, libc::SECCOMP_RET_ERRNO | 1);
        let on = |name, arguments| answer(profile, Arch::X86_64, true, name, arguments);
        let typed = on("ioctl", [0, 0x5412, 0, 0, 0, 0]);
        assert_eq!(typed, Some(libc::SECCOMP_RET_ERRNO | 1));
        for name in ["prlimit64", "sched_setaffinity"] {
            let (itself, another) = (on(name, [0; 6]), on(name, [1, 0, 0, 0, 0, 0]));
            assert_eq!(itself, Some(libc::SECCOMP_RET_ALLOW), "{name}");
            assert_eq!(another, Some(libc::SECCOMP_RET_ERRNO | 1), "{name}");
        }
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
fn tools_make_no_namespaces_and_have_the_kernel_signal_nobody() {
    let refused = libc::SECCOMP_RET_ERRNO | 1;
    let on = |arch, name, argument: usize, value: i32| {
        let mut arguments = [0u64; 6];
        arguments[argument] = u64::from(value.cast_unsigned());
        answer(Profile::Tool, arch, true, name, arguments)
    };
    for arch in BOTH {
        for world in [
            libc::CLONE_NEWNS,
            libc::CLONE_NEWCGROUP,
            libc::CLONE_NEWUTS,
            libc::CLONE_NEWIPC,
            libc::CLONE_NEWUSER,
            libc::CLONE_NEWPID,
            libc::CLONE_NEWNET,
        ] {
            let found = on(arch, "clone", 0, world | libc::SIGCHLD);
            assert_eq!(found, Some(refused), "{arch:?} {world:#x}");
        }
        for fork in [libc::SIGCHLD, 0x4111, 0x003d_0f00] {
            let found = on(arch, "clone", 0, fork);
            assert_eq!(found, Some(libc::SECCOMP_RET_ALLOW), "{arch:?} {fork:#x}");
        }
        for (name, value, wanted) in [
            ("fcntl", libc::F_SETOWN, refused),
            ("fcntl", 10, refused),
            ("fcntl", 15, refused),
            ("fcntl", libc::F_SETFL, libc::SECCOMP_RET_ALLOW),
            ("ioctl", 0x541c, refused),
            ("ioctl", 0x8901, refused),
            ("ioctl", 0x8902, refused),
            ("ioctl", 0x5401, libc::SECCOMP_RET_ALLOW),
        ] {
            assert_eq!(on(arch, name, 1, value), Some(wanted), "{arch:?} {name}");
        }
    }
}

#[test]
fn what_no_other_layer_holds_a_tool_is_refused_here() {
    let refused = libc::SECCOMP_RET_ERRNO | 1;
    let (bare, scoped) = (
        NOTHING,
        Beside {
            signals: true,
            ..NOTHING
        },
    );
    let world = Beside {
        world: true,
        ..NOTHING
    };
    for arch in BOTH {
        let on = |beside, name, arguments| {
            let program = filter(Profile::Build, arch, PID, false, beside).compile();
            let number = calls::number(arch, name)?;
            Some(bpf::run(&program, arch.audit(), number, arguments))
        };
        for (names, held) in [(MARKING, world), (SIGNALLING, scoped)] {
            for name in names {
                if let Some(found) = on(bare, name, [0; 6]) {
                    assert_eq!(found, refused, "{arch:?} {name}");
                    let found = on(held, name, [0; 6]);
                    assert_eq!(found, Some(libc::SECCOMP_RET_ALLOW), "{arch:?} {name}");
                }
            }
        }
        for name in ["chmod", "fchmod", "fchmodat", "fchmodat2"] {
            for (mode, wanted) in [(0o700, libc::SECCOMP_RET_ALLOW), (0, refused)] {
                let found = on(bare, name, [mode; 6]).unwrap_or(wanted);
                assert_eq!(found, wanted, "{arch:?} {name} {mode:o}");
            }
            for mode in [0o600, 0o701, 0o1700, 0o4700, 0o777] {
                let found = on(bare, name, [0o700, mode, mode, 0o700, 0, 0]);
                assert_eq!(found.unwrap_or(refused), refused, "{name} {mode:o}");
            }
            let found = on(world, name, [0; 6]).unwrap_or(libc::SECCOMP_RET_ALLOW);
            assert_eq!(found, libc::SECCOMP_RET_ALLOW, "{name}");
        }
        let (itself, another) = ([0; 6], [PID.into(); 6]);
        for (name, held) in [("kill", scoped), ("utimensat", world)] {
            assert_eq!(on(bare, name, itself), Some(libc::SECCOMP_RET_ALLOW));
            assert_eq!(on(bare, name, another), Some(refused), "{arch:?} {name}");
            assert_eq!(on(held, name, another), Some(libc::SECCOMP_RET_ALLOW));
        }
    }
}

#[test]
fn who_listens_hears_of_every_refusal_and_of_nothing_else() {
    for profile in [Profile::Tool, Profile::Build] {
        for arch in BOTH {
            let plain = filter(profile, arch, PID, false, ALL);
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
    for (profile, beside, of) in [
        (Profile::Agent, ALL, "agent"),
        (Profile::Tool, ALL, "tool"),
        (Profile::Tool, NOTHING, "tool alone"),
    ] {
        for arch in BOTH {
            for name in calls::names(arch) {
                let number = calls::number(arch, name).unwrap();
                let rules = filter(profile, arch, PID, false, beside);
                let rule = rules.rules.get(&number).cloned();
                let rule = rule.unwrap_or(Rule::Always(rules.default));
                let dies = if is_killed(name) { " dies" } else { "" };
                written += &format!("{of} {arch:?} {name} {rule:?}{dies}\n");
            }
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/sandbox/policy/golden.txt");
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
