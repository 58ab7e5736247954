"""Shared counters: nothing is lost, nothing is torn, nobody takes the memory away."""

from __future__ import annotations

import errno
import mmap
import os
import random
import select
import threading
from collections.abc import Iterator

import pytest

from o_tui import _native

EACH = 50_000
READINGS = 2_000


@pytest.fixture
def both() -> Iterator[tuple[_native.SharedCounters, _native.SharedReader]]:
    counters = _native.SharedCounters()
    shared = counters.detach_fd()
    reader = _native.SharedReader(shared)
    os.close(shared)
    yield counters, reader


Both = tuple[_native.SharedCounters, _native.SharedReader]


def test_what_is_written_is_read(both: Both) -> None:
    counters, reader = both
    empty = reader.read()
    assert empty is not None and (empty.requests, empty.heartbeat_ns, empty.busy) == (0, 0, False)
    counters.record(250, True)
    counters.record(750, False)
    counters.beat(41, True, 1 << 30)
    read = reader.read()
    assert read is not None
    assert (read.seq, read.requests, read.latency_us, read.errors) == (41, 2, 1000, 1)
    assert (read.busy, read.resident_bytes) == (True, 1 << 30) and read.heartbeat_ns > 0
    assert (reader.violations(), reader.violation_count()) == ([], 0)


def test_two_processes_and_two_threads_lose_nothing_and_no_reading_is_torn(both: Both) -> None:
    counters, reader = both
    stop, stopped = os.pipe()
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(stopped)
        count = 0
        while not select.select([stop], [], [], 0)[0]:
            for _ in range(1_000):
                counters.record(3, False)
            count += 1_000
            if count == 1_000:
                os.write(tell, b"begun")
        os.write(tell, str(count).encode())
        os._exit(0)
    assert os.read(told, 5) == b"begun"

    def hammer() -> None:
        for _ in range(EACH):
            counters.record(3, False)

    threads = [threading.Thread(target=hammer) for _ in range(2)]
    for thread in threads:
        thread.start()
    readings = 0
    while readings < READINGS or any(thread.is_alive() for thread in threads):
        read = reader.read()
        if read is not None:
            readings += 1
            assert (read.latency_us, read.errors) == (3 * read.requests, read.requests)
    os.close(stopped)
    others = int(os.read(told, 100))
    os.waitpid(child, 0)
    for descriptor in (stop, told, tell):
        os.close(descriptor)
    last = reader.read()
    assert last is not None and others > 0
    count = 2 * EACH + others
    assert (last.requests, last.errors, reader.latency_us(())[0]) == (count, count, count)


def test_latencies_are_known_to_one_per_cent(both: Both) -> None:
    counters, reader = both
    chooser = random.Random(5)
    values = sorted(int(10 ** chooser.uniform(1.5, 7)) for _ in range(20_000))
    for value in values:
        counters.record(value, True)
    shares = (0.5, 0.9, 0.99, 0.999)
    count, found = reader.latency_us(shares)
    assert count == len(values)
    for share, value in zip(shares, found, strict=True):
        assert value == pytest.approx(values[int(share * len(values)) - 1], rel=0.01)


def test_the_memory_cannot_be_taken_away_or_written_by_others() -> None:
    counters = _native.SharedCounters()
    shared = counters.detach_fd()
    try:
        size = os.fstat(shared).st_size
        for wanted in (0, size // 2, size * 2):
            with pytest.raises(PermissionError):
                os.ftruncate(shared, wanted)
        with pytest.raises(PermissionError):
            mmap.mmap(shared, size)
        with pytest.raises(PermissionError):
            os.pwrite(shared, b"x", 0)
        with pytest.raises(ValueError, match="detached"):
            counters.detach_fd()
    finally:
        os.close(shared)


def test_a_region_that_could_shrink_is_not_read() -> None:
    size = os.fstat(shared := _native.SharedCounters().detach_fd()).st_size
    loose = os.memfd_create("loose", os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(loose, size)
        with pytest.raises(OSError) as refused:
            _native.SharedReader(loose)
        assert refused.value.errno == errno.EINVAL
        with pytest.raises(OSError):
            _native.SharedReader(-1)
    finally:
        os.close(loose)
        os.close(shared)
