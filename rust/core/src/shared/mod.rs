//! Shared counters: one region of memory for each instance, that it writes and the guardian reads without a frame.
//!
//! The seeds' `SharedState` (sequence number, total requests, total latency, error count) without their index of blocks
//! in an arena, as there is no arena, but with a heartbeat, the resident size, a latency histogram, and at the end the
//! ring of violations.
//!
//! It lies in a sealed memfd: nobody can make it smaller, so that no reader dies of SIGBUS, and after the seal nobody
//! can map it to write any more. One process writes a region, with any number of threads. What is read is metrics,
//! never truth: whoever writes may write anything, and the reader takes every value as it comes.

pub mod histogram;
mod memory;

use std::io::Result;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::violations::{RING_BYTES, Ring, Violation};
use histogram::Histogram;
use memory::Mapping;

/// What a region takes.
pub const REGION_BYTES: usize = size_of::<Region>();
/// How often a reader tries before it says that the writer is in the middle of something.
const TRIES: u32 = 2_000;
/// After so many looks at a lock that is held, the processor is given away.
const SPINS: u32 = 100;

/// Everything that is read as one, in whole words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// The last entry of the log that is applied there.
    pub seq: u64,
    /// Requests that have ended.
    pub requests: u64,
    /// What they took, added up, in microseconds.
    pub latency_us: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// CLOCK_MONOTONIC of the last heartbeat; 0: none yet.
    pub heartbeat_ns: u64,
    /// Whether it may be silent for a while: it is inside a gene.
    pub busy: bool,
    /// The most memory that it has had resident, in bytes.
    pub resident_bytes: u64,
}

const WORDS: usize = 7;

/// A sequence lock: odd while somebody writes; who reads sees the same even number before and after.
#[repr(C, align(64))]
struct Locked {
    lock: AtomicU64,
    words: [AtomicU64; WORDS],
}

#[repr(C, align(4096))]
struct Region {
    counters: Locked,
    latency: Histogram,
    ring: RingSpace,
}

/// The last bytes of a region belong to `violations`.
#[repr(C, align(4096))]
struct RingSpace([u8; RING_BYTES]);

const _: () = assert!(std::mem::offset_of!(Region, ring) + RING_BYTES == REGION_BYTES);

/// Holds a lock until it is dropped.
struct Guard<'region>(&'region AtomicU64, u64);

impl Guard<'_> {
    fn take(lock: &AtomicU64) -> Guard<'_> {
        let mut spins = 0;
        loop {
            let seen = lock.load(Ordering::Relaxed);
            let free = seen.is_multiple_of(2);
            if free
                && lock
                    .compare_exchange_weak(
                        seen,
                        seen.wrapping_add(1),
                        Ordering::Acquire,
                        Ordering::Relaxed,
                    )
                    .is_ok()
            {
                // what is written now may not be seen before the odd number
                fence(Ordering::Release);
                return Guard(lock, seen);
            }
            spins += 1;
            if spins % SPINS == 0 {
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.store(self.1.wrapping_add(2), Ordering::Release);
    }
}

/// What `look` saw while nobody wrote; None: somebody always did.
fn whole<T>(lock: &AtomicU64, mut look: impl FnMut() -> T) -> Option<T> {
    for _ in 0..TRIES {
        let before = lock.load(Ordering::Acquire);
        if before.is_multiple_of(2) {
            let seen = look();
            fence(Ordering::Acquire);
            if lock.load(Ordering::Relaxed) == before {
                return Some(seen);
            }
        }
        std::hint::spin_loop();
    }
    None
}

impl Region {
    fn add(&self, latency_us: u64, ok: bool) {
        {
            let _guard = Guard::take(&self.counters.lock);
            let [_, requests, latency, errors, ..] = &self.counters.words;
            raise(requests, 1);
            raise(latency, latency_us);
            raise(errors, u64::from(!ok));
        }
        self.latency.record(latency_us);
    }

