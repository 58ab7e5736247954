"""Numbers about the guardian: counters, gauges, latency histograms, and how late its loop is.

A histogram has eight buckets an octave (so a quantile is at most 12.5 % off), a fixed size, and costs one addition
an observation. `Telemetry.prometheus()` is the text format 0.0.4.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

_BUCKETS = 512
_FIRST_OCTAVE, _LAST_OCTAVE = 16, 34
"""Prometheus sees powers of two from 66 µs to 17 s: they are bucket borders, so the counts are exact."""


def bucket_of(value: int) -> int:
    """The bucket of a value >= 0: values below 16 have their own, above there are eight an octave."""
    shift = value.bit_length() - 4
    if shift <= 0:
        return value
    return min((shift << 3) + (value >> shift), _BUCKETS - 1)


def lower_bound(bucket: int) -> int:
    """The least value of a bucket."""
    if bucket < 16:
        return bucket
    shift = (bucket >> 3) - 1
    return ((bucket & 7) + 8) << shift


class Counter:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def add(self, amount: int = 1) -> None:
        """Counts."""
        self.value += amount


class Histogram:
    """Durations in nanoseconds."""

    __slots__ = ("count", "counts", "max_ns", "sum_ns")

    def __init__(self) -> None:
        self.counts = [0] * _BUCKETS
        self.count = 0
        self.sum_ns = 0
        self.max_ns = 0

    def record(self, duration_ns: int) -> None:
        """Adds one duration; a negative one counts as 0."""
        value = max(0, duration_ns)
        self.counts[bucket_of(value)] += 1
        self.count += 1
        self.sum_ns += value
        self.max_ns = max(self.max_ns, value)

    def quantile_ns(self, share: float) -> int:
        """The duration below which `share` (0..1) of all lie, at most 12.5 % too large; 0 without any."""
        if not self.count:
            return 0
        wanted = share * self.count
        seen = 0
        for bucket, number in enumerate(self.counts):
            seen += number
            if number and seen >= wanted:
                return min(lower_bound(bucket + 1), self.max_ns)
        return self.max_ns

    def below(self, octave: int) -> int:
        """How many lie below 2**octave ns."""
        return sum(self.counts[: bucket_of(1 << octave)])

    def merge(self, other: Histogram) -> None:
        """Adds the observations of another one."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.count += other.count
        self.sum_ns += other.sum_ns
        self.max_ns = max(self.max_ns, other.max_ns)

    def summary(self) -> dict[str, float]:
        """count, mean_ms, p50_ms, p99_ms, max_ms."""
        mean_ns = self.sum_ns / self.count if self.count else 0.0
        values = {"mean_ms": mean_ns, "p50_ms": self.quantile_ns(0.5), "p99_ms": self.quantile_ns(0.99)}
        values["max_ms"] = self.max_ns
        return {"count": self.count} | {name: round(value / 1e6, 4) for name, value in values.items()}


Labels = tuple[tuple[str, str], ...]


