"""The agent alone, without a guardian: operations, echo through the bridge, the fork server's start, an idle instance.

`python -m tests.benchmarks.bench_agent [--json]`; the state has some 41 MB: 21,500 memories of 30 words.
"""

from __future__ import annotations

import hashlib
import os
import random
import socket
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from o_tui import _native
from o_tui.agent import instance, reducers
from o_tui.agent.memory import MemorySearch
from o_tui.agent.state import State
from o_tui.protocol import checkpoint, frames, messages, operations
from tests.benchmarks import report
from tests.benchmarks.report import Figure, median
from tests.support.agents import ECHO, SEED
from tests.support.nursery_driver import NurseryProcess, Peer, genome_files

BLOCKS = 21_500
OPERATIONS = 1_000
IN_FLIGHT = 128
REQUESTS = 50_000
ROUNDS = 5
IDLE_S = 2.5
SYLLABLES = (
    "ka",
    "lo",
    "mi",
    "nu",
    "se",
    "ta",
    "ri",
    "po",
    "ve",
    "du",
    "an",
    "er",
    "is",
    "ol",
    "um",
    "ek",
    "ba",
    "fi",
    "go",
    "he",
)
WORDS = [f"{a}{b}{c}" for a in SYLLABLES for b in SYLLABLES for c in SYLLABLES]


def additions(state: State, count: int, chooser: random.Random) -> list[bytes]:
    """`count` entries that add memories."""
    packed = []
    for seq in range(state.seq + 1, state.seq + 1 + count):
        operation = operations.MemoryAdd(
            id=f"{chooser.getrandbits(128):032x}.0",
            kind="short_term",
            text=" ".join(chooser.choices(WORDS, k=30)),
            context=" ".join(chooser.choices(WORDS, k=20)),
            source="chat",
            time_ns=seq,
            importance=0.5,
        )
        name, data = operations.pack(operation)
        packed.append(operations.pack_entry(operations.Entry(seq, seq, 1, "r", 0, name, data)))
    return packed


def large_state(chooser: random.Random) -> State:
    """A state of some 41 MB."""
    state = State.empty()
    while state.seq < BLOCKS:
        reducers.apply_all(state, additions(state, 500, chooser))
    return state


