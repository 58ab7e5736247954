//! Which layers hold on this machine: children are confined with one layer each, and attack it.

use std::ffi::CString;
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::witnesses::{self, Target, Witness};
use super::{Confined, Layer, Profile, Settings, State, Tier, confine, itself};

const REPORT: RawFd = 3;
/// What a child writes before its witnesses: its layer is on, or how far (`-`), or not.
const ON: u8 = b'+';
const PARTLY: u8 = b'-';
const OFF: u8 = b'!';

/// Confines children and attacks. Takes about 20 ms; this process stays as it is.
///
/// # Errors
/// No child or pipe can be made.
pub fn probe() -> Result<Confined> {
    let (_listener, target) = target()?;
    let mut states = Vec::new();
    for layer in Layer::ALL {
        states.push(examine(layer, &target)?);
    }
    let on: Vec<Layer> = states.iter().filter(|s| s.on).map(|s| s.layer).collect();
    Ok(Confined {
        tier: Tier::of(&on),
        states,
    })
}

pub(super) fn settings(layers: &[Layer]) -> Settings {
    Settings {
        profile: Profile::Agent,
        // something, so that to put it there is tried too
        read: vec!["/usr/lib".into()],
        write: Vec::new(),
        room_bytes: 0,
        apart: false,
        files: Vec::new(),
        socket: None,
        listener: None,
        memory_bytes: 1 << 30,
        cpu_s: 0,
        concurrent: false,
        file_bytes: 0,
        proxy_port: 0,
        parent: 0,
        death_signal: libc::SIGKILL,
        layers: layers.to_vec(),
    }
}

fn examine(layer: Layer, target: &Target) -> Result<State> {
    let (layers, required, optional): (&[Layer], &[Witness], &[Witness]) = match layer {
        Layer::Itself => (&[Layer::Itself], witnesses::IDENTITY, &[]),
        Layer::Limits => (&[Layer::Itself, Layer::Limits], witnesses::LIMITS, &[]),
        Layer::Namespaces => (&[Layer::Namespaces], witnesses::WORLD, &[]),
        Layer::Landlock => (&[Layer::Landlock], witnesses::FILES, witnesses::REACH),
        Layer::Seccomp => (&[Layer::Seccomp], witnesses::CALLS, &[]),
    };
    let control = report(&settings(&[]), &[("control", |_| true)], target)?;
    if let Some(why) = control.strip_prefix(&[OFF]) {
        return Err(Error::other(String::from_utf8_lossy(why).into_owned()));
    }
    if control != [&[ON][..], b"1"].concat() {
        return Err(Error::other("a child that is not confined does not report"));
    }
    let all = [required, optional].concat();
    let said = report(&settings(layers), &all, target)?;
    target.clear();
    let mut state = judge(layer, &said, required, optional);
    if layer == Layer::Seccomp && state.on {
        for (name, attack) in witnesses::DEADLY {
            if !dies(&settings(layers), *attack, target)? {
                state.on = false;
                state.why = format!("not refused: {name}");
            }
        }
    }
    Ok(state)
}

fn judge(layer: Layer, said: &[u8], required: &[Witness], optional: &[Witness]) -> State {
    let state = |on, why: String| State { layer, on, why };
    let (first, rest) = match said.split_first() {
        Some((first, rest)) => (*first, rest),
        None => return state(false, "it ended while it was put on".to_string()),
    };
    if first == OFF {
        return state(false, String::from_utf8_lossy(rest).into_owned());
    }
    let names = required.iter().chain(optional).map(|witness| witness.0);
    let told: Vec<(&str, bool)> = names.zip(rest.iter().map(|byte| *byte == b'1')).collect();
    let counted = match first {
        PARTLY => required.len(),
        _ => required.len() + optional.len(),
    };
    let failed = told.iter().take(counted).find(|(_, refused)| !refused);
    match failed {
        Some((name, _)) => state(false, format!("not refused: {name}")),
        None if told.len() < required.len() + optional.len() => {
            state(false, "it ended in the middle of the attacks".to_string())
        }
        None if first == PARTLY => state(
            true,
            format!(
                "{counted} attacks refused; no rules yet about TCP, abstract sockets or signals"
            ),
        ),
        None => state(true, format!("{counted} attacks refused")),
    }
}

/// What a confined child says of the attacks.
fn report(settings: &Settings, attacks: &[Witness], target: &Target) -> Result<Vec<u8>> {
    let (from, to) = pipe()?;
    let settings = Settings {
        socket: Some(REPORT),
        ..settings.clone()
    };
    let child = fork(|| {
        // from the start, so that it tells also of what fails before descriptors are closed
        // SAFETY: dup2 takes numbers; what has that number is this process' own business.
        unsafe { libc::dup2(to.as_raw_fd(), REPORT) };
        let said = match confine(&settings) {
            Err(refused) => [&[OFF][..], refused.to_string().as_bytes()].concat(),
            Ok(confined) => match confined.states.iter().find(|state| !state.on) {
                Some(state) => [&[OFF][..], state.why.as_bytes()].concat(),
                None if confined.states.iter().any(|state| !state.why.is_empty()) => vec![PARTLY],
                None => vec![ON],
            },
        };
        say(&said);
        if !said.starts_with(&[OFF]) {
            for (_, attack) in attacks {
                say(if attack(target) { b"1" } else { b"0" });
            }
        }
        0
    })?;
    drop(to);
    let mut said = Vec::new();
    File::from(from).take(4096).read_to_end(&mut said)?;
    wait(child)?;
    Ok(said)
}

