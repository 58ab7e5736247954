"""Heartbeat deadlines under virtual time, and the monitor on a loop."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_tui.guardian.fleet.health import Deadlines, HealthMonitor
from tests.support.patience import PATIENCE_S

S = 10**9


def looks(deadlines: Deadlines, start_s: int, end_s: int) -> list[tuple[str, str, int]]:
    return [news for second in range(start_s, end_s + 1) for news in deadlines.look(second * S)]


def test_late_after_two_heartbeats_dead_after_five_seconds_each_told_once() -> None:
    deadlines = Deadlines(S, 5 * S)
    deadlines.watch("main", 0)
    assert looks(deadlines, 0, 9) == [("main", "late", 2 * S), ("main", "dead", 5 * S)]


def test_who_is_heard_is_alive() -> None:
    deadlines = Deadlines(S, 5 * S)
    deadlines.watch("main", 0)
    for second in range(60):
        deadlines.beat("main", second * S)
        assert deadlines.look(second * S) == []


def test_late_and_back_again() -> None:
    deadlines = Deadlines(S, 5 * S)
    deadlines.watch("main", 0)
    assert looks(deadlines, 0, 3) == [("main", "late", 2 * S)]
    assert deadlines.beat("main", 3 * S)
    assert not deadlines.beat("main", 3 * S)
    assert looks(deadlines, 4, 5) == [("main", "late", 2 * S)]


def test_who_is_forgotten_may_be_silent() -> None:
    deadlines = Deadlines(S, 5 * S)
    deadlines.watch("main", 0)
    deadlines.forget("main")
    assert looks(deadlines, 0, 9) == []
    assert not deadlines.beat("main", 9 * S)


def test_the_watchers_own_absence_is_not_silence_of_the_others() -> None:
    deadlines = Deadlines(S, 5 * S)
    deadlines.watch("main", 0)
    looks(deadlines, 0, 1)
    assert deadlines.look(3600 * S) == []
    assert looks(deadlines, 3601, 3604) == [("main", "late", 2 * S), ("main", "dead", 5 * S)]


@given(st.lists(st.integers(1, 2000), max_size=60))
def test_nobody_dies_who_is_heard_in_time(gaps_ms: list[int]) -> None:
    deadlines = Deadlines(S, 5 * S)
    now = 0
    deadlines.watch("main", now)
    for gap in gaps_ms:
        now += gap * 1_000_000
        assert "dead" not in {pulse for _, pulse, _ in deadlines.look(now)}
        deadlines.beat("main", now)


@given(st.integers(0, 900), st.integers(0, 2000))
def test_death_is_seen_within_a_twentieth_of_a_heartbeat(offset_ms: int, beat_ms: int) -> None:
    deadlines = Deadlines(S, 5 * S)
    now = offset_ms * 1_000_000
    deadlines.watch("main", now)
    deadlines.beat("main", now + beat_ms * 1_000_000)
    due = now + beat_ms * 1_000_000 + 5 * S
    while True:
        news = deadlines.look(now)
        if any(pulse == "dead" for _, pulse, _ in news):
            break
        now = deadlines.next_look_ns(now)
    assert due <= now <= due + S // 20


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="after at least one heartbeat"):
        Deadlines(2, 1)


async def test_the_monitor_tells_of_the_silent_one_only() -> None:
    dead: asyncio.Future[tuple[str, float]] = asyncio.get_running_loop().create_future()
    late: list[str] = []
    monitor = HealthMonitor(
        0.02, 0.1, lambda name, silence_s: dead.set_result((name, silence_s)), lambda name, _: late.append(name)
    )
    monitor.start()
    monitor.watch("quiet")
    monitor.watch("loud")
    loop = asyncio.get_running_loop()
    beats: list[asyncio.TimerHandle] = []

    def beat() -> None:
        monitor.beat("loud")
        beats[:] = [loop.call_later(0.01, beat)]

    beat()
    name, silence_s = await asyncio.wait_for(dead, PATIENCE_S)
    beats[0].cancel()
    assert name == "quiet" and silence_s >= 0.1
    assert "quiet" in late
    monitor.stop()
