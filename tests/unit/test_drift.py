"""The detector of changes: how seldom it alarms for nothing, and how soon when there is something."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o_tui.evolution.drift import BASELINE, FALSE_ALARM_EVERY, Detector


def first_alarm(draw: Callable[[int], float], values: int, kind: str, least: float, seed: int) -> int:
    """After how many values it alarms; 0: not at all."""
    detector = Detector(kind, least, seed)  # type: ignore[arg-type]
    return next((at + 1 for at in range(values) if detector.add(draw(at)) is not None), 0)


@pytest.mark.parametrize("world", ["lognormal", "heavy tails", "two peaks", "errors of 5 %"])
def test_while_nothing_changes_it_is_quiet(world: str) -> None:
    """Without the least change that matters, alarms come no more often than stated: 60,000 values, 3 at most."""
    alarms = 0
    for seed in range(20):
        chance = random.Random(f"{world} {seed}")
        draws: dict[str, Callable[[int], float]] = {
            "lognormal": lambda _at: chance.lognormvariate(0, 0.3),  # noqa: B023 - used within the round
            "heavy tails": lambda _at: chance.paretovariate(1.1),  # noqa: B023
            "two peaks": lambda _at: chance.choice((1.0, 5.0)) + chance.random(),  # noqa: B023
            "errors of 5 %": lambda _at: float(chance.random() < 0.05),  # noqa: B023
        }
        detector = Detector("difference", -1e9, seed)
        alarms += sum(detector.add(draws[world](at)) is not None for at in range(3_000))
    assert alarms <= 60_000 / FALSE_ALARM_EVERY + 3


@pytest.mark.parametrize(
    ("factor", "within"), [(2.0, 15), (1.5, 30), (1.25, 80)], ids=["twice as slow", "half as slow again", "a quarter"]
)
def test_a_slowdown_is_seen(factor: float, within: int) -> None:
    delays = []
    for seed in range(20):
        chance = random.Random(seed)
        values = [chance.lognormvariate(0, 0.15) * (factor if at >= 300 else 1) for at in range(900)]
        at = first_alarm(values.__getitem__, 900, "ratio", 0.2, seed)
        assert at == 0 or at > 300
        delays.append(at - 300 if at else 10_000)
    assert sorted(delays)[10] <= within


def test_errors_that_begin_are_seen() -> None:
    at = first_alarm(lambda n: float(n >= 200 and n % 3 == 0), 400, "difference", 0.05, 1)
    assert 200 < at < 240


def test_what_gets_better_or_changes_too_little_to_matter_is_no_alarm() -> None:
    chance = random.Random(5)
    assert not first_alarm(lambda n: chance.lognormvariate(0, 0.1) * (0.5 if n >= 300 else 1), 2_000, "ratio", 0.2, 1)
    assert not first_alarm(lambda n: chance.lognormvariate(0, 0.02) * (1.1 if n >= 300 else 1), 600, "ratio", 0.2, 1)


def test_an_alarm_says_from_what_to_what_and_begins_anew() -> None:
    detector = Detector("ratio", 0.2)
    chance = random.Random(2)
    alarm = None
    for at in range(400):
        if found := detector.add(chance.uniform(0.9, 1.1) * (3 if at >= 200 else 1)):
            alarm = found
            break
    assert alarm is not None
    assert 0.9 < alarm.before < 1.2 and alarm.now > 1.2 * alarm.before
    assert alarm.evidence >= FALSE_ALARM_EVERY and detector.values == 0


@settings(max_examples=30)
@given(st.lists(st.floats(0.001, 1e6), min_size=BASELINE, max_size=300), st.integers(0, 99))
def test_only_the_order_of_values_counts_as_evidence(values: list[float], seed: int) -> None:
    """Any unit, any scale: the same alarms, as long as every change matters."""
    pair = [Detector("difference", -1e12, seed) for _ in range(2)]
    for value in values:
        first, second = pair[0].add(value), pair[1].add(value * 1000)
        assert (first is None) == (second is None)


def test_what_is_no_number_is_not_counted() -> None:
    detector = Detector("ratio", 0.2)
    assert detector.add(float("nan")) is None and detector.add(float("inf")) is None
    assert detector.values == 0
