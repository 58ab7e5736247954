"""Shared counters: an update from Python, and what concurrent updates lose, beside `struct` on an anonymous mmap.

`python -m tests.benchmarks.bench_shared [--json]`; the peer counts the same four things (requests, latency, errors, a
bucket of a histogram) in plain Python.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Callable

from o_tui import _native
from tests.benchmarks import report
from tests.benchmarks.report import Figure, median

UPDATES = 300_000
ROUNDS = 7
HAMMER = 200_000
_COUNTERS = struct.Struct("QQQ")
_BUCKET = struct.Struct("Q")
PEER = "struct on mmap"


class Plain:
    """The peer: the same in pure Python, shared by a fork."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 1 << 16)

    def record(self, latency_us: int, ok: bool) -> None:
        """One request has ended."""
        memory = self.memory
        requests, latency, errors = _COUNTERS.unpack_from(memory, 0)
        _COUNTERS.pack_into(memory, 0, requests + 1, latency + latency_us, errors + (not ok))
        at = 64 + 8 * latency_us.bit_length()
        _BUCKET.pack_into(memory, at, _BUCKET.unpack_from(memory, at)[0] + 1)

    def requests(self) -> int:
        """How many it has counted."""
        return int(_COUNTERS.unpack_from(self.memory, 0)[0])


def update_ns(record: Callable[[int, bool], None]) -> float:
    """Nanoseconds for one update, the loop included."""
    start = time.perf_counter_ns()
    for _ in range(UPDATES):
        record(37, True)
    return (time.perf_counter_ns() - start) / UPDATES


def lost(record: Callable[[int, bool], None], count: Callable[[], int]) -> float:
    """Per cent of the updates of two processes at once that are not counted, at most 100.

    (`pack_into` clears its place before it fills it: who reads between begins again from zero.)
    """
    before = count()
    child = os.fork()
    for _ in range(HAMMER):
        record(37, True)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return min(100.0, 100 * (1 - (count() - before) / (2 * HAMMER)))


def figures() -> list[Figure]:
    """Everything, in turns."""
    counters, plain = _native.SharedCounters(), Plain()
    shared = counters.detach_fd()
    reader = _native.SharedReader(shared)
    os.close(shared)

    def counted() -> int:
        reading = reader.read()
        assert reading is not None
        return reading.requests

    ours, peers, ours_lost, peers_lost = [], [], [], []
    for _ in range(ROUNDS):
        ours.append(update_ns(counters.record))
        peers.append(update_ns(plain.record))
        ours_lost.append(lost(counters.record, counted))
        peers_lost.append(lost(plain.record, plain.requests))
    start = time.perf_counter_ns()
    for _ in range(UPDATES):
        reader.read()
    read_ns = (time.perf_counter_ns() - start) / UPDATES
    return [
        Figure("an update from Python", median(ours), "ns", 100, "max", f"{PEER}, ns", median(peers)),
        Figure("… lost under two processes", max(ours_lost), "%", 0, "max", f"{PEER}, %", median(peers_lost)),
        Figure("a reading", read_ns, "ns"),
    ]


if __name__ == "__main__":
    report.main(figures)
