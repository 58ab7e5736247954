use std::io::Error;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::*;
use crate::violations::Layer;

fn both() -> (Counters, Reader) {
    let (counters, fd) = Counters::create().unwrap();
    let reader = Reader::open(fd.as_raw_fd()).unwrap();
    (counters, reader)
}

#[test]
fn what_is_written_is_read() {
    let (counters, reader) = both();
    assert_eq!(reader.read(), Some(Reading::default()));
    counters.record(120, true);
    counters.record(80, false);
    counters.beat(7, true, Some(4096));
    let read = reader.read().unwrap();
    assert_eq!(
        (read.seq, read.requests, read.latency_us, read.errors),
        (7, 2, 200, 1)
    );
    assert!(read.busy && read.heartbeat_ns > 0 && read.resident_bytes == 4096);
    assert_eq!(
        (reader.latency().total(), reader.latency().quantile(1.0)),
        (2, 120)
    );
    counters.beat(8, false, None);
    let read = reader.read().unwrap();
    assert_eq!((read.busy, read.resident_bytes), (false, 4096));
}

#[test]
fn the_ring_lies_at_the_end() {
    let (counters, reader) = both();
    let ring = counters.ring().unwrap();
    assert!(reader.violations().is_empty());
    ring.push(Layer::Landlock, 257, 13, b"/etc/passwd");
    drop(counters); // the ring stays
    ring.push(Layer::Seccomp, 41, 1, b"");
    let paths: Vec<String> = reader.violations().into_iter().map(|v| v.path).collect();
    assert_eq!(
        (paths, reader.violation_count()),
        (vec!["/etc/passwd".into(), String::new()], 2)
    );
}

#[test]
fn nobody_makes_it_smaller_or_maps_it_to_write() {
    let (_counters, fd) = Counters::create().unwrap();
    for size in [0, 1, REGION_BYTES as i64 * 2] {
        // SAFETY: two numbers.
        let result = unsafe { libc::ftruncate(fd.as_raw_fd(), size) };
        assert_eq!(
            (result, Error::last_os_error().raw_os_error()),
            (-1, Some(libc::EPERM))
        );
    }
    // SAFETY: the name is a C string.
    let loose = unsafe { libc::memfd_create(c"loose".as_ptr(), 0) };
    // SAFETY: the descriptor was just made, and nobody else has it.
    let loose = unsafe { OwnedFd::from_raw_fd(loose) };
    // SAFETY: two numbers.
    let result = unsafe { libc::ftruncate(loose.as_raw_fd(), REGION_BYTES as i64) };
    assert_eq!(result, 0);
    let refused = Reader::open(loose.as_raw_fd()).err().unwrap();
    assert_eq!(refused.raw_os_error(), Some(libc::EINVAL));
    assert!(Reader::open(0).is_err() && Reader::open(-1).is_err());
    let (flags, wanted) = (libc::MAP_SHARED, libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: a new mapping anywhere.
    let again = unsafe { libc::mmap(std::ptr::null_mut(), 4096, wanted, flags, fd.as_raw_fd(), 0) };
    assert_eq!(again, libc::MAP_FAILED);
}

/// Every update adds the same to all: a reading in which they differ would be torn.
#[test]
fn two_processes_lose_nothing_and_no_reading_is_torn() {
    const EACH: u64 = 200_000;
    let (counters, reader) = both();
    // SAFETY: the child calls nothing but `record` and `_exit`, which need no lock of this process.
    let child = unsafe { libc::fork() };
    if child == 0 {
        (0..EACH).for_each(|_| counters.record(1, false));
        // SAFETY: ends this process, without running what belongs to the parent.
        unsafe { libc::_exit(0) };
    }
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (0..EACH).for_each(|_| counters.record(1, false)));
        let mut seen = 0;
        while !writer.is_finished() {
            if let Some(read) = reader.read() {
                assert_eq!(
                    (read.latency_us, read.errors),
                    (read.requests, read.requests)
                );
                assert!(read.requests >= seen);
                seen = read.requests;
            }
        }
    });
    // SAFETY: a child of this test; no status is asked for.
    let ended = unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    assert_eq!(ended, child);
    let read = reader.read().unwrap();
    assert_eq!(
        (read.requests, read.errors, reader.latency().total()),
        (2 * EACH, 2 * EACH, 2 * EACH)
    );
}

#[test]
fn a_writer_that_stands_still_in_the_middle_is_not_waited_for() {
    let (counters, reader) = both();
    counters.record(5, true);
    let guard = Guard::take(&counters.mapping.get().counters.lock);
    assert_eq!(reader.read(), None);
    drop(guard);
    assert_eq!(reader.read().unwrap().requests, 1);
}

#[test]
fn whatever_is_scribbled_into_it_is_read_without_harm() {
    let (counters, reader) = both();
    let start = counters.mapping.address();
    for filling in [0xffu8, 0xfe, 0x55, 0xaa] {
        // SAFETY: the whole region is mapped to be written, and nobody else writes.
        unsafe { std::ptr::write_bytes(start, filling, REGION_BYTES) };
        let _ = (
            reader.read(),
            reader.latency().quantile(0.99),
            reader.violation_count(),
        );
        assert!(reader.violations().len() < 100);
    }
}
