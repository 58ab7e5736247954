"""Hangs are seen by beats that are missing; work, a busy machine and a guardian's own absence are no hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from o_tui import _native
from o_tui.guardian.fleet.pulse import BEAT_NS, Pulse, wants_to_run
from tests.support.patience import PATIENCE_S


@dataclass
class Stub:
    name: str
    pid: int
    counters: _native.SharedReader


class Bench:
    """One process that sleeps, its counters in our hands, and a clock of ours."""

    def __init__(self, pid: int, death_s: float = 5.0) -> None:
        self.own = _native.SharedCounters()
        shared = self.own.detach_fd()
        self.stub = Stub("main-1", pid, _native.SharedReader(shared))
        os.close(shared)
        self.hangs: list[tuple[str, float]] = []
        self.now_ns = time.monotonic_ns()
        self.pulse = Pulse(lambda: [self.stub], lambda *hang: self.hangs.append(hang), death_s, lambda: self.now_ns)

    def look_for(self, beats: float) -> int:
        """Looks every half beat; returns when the next look would be due."""
        due_ns = 0
        for _ in range(int(beats * 2)):
            self.now_ns += BEAT_NS // 2
            due_ns = self.pulse.look()
        return due_ns


@pytest.fixture
def sleeper() -> Iterator[int]:
    process = subprocess.Popen(["sleep", "600"])
    deadline_s = time.monotonic() + PATIENCE_S
    while wants_to_run(process.pid) and time.monotonic() < deadline_s:  # until it has begun to sleep
        time.sleep(0.001)
    yield process.pid
    process.kill()
    process.wait()


def test_three_beats_missed_are_told_once(sleeper: int) -> None:
    bench = Bench(sleeper)
    bench.own.beat(1, False)
    assert bench.look_for(2.5) < BEAT_NS and not bench.hangs
    bench.look_for(10)
    assert [name for name, _ in bench.hangs] == ["main-1"]
    assert 0.15 <= bench.hangs[0][1] <= 0.2


def test_who_works_or_has_not_begun_may_be_silent(sleeper: int) -> None:
    bench = Bench(sleeper)
    bench.look_for(20)
    bench.own.beat(1, True)
    bench.look_for(20)
    assert not bench.hangs


def test_who_waits_for_a_processor_is_not_hung() -> None:
    process = subprocess.Popen(["sh", "-c", "while :; do :; done"])
    try:
        while not wants_to_run(process.pid):
            time.sleep(0.001)
        bench = Bench(process.pid)
        bench.own.beat(1, False)
        bench.look_for(20)
        assert not bench.hangs
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        bench.look_for(1)
        assert bench.hangs
    finally:
        process.kill()
        process.wait()
    assert wants_to_run(process.pid)  # it has ended: that is seen elsewhere


def test_who_beats_while_the_system_is_asked_is_not_hung(sleeper: int) -> None:
    bench = Bench(sleeper)
    bench.own.beat(1, False)
    asked = []

    class Late(Stub):
        def __getattribute__(self, name: str) -> object:
            if name == "pid":  # it gets its processor now, beats, and sleeps again
                asked.append(bench.own.beat(1, False))
            return object.__getattribute__(self, name)

    bench.stub = Late("main-1", sleeper, bench.stub.counters)
    while len(asked) < 2 and not bench.hangs:
        time.sleep(0.02)
        bench.now_ns = time.monotonic_ns()
        bench.pulse.look()
    assert not bench.hangs


def test_the_guardians_own_absence_is_nobodys_silence(sleeper: int) -> None:
    bench = Bench(sleeper)
    bench.own.beat(1, False)
    bench.look_for(1)
    bench.now_ns += 100 * BEAT_NS
    bench.pulse.look()
    assert not bench.hangs
    bench.look_for(4)
    assert bench.hangs


def test_a_patient_operator_is_heard(sleeper: int) -> None:
    bench = Bench(sleeper, death_s=600)
    bench.own.beat(1, False)
    bench.look_for(300)
    assert not bench.hangs


def test_a_beat_in_the_future_is_no_error(sleeper: int) -> None:
    bench = Bench(sleeper)
    bench.now_ns = 5
    bench.own.beat(1, False)
    assert bench.pulse.look() == BEAT_NS
