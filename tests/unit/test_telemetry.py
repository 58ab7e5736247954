"""Counters, histograms and the loop's lateness."""

from __future__ import annotations

import asyncio
import time

from hypothesis import given
from hypothesis import strategies as st

from o_tui.guardian.telemetry import Histogram, LoopMonitor, Stopwatch, Telemetry, bucket_of, lower_bound
from tests.support.patience import PATIENCE_S


@given(st.integers(0, 2**62))
def test_a_value_lies_in_its_bucket_and_buckets_are_narrow(value: int) -> None:
    bucket = bucket_of(value)
    assert lower_bound(bucket) <= value < lower_bound(bucket + 1)
    assert lower_bound(bucket + 1) - lower_bound(bucket) <= max(1, value / 8)


@given(st.lists(st.integers(0, 10**11), min_size=1, max_size=300), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_quantiles_are_at_most_an_eighth_too_large(values: list[int], share: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    exact = sorted(values)[max(0, -(-int(share * 1000) * len(values) // 1000) - 1)]
    assert exact <= histogram.quantile_ns(share) <= exact * 9 / 8 + 1
    assert histogram.quantile_ns(1.0) == max(values)


def test_an_empty_histogram_is_all_zeros() -> None:
    assert set(Histogram().summary().values()) == {0}


def test_merge_adds() -> None:
    one, two = Histogram(), Histogram()
    one.record(1_000_000)
    two.record(3_000_000)
    one.merge(two)
    assert (one.count, one.sum_ns, one.max_ns) == (2, 4_000_000, 3_000_000)


def test_prometheus_text() -> None:
    telemetry = Telemetry()
    telemetry.counter("o_frames_total", "Frames.", peer='ma"in').add(3)
    telemetry.gauge("o_views", "Views.", lambda: 2)
    histogram = telemetry.histogram("o_request_seconds", "Requests.")
    histogram.record(100_000)
    histogram.record(-5)
    text = telemetry.prometheus()
    assert '# TYPE o_frames_total counter\no_frames_total{peer="ma\\"in"} 3\n' in text
    assert "o_views 2\n" in text
    assert 'o_request_seconds_bucket{le="6.5536e-05"} 1\n' in text
    assert 'o_request_seconds_bucket{le="0.000131072"} 2\n' in text
    assert 'o_request_seconds_bucket{le="+Inf"} 2\n' in text
    assert "o_request_seconds_sum 0.0001\n" in text
    assert telemetry.counter("o_frames_total", "Frames.", peer='ma"in').value == 3, "the same one again"
    assert telemetry.snapshot()["o_views"] == 2


def test_a_stopwatch_records() -> None:
    histogram = Histogram()
    with Stopwatch(histogram):
        pass
    assert histogram.count == 1


class Told(Histogram):
    """A histogram that lets a test await its next observation."""

    def __init__(self) -> None:
        super().__init__()
        self.told = asyncio.Event()

    def record(self, duration_ns: int) -> None:
        super().record(duration_ns)
        self.told.set()

    async def next(self) -> None:
        self.told.clear()
        await asyncio.wait_for(self.told.wait(), PATIENCE_S)


async def test_the_monitor_sees_a_blocked_loop() -> None:
    delays = Told()
    monitor = LoopMonitor(delays)
    monitor.start()
    await delays.next()
    time.sleep(0.1)
    await delays.next()
    monitor.stop()
    assert monitor.summary()["max_ms"] >= 75
    assert delays.max_ns >= 75_000_000
