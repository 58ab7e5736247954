//! The filter of system calls as one BPF program: a binary search over the numbers, then an answer.
//!
//! One program and not several stacked ones: with four answers (allow, refuse and tell, an errno, death) in one place
//! it can be read and tested as a whole, and it does not matter what was loaded first.

use std::collections::BTreeMap;
use std::io::{Error, Result};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::calls::Arch;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is done.
    Allow,
    /// The process gets SIGSYS, whose handler records the call and makes it fail.
    Trap,
    /// The process waits until whoever listens has recorded the call and makes it fail.
    Ask,
    /// It fails with this error.
    Errno(u16),
    /// The process dies by SIGSYS.
    Kill,
}

impl Action {
    fn value(self) -> u32 {
        match self {
            Action::Allow => libc::SECCOMP_RET_ALLOW,
            Action::Trap => libc::SECCOMP_RET_TRAP,
            Action::Ask => libc::SECCOMP_RET_USER_NOTIF,
            Action::Errno(errno) => libc::SECCOMP_RET_ERRNO | u32::from(errno),
            Action::Kill => libc::SECCOMP_RET_KILL_PROCESS,
        }
    }
}

/// A question about one argument: is it, under a mask, one of these values?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Which argument, from 0.
    pub argument: u8,
    /// Which of its bits. A C int has 32 that count; the kernel does not look at the others.
    pub mask: u64,
    /// All of them below 2^32.
    pub values: Vec<u32>,
}

/// What becomes of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// The same whatever its arguments are.
    Always(Action),
    /// It depends on arguments: the first where all answers are yes, else the second.
    Ask(Vec<Question>, Action, Action),
}

/// Rules by the call's number; what has none becomes `default`, calls of another machine kill.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Whose numbers they are.
    pub arch: Arch,
    /// What becomes of all the others.
    pub default: Action,
    /// Number to rule.
    pub rules: BTreeMap<u32, Rule>,
}

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
/// Where things are in `struct seccomp_data`.
const NR: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;
/// x86_64 numbers from here on are those of x32.
const X32: u32 = 0x4000_0000;

/// A program as the kernel takes it.
pub type Program = Vec<libc::sock_filter>;

