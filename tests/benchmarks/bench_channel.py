"""Framed echo over a socketpair to another process reaches its rate (o_tui/bench/channel.py says how)."""

from __future__ import annotations

import statistics

import pytest

from o_tui.bench.channel import FRAMES, IN_FLIGHT, measure


@pytest.mark.benchmark
def test_echo_reaches_its_rate() -> None:
    runs = [measure() for _ in range(5)]
    assert statistics.median(run["per_s"] for run in runs) >= 50_000, runs


if __name__ == "__main__":
    for flight in (1, IN_FLIGHT):
        print(flight, [measure(FRAMES if flight > 1 else 10_000, flight) for _ in range(5)])
