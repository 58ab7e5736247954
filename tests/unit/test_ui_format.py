"""Numbers and times as the screen writes them."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_tui.ui import format as written


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (812, "812 B"), (999, "999 B"), (1_000, "1.0 kB"), (1_240_000, "1.2 MB"), (41_000_000, "41 MB"),
     (999_600, "1.0 MB"), (9_960, "10 kB"), (-5, "0 B"), (3 * 10**15, "3000 TB")],
)  # fmt: skip
def test_size(size_bytes: int, text: str) -> None:
    assert written.size(size_bytes) == text


@given(st.integers(0, 10**15))
def test_size_is_short(size_bytes: int) -> None:
    assert len(written.size(size_bytes)) <= 7


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 ms"), (0.04, "0.04 ms"), (4.1, "4.1 ms"), (41, "41 ms"), (999.6, "1.0 s"), (1_200, "1.2 s"),
     (59_990, "1 m 00 s"), (123_000, "2 m 03 s"), (3_720_000, "1 h 02 m"), (None, "-"), (math.inf, "-")],
)  # fmt: skip
def test_milliseconds(value: float | None, text: str) -> None:
    assert written.milliseconds(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "now"), (1, "1 s"), (59, "59 s"), (60, "1 m"), (7_200, "2 h"), (300_000, "3 d")]
)
def test_age(seconds: float, text: str) -> None:
    assert written.age(seconds) == text


def test_age_of_a_moment_that_has_not_come() -> None:
    assert written.age_ns(5_000_000_000, 1_000_000_000) == "now"
    assert written.ago_ns(1_000_000_000, 1_500_000_000) == "now"
    assert written.ago_ns(1_000_000_000, 5_000_000_000) == "4 s ago"


def test_clock_says_the_day_when_it_is_another_one() -> None:
    noon = 1_763_726_640_000_000_000
    assert written.clock(noon, noon) == "12:04:00"
    assert written.clock(noon - 86_400 * 10**9, noon) == "11-20 12:04"
    assert written.clock(noon) == "12:04:00"
    assert written.stamp(noon) == "2025-11-21 12:04:00"


def test_counts_and_changes() -> None:
    assert written.count(12_404) == "12 404"
    assert written.distance(2_104) == "+2 104"
    assert written.distance(-3) == "+0"
    assert written.change(0.81) == "-19.0 %"
    assert written.change(None) == "-"
    assert written.interval(0.76, 0.87) == "-24.0 .. -13.0 %"
    assert written.interval(None, 1.0) == "-"
    assert written.percent(1, 40) == "2.50"
    assert written.percent(1, 0) == "0.00"


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=30), st.integers(0, 12), st.booleans())
def test_sparkline_has_its_width(values: list[float], width: int, ascii_only: bool) -> None:
    text = written.sparkline(values, width, ascii_only=ascii_only)
    assert len(text) == width
    assert not ascii_only or text.isascii()


def test_sparkline_rises_and_falls() -> None:
    assert written.sparkline([1, 2, 3, 4], 4) == "▁▃▆█"
    assert written.sparkline([5, 5], 4) == "  ▄▄"
    assert written.sparkline([0, math.nan, 1], 3) == "▁ █"


@given(st.floats(-10, 200), st.floats(-10, 100), st.integers(0, 40))
def test_progress_has_its_width(part: float, whole: float, width: int) -> None:
    assert len(written.progress(part, whole, width)) == width


def test_progress() -> None:
    assert written.progress(1, 2, 4) == "██░░"
    assert written.progress(1, 2, 4, ascii_only=True) == "##.."


def test_text_from_outside_is_harmless() -> None:
    assert "\x1b" not in written.shown("\x1b[31mred\x1b[0m")
    assert "\n" not in written.shown("two\nlines")
    assert written.block("two\nlines") == "two\nlines"
    assert written.shown(None) == ""