fn step(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

fn answer(action: Action) -> Program {
    vec![step(RETURN, action.value(), 0, 0)]
}

impl Filter {
    /// The program.
    #[must_use]
    pub fn compile(&self) -> Program {
        let mut program = vec![
            step(LOAD, ARCH, 0, 0),
            step(EQUAL, self.arch.audit(), 1, 0),
            step(RETURN, Action::Kill.value(), 0, 0),
            step(LOAD, NR, 0, 0),
        ];
        if self.arch == Arch::X86_64 {
            program.push(step(AT_LEAST, X32, 0, 1));
            program.extend(answer(Action::Kill));
        }
        program.extend(search(&self.pieces()));
        program
    }

    /// The numbers cut into pieces, each from its number up to the next piece's, with what becomes of it.
    fn pieces(&self) -> Vec<(u32, Rule)> {
        let mut pieces = vec![(0, Rule::Always(self.default))];
        let mut add = |from: u32, rule: Rule| {
            pieces.pop_if(|last| last.0 == from);
            if pieces.last().is_none_or(|last| last.1 != rule) {
                pieces.push((from, rule));
            }
        };
        for (number, rule) in &self.rules {
            add(*number, rule.clone());
            add(number.saturating_add(1), Rule::Always(self.default));
        }
        pieces
    }
}

/// Halves the pieces until one is left. The number is in the accumulator all along.
fn search(pieces: &[(u32, Rule)]) -> Program {
    match pieces {
        [] => answer(Action::Kill),
        [(_, Rule::Always(action))] => answer(*action),
        [(_, Rule::Ask(questions, yes, no))] => {
            let mut program: Program = questions.iter().flat_map(|q| ask(q, *no)).collect();
            program.extend(answer(*yes));
            program
        }
        _ => {
            let (low, high) = pieces.split_at(pieces.len() / 2);
            let border = high.first().map_or(0, |piece| piece.0);
            let low = search(low);
            let over = u32::try_from(low.len()).unwrap_or(u32::MAX);
            let mut program = vec![step(AT_LEAST, border, 0, 1), step(JUMP, over, 0, 0)];
            program.extend(low);
            program.extend(search(high));
            program
        }
    }
}

/// Goes on behind itself where the answer is yes.
fn ask(question: &Question, no: Action) -> Program {
    let place = ARGUMENTS + 8 * u32::from(question.argument);
    let (low, high) = (question.mask as u32, (question.mask >> 32) as u32);
    let mut program = Vec::new();
    if high != 0 {
        program.push(step(LOAD, place + 4, 0, 0));
        program.push(step(AND, high, 0, 0));
        program.push(step(EQUAL, 0, 1, 0));
        program.extend(answer(no));
    }
    program.push(step(LOAD, place, 0, 0));
    program.push(step(AND, low, 0, 0));
    for (value, left) in question
        .values
        .iter()
        .zip((1..=question.values.len()).rev())
    {
        let over = u8::try_from(left).unwrap_or(u8::MAX); // the other values, and the no
        program.push(step(EQUAL, *value, over, 0));
    }
    program.extend(answer(no));
    program
}

/// Loads a program into this thread, for good. `no_new_privs` must be set.
///
/// # Errors
/// The kernel has no seccomp, or refuses.
pub fn load(program: &mut Program) -> Result<()> {
    seccomp(program, 0).map(|_| ())
}

/// The same; returns the descriptor on which the kernel says what `Action::Ask` waits for.
///
/// # Errors
/// As above; or somebody listens already, or the kernel is older than 5.0. Nothing is loaded then.
pub fn load_and_listen(program: &mut Program) -> Result<OwnedFd> {
    let number = seccomp(program, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn seccomp(program: &mut Program, flags: libc::c_ulong) -> Result<RawFd> {
    let length = u16::try_from(program.len()).map_err(|_| Error::from_raw_os_error(libc::E2BIG))?;
    let fprog = libc::sock_fprog {
        len: length,
        filter: program.as_mut_ptr(),
    };
    let (mode, argument) = (libc::SECCOMP_SET_MODE_FILTER, &raw const fprog);
    // SAFETY: the kernel copies the program, which lives across the call, and its length is right.
    match unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, argument) } {
        -1 => Err(Error::last_os_error()),
        good => RawFd::try_from(good).map_err(|_| Error::from_raw_os_error(libc::EBADF)),
    }
}

/// What the kernel would make of it: a BPF machine for the tests.
#[cfg(test)]
pub fn run(program: &Program, arch: u32, nr: u32, arguments: [u64; 6]) -> u32 {
    let word = |place: u32| match place {
        NR => nr,
        ARCH => arch,
        _ => {
            let argument = arguments[(place - ARGUMENTS) as usize / 8];
            (argument >> (8 * (place % 8))) as u32
        }
    };
    let (mut at, mut accumulator) = (0usize, 0u32);
    loop {
        let now = program[at];
        at += 1;
        let jump = |holds: bool| usize::from(if holds { now.jt } else { now.jf });
        match now.code {
            LOAD => accumulator = word(now.k),
            AND => accumulator &= now.k,
            EQUAL => at += jump(accumulator == now.k),
            AT_LEAST => at += jump(accumulator >= now.k),
            JUMP => at += now.k as usize,
            RETURN => return now.k,
            code => panic!("no such instruction: {code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(rules: impl IntoIterator<Item = (u32, Rule)>) -> Program {
        Filter {
            arch: Arch::X86_64,
            default: Action::Trap,
            rules: rules.into_iter().collect(),
        }
        .compile()
    }

    fn on(program: &Program, nr: u32, argument: u64) -> u32 {
        run(program, Arch::X86_64.audit(), nr, [argument; 6])
    }

    #[test]
    fn every_number_gets_its_answer() {
        let rule = |n: u32| match n % 5 {
            0 => Action::Kill,
            1 => Action::Errno(38),
            _ => Action::Allow,
        };
        let rules = (0..600).filter(|n| n % 7 != 3);
        let program = filter(rules.map(|n| (n, Rule::Always(rule(n)))));
        for n in 0..1_000 {
            let wanted = match n {
                ..600 if n % 7 != 3 => rule(n),
                _ => Action::Trap,
            };
            assert_eq!(on(&program, n, 0), wanted.value(), "{n}");
        }
        assert_eq!(on(&program, X32 - 1, 0), Action::Trap.value());
    }

    #[test]
    fn other_machines_die() {
        let program = filter([(0, Rule::Always(Action::Allow))]);
        let kill = Action::Kill.value();
        assert_eq!(on(&program, 0, 0), Action::Allow.value());
        for other in [0x4000_0003, 0xc000_00b7, 0, u32::MAX] {
            assert_eq!(run(&program, other, 0, [0; 6]), kill);
        }
        for x32 in [X32, X32 + 1, u32::MAX] {
            assert_eq!(on(&program, x32, 0), kill);
        }
    }

    #[test]
    fn arguments_are_asked() {
        let question = |mask, values: &[u32]| Question {
            argument: 2,
            mask,
            values: values.to_vec(),
        };
        let int = question(0xffff_ffff, &[3, 9]);
        let null = question(u64::MAX, &[0]);
        let flags = question(0b11, &[0]);
        let (allow, refuse) = (Action::Allow, Action::Errno(1));
        let program = filter([
            (5, Rule::Ask(vec![int.clone()], allow, refuse)),
            (6, Rule::Ask(vec![null], allow, refuse)),
            (7, Rule::Ask(vec![flags.clone()], allow, refuse)),
            (8, Rule::Ask(vec![int, flags], allow, refuse)),
        ]);
        for (nr, argument, allowed) in [
            (5, 3, true),
            (5, 9, true),
            (5, 4, false),
            (5, 1 << 32 | 9, true),
            (6, 0, true),
            (6, 1 << 32, false),
            (6, 1, false),
            (7, 0b100, true),
            (7, 0b101, false),
            (8, 3, false),
            (8, 8, false),
            (8, 1 << 32 | 9, false),
        ] {
            let wanted = if allowed { allow } else { refuse };
            assert_eq!(
                on(&program, nr, argument),
                wanted.value(),
                "{nr} {argument}"
            );
        }
    }
}
