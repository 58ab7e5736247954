//! What a confined process was refused: a ring in shared memory that it writes and the guardian reads.
//!
//! The writer may be a signal handler, so nothing here allocates, locks or panics on that side. The reader trusts
//! nothing: a hostile process can write into the ring whatever it likes, while it is being read too.

use std::io::{Error, Result};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

pub use crate::sandbox::calls::{Arch, syscall_name};

/// What a ring takes.
pub const RING_BYTES: usize = 8192;
const WORDS: usize = 16;
const PATH_WORDS: usize = WORDS - 3;
/// The longest path that is kept; a longer one is cut.
pub const PATH_BYTES: usize = PATH_WORDS * 8;
/// How many of the latest violations are kept.
pub const ENTRIES: usize = RING_BYTES / (WORDS * 8) - 1;

/// Who refused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Layer {
    /// A system call.
    Seccomp = 1,
    /// A path, a port, a signal.
    Landlock = 2,
    /// A resource limit.
    Limits = 3,
    /// What is not there at all.
    Namespaces = 4,
}

impl Layer {
    fn of(number: u64) -> Option<Layer> {
        match number {
            1 => Some(Layer::Seccomp),
            2 => Some(Layer::Landlock),
            3 => Some(Layer::Limits),
            4 => Some(Layer::Namespaces),
            _ => None,
        }
    }

    /// Its name on screen.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Layer::Seccomp => "seccomp",
            Layer::Landlock => "landlock",
            Layer::Limits => "limits",
            Layer::Namespaces => "namespaces",
        }
    }
}

/// One thing that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its place in the ring's life, from 1.
    pub number: u64,
    /// Who refused it.
    pub layer: Layer,
    /// The system call.
    pub nr: u32,
    /// What the process got; 0: it was killed for it.
    pub errno: u16,
    /// CLOCK_MONOTONIC.
    pub time_ns: u64,
    /// The path, if there was one; perhaps cut. Untrusted.
    pub path: String,
}

/// `[number, time_ns, nr | errno << 32 | layer << 48 | length << 56, path ...]`; the number is written last.
#[repr(C)]
struct Entry([AtomicU64; WORDS]);

#[repr(C)]
struct Region {
    count: AtomicU64,
    _free: [AtomicU64; WORDS - 1],
    entries: [Entry; ENTRIES],
}

const _: () = assert!(size_of::<Region>() == RING_BYTES);

/// A ring somewhere in memory; a copy is the same ring.
#[derive(Debug, Clone, Copy)]
pub struct Ring(NonNull<Region>);

// SAFETY: everything in the region is atomic, and `Ring::at` asks for memory that stays.
unsafe impl Send for Ring {}
// SAFETY: the same.
unsafe impl Sync for Ring {}

impl Ring {
    /// The ring at an address; memory full of zeros is an empty one. None: the address is null or not a multiple of 8.
    ///
    /// # Safety
    /// `RING_BYTES` from there on are mapped, may be written, and stay so for as long as the ring or a copy is used.
    #[must_use]
    pub unsafe fn at(address: *mut u8) -> Option<Ring> {
        let region = NonNull::new(address.cast::<Region>())?;
        region.is_aligned().then_some(Ring(region))
    }

    /// A ring of its own in anonymous shared memory: a fork writes into the same one. It is never unmapped.
    ///
    /// # Errors
    /// There is no memory.
    pub fn map() -> Result<Ring> {
        let (protection, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
        );
        // SAFETY: a new mapping at an address that the kernel picks touches nothing of ours.
        let address =
            unsafe { libc::mmap(std::ptr::null_mut(), RING_BYTES, protection, flags, -1, 0) };
        if address == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        // SAFETY: it was just mapped with that size, and nobody unmaps it.
        unsafe { Ring::at(address.cast()) }.ok_or_else(|| Error::from_raw_os_error(libc::EINVAL))
    }

    fn region(&self) -> &Region {
        // SAFETY: `at` was promised that the memory is there, aligned (checked), and stays; all of it is atomic.
        unsafe { self.0.as_ref() }
    }

    /// Adds one; the oldest one makes room. Async-signal-safe.
    pub fn push(&self, layer: Layer, nr: u32, errno: u16, path: &[u8]) {
        let region = self.region();
        let number = region.count.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let Some(Entry(words)) = region.entries.get(slot(number)) else {
            return;
        };
        let path = path.get(..PATH_BYTES).unwrap_or(path);
        let [stamp, time, what, rest @ ..] = words;
        stamp.store(0, Ordering::Relaxed);
        std::sync::atomic::fence(Ordering::Release);
        for (at, word) in rest.iter().enumerate() {
            let mut bytes = [0u8; 8];
            for (place, byte) in bytes.iter_mut().zip(path.iter().skip(at * 8)) {
                *place = *byte;
            }
            word.store(u64::from_le_bytes(bytes), Ordering::Relaxed);
        }
        time.store(now_ns(), Ordering::Relaxed);
        let length = (path.len() as u64) << 56;
        let kind = u64::from(nr) | u64::from(errno) << 32 | (layer as u64) << 48;
        what.store(kind | length, Ordering::Relaxed);
        stamp.store(number, Ordering::Release);
    }

