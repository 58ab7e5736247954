//! The handler of SIGSYS: records a refused call, then makes it fail; where the call is on the kill list, the process
//! dies of it.
//!
//! It runs in the hostile process, at any moment: nothing here allocates, locks or panics. What it records is for the
//! reader's information; that the call is refused is the kernel's doing and does not depend on it.

use std::io::{Error, Result};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::calls::{self, Arch};
use super::policy;
use crate::violations::{Layer, PATH_BYTES, Ring};

const NUMBERS: usize = 512;
/// Calls with a path in their argument 0, 1, 2; calls that kill; calls that exist: one bit a number.
static PATHS: [Bits; 3] = [const { Bits::new() }; 3];
static KILLED: Bits = Bits::new();
static KNOWN: Bits = Bits::new();
static RING: OnceLock<Ring> = OnceLock::new();
static TELLING: AtomicBool = AtomicBool::new(false);

struct Bits([AtomicU64; NUMBERS / 64]);

impl Bits {
    const fn new() -> Bits {
        Bits([const { AtomicU64::new(0) }; NUMBERS / 64])
    }

    fn set(&self, number: u32) {
        if let Some(word) = self.0.get(number as usize / 64) {
            word.fetch_or(1 << (number % 64), Ordering::Relaxed);
        }
    }

    fn has(&self, number: u32) -> bool {
        let word = self.0.get(number as usize / 64);
        word.is_some_and(|word| word.load(Ordering::Relaxed) >> (number % 64) & 1 == 1)
    }
}

/// Where what is refused is recorded; the first ring that is named stays.
pub fn record_into(ring: Ring) {
    RING.get_or_init(|| ring);
}

/// From now on (or not yet: while the sandbox tests itself) refusals are recorded.
pub fn tell(on: bool) {
    TELLING.store(on, Ordering::Relaxed);
}

/// Records a refusal that the process itself has seen.
pub fn push(layer: Layer, nr: u32, errno: u16, path: &[u8]) {
    if TELLING.load(Ordering::Relaxed)
        && let Some(ring) = RING.get()
    {
        ring.push(layer, nr, errno, path);
    }
}