class Telemetry:
    """All numbers of one guardian, by name and labels."""

    def __init__(self) -> None:
        self._help: dict[str, tuple[str, str]] = {}
        self._counters: dict[str, dict[Labels, Counter]] = {}
        self._histograms: dict[str, dict[Labels, Histogram]] = {}
        self._gauges: dict[str, dict[Labels, Callable[[], float]]] = {}

    def counter(self, name: str, text: str, **labels: str) -> Counter:
        """The counter of that name and those labels; made at the first call. Prometheus names end in `_total`."""
        self._help[name] = ("counter", text)
        return self._counters.setdefault(name, {}).setdefault(_key(labels), Counter())

    def histogram(self, name: str, text: str, **labels: str) -> Histogram:
        """The histogram of that name and those labels; Prometheus names end in `_seconds`."""
        self._help[name] = ("histogram", text)
        return self._histograms.setdefault(name, {}).setdefault(_key(labels), Histogram())

    def gauge(self, name: str, text: str, read: Callable[[], float], **labels: str) -> None:
        """A number that is read when someone asks."""
        self._help[name] = ("gauge", text)
        self._gauges.setdefault(name, {})[_key(labels)] = read

    def forget(self, name: str) -> None:
        """The gauges of that name are no more: what they told of has gone."""
        self._gauges.pop(name, None)
        self._help.pop(name, None)

    def snapshot(self) -> dict[str, float | dict[str, float]]:
        """Everything as plain data: `name{label=value}` -> number, or the summary of a histogram."""
        values: dict[str, float | dict[str, float]] = {}
        for name, counters in self._counters.items():
            values |= {name + _braces(key): counter.value for key, counter in counters.items()}
        for name, gauges in self._gauges.items():
            values |= {name + _braces(key): read() for key, read in gauges.items()}
        for name, histograms in self._histograms.items():
            values |= {name + _braces(key): histogram.summary() for key, histogram in histograms.items()}
        return values

    def prometheus(self) -> str:
        """The text exposition format."""
        lines: list[str] = []
        for name, (kind, text) in sorted(self._help.items()):
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
            lines += [f"{name}{_braces(key)} {counter.value}" for key, counter in self._counters.get(name, {}).items()]
            lines += [f"{name}{_braces(key)} {read():.9g}" for key, read in self._gauges.get(name, {}).items()]
            for key, histogram in self._histograms.get(name, {}).items():
                lines += _exposed(name, key, histogram)
        return "\n".join(lines) + "\n"


def _exposed(name: str, key: Labels, histogram: Histogram) -> list[str]:
    lines = []
    for octave in range(_FIRST_OCTAVE, _LAST_OCTAVE + 1):
        border = _braces((*key, ("le", f"{(1 << octave) / 1e9:.9g}")))
        lines.append(f"{name}_bucket{border} {histogram.below(octave)}")
    lines.append(f"{name}_bucket{_braces((*key, ('le', '+Inf')))} {histogram.count}")
    lines.append(f"{name}_sum{_braces(key)} {histogram.sum_ns / 1e9:.9g}")
    lines.append(f"{name}_count{_braces(key)} {histogram.count}")
    return lines


def _key(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted(labels.items()))


def _braces(key: Labels) -> str:
    if not key:
        return ""
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for _, value in key)
    return "{" + ",".join(f'{name}="{value}"' for (name, _), value in zip(key, quoted, strict=True)) + "}"


class LoopMonitor:
    """Measures how late the loop is: a timer every 20 ms, its lateness recorded.

    `delays` holds everything since the start; `summary()` speaks of the last half to whole `window_s`.
    """

    PERIOD_S = 0.02

    def __init__(self, delays: Histogram | None = None, window_s: float = 60.0) -> None:
        self.delays = delays if delays is not None else Histogram()
        self._window_s = window_s
        self._recent = Histogram()
        self._before = Histogram()
        self._turned_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begins, on the running loop."""
        loop = asyncio.get_running_loop()
        self._turned_s = loop.time()
        self._next(loop)

    def stop(self) -> None:
        """Ends; the figures stay."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def summary(self) -> dict[str, float]:
        """The recent delays, as `Histogram.summary`."""
        both = Histogram()
        both.merge(self._recent)
        both.merge(self._before)
        return both.summary()

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        due_s = loop.time() + self.PERIOD_S
        self._timer = loop.call_at(due_s, self._measure, loop, due_s)

    def _measure(self, loop: asyncio.AbstractEventLoop, due_s: float) -> None:
        now_s = loop.time()
        late_ns = int((now_s - due_s) * 1e9)
        self.delays.record(late_ns)
        self._recent.record(late_ns)
        if now_s - self._turned_s > self._window_s / 2:
            self._before, self._recent, self._turned_s = self._recent, Histogram(), now_s
        self._next(loop)


class Stopwatch:
    """`with Stopwatch(histogram):` records how long the block took."""

    __slots__ = ("_histogram", "_start_ns")

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._start_ns = 0

    def __enter__(self) -> Stopwatch:
        self._start_ns = time.perf_counter_ns()
        return self

    def __exit__(self, *_: object) -> None:
        self._histogram.record(time.perf_counter_ns() - self._start_ns)