fn dies(settings: &Settings, attack: fn(&Target) -> bool, target: &Target) -> Result<bool> {
    let child = fork(|| {
        if confine(settings).is_err() {
            return 2;
        }
        attack(target);
        1
    })?;
    let status = wait(child)?;
    Ok(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSYS)
}

fn say(bytes: &[u8]) {
    // SAFETY: the bytes live across the call.
    unsafe { libc::write(REPORT, bytes.as_ptr().cast(), bytes.len()) };
}

/// Forks; the child does `work` and ends.
fn fork(work: impl FnOnce() -> i32) -> Result<libc::pid_t> {
    // SAFETY: the child does nothing but `work` and `_exit`: it shares no lock but malloc's, which fork looks after.
    match unsafe { libc::fork() } {
        -1 => Err(Error::last_os_error()),
        0 => {
            let status = work();
            // SAFETY: ends the child.
            unsafe { libc::_exit(status) }
        }
        child => Ok(child),
    }
}

fn wait(child: libc::pid_t) -> Result<libc::c_int> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is ours and lives across the call.
        if unsafe { libc::waitpid(child, &raw mut status, 0) } == child {
            return Ok(status);
        }
        match Error::last_os_error() {
            error if error.kind() == ErrorKind::Interrupted => {}
            error => return Err(error),
        }
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: two numbers are written, for which there is room.
    itself::check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    let [from, to] = ends;
    // SAFETY: the kernel has just given us this descriptor.
    let from = unsafe { OwnedFd::from_raw_fd(from) };
    // SAFETY: and this one.
    let to = unsafe { OwnedFd::from_raw_fd(to) };
    Ok((from, to))
}

/// What is attacked: this process, a socket, and a path that is free in the folder for temporary files.
fn target() -> Result<(OwnedFd, Target)> {
    let (listener, socket) = listener()?;
    let number = std::process::id();
    let unique = format!(".o-witness-{number}-{:?}", std::time::Instant::now());
    let unique: String = unique.chars().filter(|c| !" {}:".contains(*c)).collect();
    let path = std::env::temp_dir().join(unique);
    let target = Target {
        parent: i32::try_from(number).unwrap_or(-1),
        socket,
        path: CString::new(path.into_os_string().into_encoded_bytes())?,
    };
    Ok((listener, target))
}

/// A socket in the abstract namespace under a name that the kernel picks.
fn listener() -> Result<(OwnedFd, Vec<u8>)> {
    // SAFETY: socket takes numbers.
    let socket = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    itself::check(socket)?;
    // SAFETY: the kernel has just given us this descriptor.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: all zeros is an address.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let family = size_of::<libc::sa_family_t>();
    let mut length = libc::socklen_t::try_from(family).unwrap_or(2);
    // SAFETY: the address lives across the call; with the family alone the kernel picks a name.
    itself::check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) })?;
    // SAFETY: listen takes numbers.
    itself::check(unsafe { libc::listen(socket.as_raw_fd(), 4) })?;
    length = libc::socklen_t::try_from(size_of::<libc::sockaddr_un>()).unwrap_or(0);
    // SAFETY: address and length live across the call, and the length is that of the address.
    itself::check(unsafe {
        libc::getsockname(
            socket.as_raw_fd(),
            (&raw mut address).cast(),
            &raw mut length,
        )
    })?;
    let used = (length as usize).saturating_sub(family);
    let name = address
        .sun_path
        .iter()
        .take(used)
        .flat_map(|byte| byte.to_ne_bytes());
    Ok((socket, name.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_that_is_not_put_on_does_not_hold() {
        let (_listener, target) = target().unwrap();
        for attacks in [
            witnesses::FILES,
            witnesses::REACH,
            witnesses::CALLS,
            witnesses::WORLD,
        ] {
            // running a program and forking end or copy the child
            let some: Vec<Witness> = attacks
                .iter()
                .filter(|(name, _)| !["run a program", "execve"].contains(name))
                .copied()
                .collect();
            let said = report(&settings(&[]), &some, &target).unwrap();
            assert!(said[1..].contains(&b'0'), "{said:?}");
            target.clear();
        }
    }

    #[test]
    fn attacks_that_succeed_leave_the_machine_as_it_was() {
        use std::os::unix::fs::MetadataExt;
        let about = || {
            let root = std::fs::metadata("/").unwrap();
            let names = std::fs::read_dir("/").unwrap().count();
            let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
            (root.mode(), root.uid(), names, mounts, host)
        };
        let (_listener, target) = target().unwrap();
        let before = about();
        for attacks in [
            witnesses::IDENTITY,
            witnesses::FILES,
            witnesses::REACH,
            witnesses::CALLS,
            witnesses::WORLD,
        ] {
            for attack in attacks {
                report(&settings(&[]), &[*attack], &target).unwrap();
                target.clear();
                assert_eq!(about(), before, "{}", attack.0);
            }
        }
        assert!(std::fs::symlink_metadata(target.path.to_str().unwrap()).is_err());
    }

    #[test]
    fn what_a_child_says_is_judged() {
        let one: &[Witness] = &[("one", |_| true)];
        let two: &[Witness] = &[("two", |_| true)];
        for (said, on, why) in [
            (&b"+11"[..], true, "2 attacks refused"),
            (b"+01", false, "not refused: one"),
            (b"+10", false, "not refused: two"),
            (
                b"-10",
                true,
                "1 attacks refused; no rules yet about TCP, abstract sockets or signals",
            ),
            (b"+1", false, "it ended in the middle of the attacks"),
            (b"", false, "it ended while it was put on"),
            (b"!no Landlock", false, "no Landlock"),
        ] {
            let state = judge(Layer::Landlock, said, one, two);
            assert_eq!((state.on, state.why.as_str()), (on, why));
        }
    }
}