    fn beat(&self, seq: u64, busy: bool, now_ns: u64, resident_bytes: Option<u64>) {
        let _guard = Guard::take(&self.counters.lock);
        let [applied, _, _, _, heartbeat, silent, resident] = &self.counters.words;
        applied.store(seq, Ordering::Relaxed);
        heartbeat.store(now_ns, Ordering::Relaxed);
        silent.store(u64::from(busy), Ordering::Relaxed);
        if let Some(bytes) = resident_bytes {
            resident.store(bytes, Ordering::Relaxed);
        }
    }

    fn read(&self) -> Option<Reading> {
        whole(&self.counters.lock, || {
            let [
                seq,
                requests,
                latency_us,
                errors,
                heartbeat_ns,
                busy,
                resident_bytes,
            ] = self
                .counters
                .words
                .each_ref()
                .map(|word| word.load(Ordering::Relaxed));
            Reading {
                seq,
                requests,
                latency_us,
                errors,
                heartbeat_ns,
                busy: busy != 0,
                resident_bytes,
            }
        })
    }
}

/// Adds to a word that only the holder of the lock writes.
fn raise(word: &AtomicU64, by: u64) {
    word.store(
        word.load(Ordering::Relaxed).wrapping_add(by),
        Ordering::Relaxed,
    );
}

/// The writing end.
pub struct Counters {
    mapping: Mapping<Region>,
}

impl Counters {
    /// A new region full of zeros, and its descriptor for the reader; sealed.
    ///
    /// # Errors
    /// No memory, no descriptor, or a kernel without memfd (a confined process).
    pub fn create() -> Result<(Counters, OwnedFd)> {
        let (mapping, fd) = Mapping::create()?;
        Ok((Counters { mapping }, fd))
    }

    /// One request has ended.
    pub fn record(&self, latency_us: u64, ok: bool) {
        self.mapping.get().add(latency_us, ok);
    }

    /// It lives: it has applied the log up to `seq`, and is `busy` where it may be silent from here on.
    pub fn beat(&self, seq: u64, busy: bool, resident_bytes: Option<u64>) {
        let now_ns = crate::violations::now_ns();
        self.mapping.get().beat(seq, busy, now_ns, resident_bytes);
    }

    /// What a reader would see.
    #[must_use]
    pub fn read(&self) -> Option<Reading> {
        self.mapping.get().read()
    }

    /// The ring of violations at its end. From here on the region stays mapped until the process ends.
    #[must_use]
    pub fn ring(&self) -> Option<Ring> {
        self.mapping.keep();
        let start = self
            .mapping
            .address()
            .wrapping_add(REGION_BYTES - RING_BYTES);
        // SAFETY: the mapping is `REGION_BYTES` long, may be written, and was just told to stay.
        unsafe { Ring::at(start) }
    }
}

/// The reading end.
pub struct Reader {
    mapping: Mapping<Region>,
}

impl Reader {
    /// Maps a region to read it; the descriptor stays the caller's, and may be closed then.
    ///
    /// # Errors
    /// The descriptor is no sealed region: EINVAL, EBADF.
    pub fn open(fd: RawFd) -> Result<Reader> {
        Ok(Reader {
            mapping: Mapping::open(fd)?,
        })
    }

    /// The counters as they were together at one moment; None: the writer stands in the middle of an update.
    #[must_use]
    pub fn read(&self) -> Option<Reading> {
        self.mapping.get().read()
    }

    /// The latencies.
    #[must_use]
    pub fn latency(&self) -> histogram::Counts {
        self.mapping.get().latency.read()
    }

    /// What was refused, oldest first: the latest ones.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.ring().map_or_else(Vec::new, |ring| ring.read())
    }

    /// How many have been refused, as the writer says.
    #[must_use]
    pub fn violation_count(&self) -> u64 {
        self.ring().map_or(0, |ring| ring.count())
    }

    fn ring(&self) -> Option<Ring> {
        let start = self
            .mapping
            .address()
            .wrapping_add(REGION_BYTES - RING_BYTES);
        // SAFETY: the mapping is `REGION_BYTES` long; who calls this only reads, while `self` is borrowed.
        unsafe { Ring::at(start) }
    }
}

#[cfg(test)]
mod tests;