    /// How many there have been, as the writer says.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.region().count.load(Ordering::Acquire)
    }

    /// Those that are there and whole, oldest first: at most `ENTRIES`.
    #[must_use]
    pub fn read(&self) -> Vec<Violation> {
        let mut found: Vec<Violation> = self.region().entries.iter().filter_map(read).collect();
        found.sort_by_key(|violation| violation.number);
        found.dedup_by_key(|violation| violation.number);
        found
    }
}

fn slot(number: u64) -> usize {
    usize::try_from(number.wrapping_sub(1) % ENTRIES as u64).unwrap_or(0)
}

fn read(Entry(words): &Entry) -> Option<Violation> {
    let [stamp, time, what, rest @ ..] = words;
    let number = stamp.load(Ordering::Acquire);
    let (time_ns, what) = (
        time.load(Ordering::Relaxed),
        what.load(Ordering::Relaxed).to_le_bytes(),
    );
    let mut path = Vec::with_capacity(PATH_BYTES);
    for word in rest {
        path.extend(word.load(Ordering::Relaxed).to_le_bytes());
    }
    std::sync::atomic::fence(Ordering::Acquire);
    if number == 0 || stamp.load(Ordering::Relaxed) != number {
        return None;
    }
    let [n0, n1, n2, n3, e0, e1, layer, length] = what;
    path.truncate(usize::from(length));
    Some(Violation {
        number,
        layer: Layer::of(u64::from(layer))?,
        nr: u32::from_le_bytes([n0, n1, n2, n3]),
        errno: u16::from_le_bytes([e0, e1]),
        time_ns,
        path: String::from_utf8_lossy(&path).into_owned(),
    })
}

/// CLOCK_MONOTONIC; async-signal-safe.
pub(crate) fn now_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is ours and lives across the call.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let (seconds, rest) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    seconds.wrapping_mul(1_000_000_000).wrapping_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(ring: &Ring) -> Vec<String> {
        ring.read().into_iter().map(|v| v.path).collect()
    }

    #[test]
    fn what_was_pushed_is_read() {
        let ring = Ring::map().unwrap();
        assert!(ring.read().is_empty());
        ring.push(Layer::Seccomp, 41, 1, b"");
        ring.push(Layer::Landlock, 257, 13, b"/etc/passwd");
        let read = ring.read();
        assert_eq!((read[0].number, read[1].number, ring.count()), (1, 2, 2));
        assert_eq!(
            (read[0].layer, read[0].nr, read[0].errno),
            (Layer::Seccomp, 41, 1)
        );
        assert_eq!(
            (read[1].layer, read[1].path.as_str()),
            (Layer::Landlock, "/etc/passwd")
        );
        assert!(read[0].time_ns > 0 && read[0].time_ns <= read[1].time_ns);
    }

    #[test]
    fn the_latest_are_kept_and_long_paths_cut() {
        let ring = Ring::map().unwrap();
        for n in 0..200 {
            ring.push(Layer::Seccomp, n, 1, n.to_string().as_bytes());
        }
        let wanted: Vec<String> = (200 - ENTRIES as u32..200).map(|n| n.to_string()).collect();
        assert_eq!((paths(&ring), ring.count()), (wanted, 200));
        ring.push(Layer::Limits, 0, 0, &[b'x'; 4096]);
        assert_eq!(paths(&ring).pop(), Some("x".repeat(PATH_BYTES)));
    }

    #[test]
    fn whatever_is_scribbled_into_it_is_read_without_harm() {
        let ring = Ring::map().unwrap();
        let region = ring.region();
        let mut seed = 1u64;
        for _ in 0..2_000 {
            for word in region.entries.iter().flat_map(|entry| &entry.0) {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                word.store(seed, Ordering::Relaxed);
            }
            region.count.store(seed, Ordering::Relaxed);
            let read = ring.read();
            assert!(read.len() <= ENTRIES);
            assert!(read.iter().all(|v| v.path.chars().count() <= PATH_BYTES));
            ring.push(Layer::Limits, 7, 7, b"still works");
        }
    }

    #[test]
    fn torn_entries_are_not_read() {
        let ring = Ring::map().unwrap();
        let writer = std::thread::spawn(move || {
            for n in 0..200_000u32 {
                let byte = b'a' + u8::try_from(n % 26).unwrap();
                ring.push(Layer::Seccomp, n % 26, 1, &[byte; PATH_BYTES]);
            }
        });
        while !writer.is_finished() {
            for violation in ring.read() {
                let byte = char::from(b'a' + u8::try_from(violation.nr).unwrap());
                assert!(violation.path.chars().all(|c| c == byte), "{violation:?}");
            }
        }
        writer.join().unwrap();
    }

    #[test]
    fn addresses_that_are_none() {
        // SAFETY: nothing is read from it.
        let null = unsafe { Ring::at(std::ptr::null_mut()) };
        // SAFETY: the same.
        let odd = unsafe { Ring::at(std::ptr::without_provenance_mut(9)) };
        assert!(null.is_none() && odd.is_none());
    }
}