/// Installs the handler.
///
/// # Errors
/// The kernel refuses.
pub fn install(arch: Arch) -> Result<()> {
    for name in calls::names(arch) {
        let Some(number) = calls::number(arch, name) else {
            continue;
        };
        KNOWN.set(number);
        if policy::is_killed(name) {
            KILLED.set(number);
        }
        if let Some(paths) = policy::path_argument(name).and_then(|at| PATHS.get(usize::from(at))) {
            paths.set(number);
        }
    }
    // SAFETY: all zeros is a sigaction: no flags, an empty mask, the default handler.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: `action` is whole and lives across the call; the handler is async-signal-safe.
    match unsafe { libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

/// `siginfo_t` of a SIGSYS, which libc does not spell out.
#[repr(C)]
struct SigSys {
    signo: libc::c_int,
    errno: libc::c_int,
    code: libc::c_int,
    _pad: libc::c_int,
    address: usize,
    number: u32,
    arch: u32,
}

const SYS_SECCOMP: libc::c_int = 1;

extern "C" fn handler(_signal: libc::c_int, info: *const SigSys, context: *mut libc::ucontext_t) {
    // SAFETY: the kernel gives a handler with SA_SIGINFO a siginfo_t, which is larger than this.
    let info = unsafe { &*info };
    if info.code != SYS_SECCOMP {
        return;
    }
    // SAFETY: and the context that it goes back to, which nobody else looks at meanwhile.
    let context = unsafe { &mut *context };
    let number = info.number;
    let killed = KILLED.has(number);
    let errno = match (killed, KNOWN.has(number)) {
        (true, _) => 0,
        (false, true) => libc::EPERM,
        // newer than the table: the C library is to take the older way
        (false, false) => libc::ENOSYS,
    };
    let mut path = [0u8; PATH_BYTES];
    let found = PATHS.iter().position(|paths| paths.has(number));
    let length = found.map_or(0, |at| copy_path(argument(context, at), &mut path));
    let path = path.get(..length).unwrap_or(&[]);
    push(
        Layer::Seccomp,
        number,
        u16::try_from(errno).unwrap_or(0),
        path,
    );
    if killed {
        die();
    }
    give(context, -i64::from(errno));
}

/// A call that is trapped while SIGSYS is blocked, as it is in its handler, kills the process.
fn die() -> ! {
    // SAFETY: the call takes numbers, and it is refused.
    unsafe { libc::syscall(libc::SYS_keyctl, -1, 0, 0, 0, 0) };
    // SAFETY: ends the process; only if the filter were not there would it come to this.
    unsafe { libc::_exit(128 + libc::SIGSYS) }
}

#[cfg(target_arch = "x86_64")]
fn argument(context: &libc::ucontext_t, at: usize) -> usize {
    let register = match at {
        0 => libc::REG_RDI,
        1 => libc::REG_RSI,
        _ => libc::REG_RDX,
    };
    let registers = &context.uc_mcontext.gregs;
    let value = registers.get(usize::try_from(register).unwrap_or(usize::MAX));
    value.map_or(0, |value| value.cast_unsigned() as usize)
}

#[cfg(target_arch = "x86_64")]
fn give(context: &mut libc::ucontext_t, value: i64) {
    let register = usize::try_from(libc::REG_RAX).unwrap_or(usize::MAX);
    if let Some(result) = context.uc_mcontext.gregs.get_mut(register) {
        *result = value;
    }
}

#[cfg(target_arch = "aarch64")]
fn argument(context: &libc::ucontext_t, at: usize) -> usize {
    let value = context.uc_mcontext.regs.get(at);
    value.map_or(0, |value| usize::try_from(*value).unwrap_or(0))
}

#[cfg(target_arch = "aarch64")]
fn give(context: &mut libc::ucontext_t, value: i64) {
    if let Some(result) = context.uc_mcontext.regs.first_mut() {
        *result = value.cast_unsigned();
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn argument(_context: &libc::ucontext_t, _at: usize) -> usize {
    0
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn give(_context: &mut libc::ucontext_t, _value: i64) {}

/// Copies the text at an address that may lead nowhere; returns its length.
fn copy_path(address: usize, path: &mut [u8; PATH_BYTES]) -> usize {
    for (at, place) in path.iter_mut().enumerate() {
        let here = address.wrapping_add(at);
        if (at == 0 || here % 8 == 0) && !is_readable(here & !7) {
            return at;
        }
        // SAFETY: the eight bytes around it were readable just now. Where another thread of a candidate unmaps them
        // meanwhile, that ends its own process.
        match unsafe { std::ptr::with_exposed_provenance::<u8>(here).read_volatile() } {
            0 => return at,
            byte => *place = byte,
        }
    }
    PATH_BYTES
}

/// Whether eight bytes are readable, without touching them: the kernel reads a signal set there, and then complains
/// about the first argument only.
fn is_readable(address: usize) -> bool {
    let (no_way, size) = (-1, 8usize);
    // SAFETY: with an impossible `how` the call changes nothing, wherever the address leads.
    let result = unsafe { libc::syscall(libc::SYS_rt_sigprocmask, no_way, address, 0usize, size) };
    let errno = Error::last_os_error().raw_os_error();
    result == -1 && errno == Some(libc::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_at_any_address() {
        let mut path = [0u8; PATH_BYTES];
        let text = b"/etc/passwd\0more";
        assert_eq!(copy_path(text.as_ptr().expose_provenance(), &mut path), 11);
        assert_eq!(&path[..11], b"/etc/passwd");
        for nowhere in [0, 1, 8, usize::MAX, usize::MAX - 7, 0x1234_5678_9abc] {
            assert_eq!(copy_path(nowhere, &mut path), 0);
        }
        let long = [b'x'; 500];
        assert_eq!(
            copy_path(long.as_ptr().expose_provenance(), &mut path),
            PATH_BYTES
        );
    }

    #[test]
    fn a_path_at_the_end_of_memory() {
        let page = 4096;
        // SAFETY: a new mapping where the kernel picks.
        let start = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            libc::mmap(
                std::ptr::null_mut(),
                2 * page,
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                -1,
                0,
            )
        };
        let second = start.wrapping_byte_add(page);
        // SAFETY: the second page is ours, and nobody uses it.
        assert_eq!(unsafe { libc::munmap(second, page) }, 0);
        let last = second.wrapping_byte_sub(3).cast::<u8>();
        // SAFETY: three bytes at the end of the page that is still there.
        unsafe { last.write_bytes(b'a', 3) };
        let mut path = [0u8; PATH_BYTES];
        assert_eq!(copy_path(last.expose_provenance(), &mut path), 3);
        assert_eq!(&path[..3], b"aaa");
    }
}