def timed_ms(work: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def state_figures(state: State, chooser: random.Random) -> list[Figure]:
    """Operations one by one and together, a search, and the sections."""
    single: list[float] = []
    together, search, restore = [], [], []
    sections = state.sections()
    for _ in range(ROUNDS):
        restore.append(timed_ms(lambda: State.from_sections(sections)))
        copy = State.from_sections(sections)
        one_by_one = additions(copy, OPERATIONS, chooser)
        single += [timed_ms(lambda: reducers.apply(copy, entry)) * 1000 for entry in one_by_one]  # noqa: B023
        batch = additions(copy, OPERATIONS, chooser)
        together.append(timed_ms(lambda: reducers.apply_all(copy, batch)))  # noqa: B023
        memory = MemorySearch(copy)
        query = " ".join(chooser.choices(WORDS, k=6))
        search.append(timed_ms(lambda: (memory.lexical(query, 40), memory.semantic(query, 40))))  # noqa: B023
    return [
        Figure("memory_add applied to 41 MB of state, one a transaction, p50", median(single), "us", 100),
        Figure("the same, mean (the index merges now and then)", sum(single) / len(single), "us", 200),
        Figure("1,000 operations applied in one transaction", median(together), "ms", 100),
        Figure("both searches over 21,500 memories", median(search), "ms", 20),
        Figure("41 MB of state restored from its sections", median(restore), "ms", 100),
    ]


class Echo:
    """An instance in a child process with the echo genome, and our end of its socket."""

    def __init__(self) -> None:
        self.sock, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            self.sock.close()
            os._exit(instance.run(theirs, State.empty(), "main"))
        theirs.close()
        self._reader = frames.FrameReader()
        load = messages.LoadGenome(revision="a" * 40, version="1", files=genome_files(ECHO))
        self.sock.sendall(frames.encode(load))
        while not any(b"aaaaaaaa" in payload for payload in self.payloads()):
            pass

    def payloads(self) -> list[bytes]:
        """What one read brings."""
        return self._reader.feed(self.sock.recv(1 << 18))

    def answers(self) -> int:
        """How many requests one read ends."""
        return sum(b"done" in payload[:16] for payload in self.payloads())

    def drive(self, requests: list[bytes], in_flight: int) -> float:
        """Requests per second with so many in flight."""
        sent = got = 0
        start = time.perf_counter()
        while got < len(requests):
            room = min(in_flight - (sent - got), len(requests) - sent)
            if room:
                self.sock.sendall(b"".join(requests[sent : sent + room]))
                sent += room
            got += self.answers()
        return len(requests) / (time.perf_counter() - start)

    def close(self) -> None:
        """Its end."""
        self.sock.close()
        os.waitpid(self.pid, 0)


def echo_figures() -> list[Figure]:
    """The bridge and the kernel at full rate, and one request at a time."""
    requests = [
        frames.encode(messages.ProcessRequest(text="hello " * 30), frames.Metadata(request_id=f"{number:032x}"))
        for number in range(REQUESTS)
    ]
    echo = Echo()
    try:
        rates = [echo.drive(requests, IN_FLIGHT) for _ in range(ROUNDS)]
        alone = [1e6 / echo.drive(requests[:5_000], 1) for _ in range(ROUNDS)]
    finally:
        echo.close()
    return [
        Figure("echo requests through bridge and kernel, 128 in flight", round(median(rates)), "/s", 40_000, "min"),
        Figure("one echo request at a time", median(alone), "us", 200),
    ]


def nursery_figures(state: State) -> list[Figure]:
    """Start to ready, a fork's way to its genome, and what an idle instance costs."""
    with tempfile.TemporaryDirectory(prefix="o-") as folder:
        file = Path(folder) / "state.ckpt"
        header = checkpoint.Header(uuid.uuid4(), 1, state.seq, 0, 0, b"", state.digest)
        with file.open("wb") as opened:
            checkpoint.write(opened, state.sections(), header)
        empty = [_start_ms(None) for _ in range(ROUNDS)]
        full = [_start_ms(file) for _ in range(ROUNDS)]
        forks = _forks(file)
    found = [
        Figure("fork server's start to ready, empty state", median(empty), "ms", 150),
        Figure("the same with a checkpoint of 41 MB", median(full), "ms", 300),
        Figure("fork to a loaded seed genome", median(forks.first), "ms", 60),
        Figure("… once the nursery had a quiet beat, and has compiled it", median(forks.prepared), "ms", 60),
    ]
    if forks.idle:
        found.append(Figure("an idle instance (PSS; main, standby and nursery alive)", max(forks.idle), "MB", 25))
    return found


def _start_ms(file: Path | None) -> float:
    start = time.perf_counter()
    nursery = NurseryProcess()
    nursery.restore(file)
    elapsed = (time.perf_counter() - start) * 1000
    nursery.close()
    return elapsed


class Forks(NamedTuple):
    """What `_forks` measures: ms until a genome is loaded, at once and after a quiet beat; MB of an idle instance."""

    first: list[float]
    prepared: list[float]
    idle: list[float]


def _forks(file: Path) -> Forks:
    nursery = NurseryProcess()
    nursery.restore(file)
    first = [_fork(nursery, f"i{number}") for number in range(ROUNDS)]
    for _ms, peer, _pid in first[2:]:
        peer.sock.close()
        nursery.answer()
    time.sleep(IDLE_S)  # heartbeats go by: idle is what it is after some of them
    try:
        idle = [_native.process_rss_pss(pid)[1] / 1e6 for _ms, _peer, pid in first[:2]]
    except PermissionError:
        idle = []  # an instance is not dumpable: only root may look into it
    later = [_fork(nursery, f"j{number}") for number in range(ROUNDS)]
    nursery.close()
    return Forks([ms for ms, _peer, _pid in first], [ms for ms, _peer, _pid in later], idle)


def _fork(nursery: NurseryProcess, name: str) -> tuple[float, Peer, int]:
    start = time.perf_counter()
    peer, forked, _pidfd = nursery.fork("standby", name)
    revision = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()
    peer.send(messages.LoadGenome(revision=revision, version="1", files=genome_files(SEED)))
    while not peer.expect(messages.Ready).revision:
        pass
    return (time.perf_counter() - start) * 1000, peer, forked.pid


def figures() -> list[Figure]:
    """All of them."""
    chooser = random.Random(1)
    state = large_state(chooser)
    return [
        Figure(figure.what, round(figure.ours, 2), figure.unit, figure.must, figure.sense)
        for figure in [*state_figures(state, chooser), *echo_figures(), *nursery_figures(state)]
    ]


@pytest.mark.benchmark
def test_the_agent_keeps_its_limits() -> None:
    missed = [figure for figure in figures() if not figure.ok]
    assert not missed, missed


if __name__ == "__main__":
    report.main(figures)
