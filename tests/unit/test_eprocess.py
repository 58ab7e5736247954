"""Evidence that may be looked at all the time: it never grows under the null, and harm is seen in time."""

from __future__ import annotations

import itertools
import math
import random
from fractions import Fraction
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o_tui.evolution.eprocess import BETS, BLOCK, Blocks, ECusum, EProcess, bounded, sign
from o_tui.evolution.watch import Failing, HarmWatch, Paired
from o_tui.guardian.evolving.twin import TRIES

increments = st.lists(st.floats(-1, 1), max_size=40)


def evidence(values: list[float]) -> float:
    process = EProcess()
    for value in values:
        process.add(value)
    return process.value


def test_the_mean_over_all_outcomes_of_fair_signs_is_exactly_one() -> None:
    for length in (1, 5, 10):
        total = sum(evidence(list(signs)) for signs in itertools.product((-1.0, 1.0), repeat=length))
        assert total / 2**length == pytest.approx(1, rel=1e-9)


@given(
    past=increments,
    points=st.lists(st.tuples(st.integers(-8, 8), st.integers(1, 9)), min_size=1, max_size=6),
)
def test_no_step_grows_in_the_mean_under_the_null(past: list[float], points: list[tuple[int, int]]) -> None:
    weights = sum(weight for _, weight in points)
    mean = Fraction(sum(Fraction(value, 8) * weight for value, weight in points), weights)
    if mean > 0:  # mirrored, it is a null
        points = [(-value, weight) for value, weight in points]
    before = evidence(past)
    after = sum(evidence([*past, value / 8]) * weight for value, weight in points) / weights
    assert after <= before * (1 + 1e-9)


@settings(max_examples=60)
@given(past=increments, low=st.floats(-1, 1), high=st.floats(-1, 1))
def test_a_larger_increment_is_never_less_evidence(past: list[float], low: float, high: float) -> None:
    low, high = sorted((low, high))
    assert evidence([*past, low]) <= evidence([*past, high]) * (1 + 1e-12)


@given(increments, st.randoms(use_true_random=False))
def test_the_order_of_increments_does_not_matter(values: list[float], source: random.Random) -> None:
    shuffled = source.sample(values, len(values))
    assert evidence(shuffled) == pytest.approx(evidence(values), rel=1e-9, abs=1e-300)


@given(increments)
def test_evidence_is_the_mean_of_what_the_bettors_own(values: list[float]) -> None:
    owned = [math.prod(1 + bet * value for value in values) for bet in BETS]
    assert evidence(values) == pytest.approx(sum(owned) / len(owned), rel=1e-6, abs=1e-300)


@given(increments)
def test_a_cusum_has_at_least_the_evidence_of_the_time_since_its_change(values: list[float]) -> None:
    cusum = ECusum()
    for value in values:
        cusum.add(value)
    assert all(cusum.value >= evidence(values[start:]) * (1 - 1e-9) for start in range(len(values)))


@pytest.mark.parametrize("wrong", [1.01, -1.5, math.nan, math.inf])
def test_what_lies_outside_of_the_range_is_refused(wrong: float) -> None:
    for process in (EProcess(), ECusum()):
        with pytest.raises(ValueError, match="within -1 and 1"):
            process.add(wrong)


@given(st.floats(-1, 1), st.floats(0, 0.5))
def test_a_bounded_difference_wins_beyond_its_margin_only(difference: float, margin: float) -> None:
    increment = bounded(difference, margin)
    assert -1 <= increment <= 1
    assert (increment > 0) == (difference > margin)


def test_equality_wins_nothing() -> None:
    assert sign(0.0) == -1
    assert evidence([sign(0.0)] * 50) < 1


@given(st.lists(st.floats(-10, 10), max_size=23))
def test_a_block_is_the_median_of_five_and_leaves_the_rest_waiting(values: list[float]) -> None:
    blocks = Blocks()
    found = [middle for value in values if (middle := blocks.add(value)) is not None]
    assert found == [median(values[at : at + BLOCK]) for at in range(0, len(values) - BLOCK + 1, BLOCK)]


# --- the watch


def watched(
    seed: int,
    *,
    latency: float = 1.0,
    errors: float = 0.0,
    machine: float = 1.0,
    noise: float = 0.12,
    pairs: int = 1_000,
) -> tuple[int, str]:
    """At which pair it said something, and what; (0, "") for a quiet watch."""
    source, watch = random.Random(seed), HarmWatch()
    sticks = source.gauss(0, 0.011)
    for at in range(1, pairs + 1):
        main = 2e7 * source.lognormvariate(0, 0.3) * (machine if at > pairs // 3 else 1)
        candidate = main * latency * math.exp(sticks + source.gauss(0, noise))
        tries = [(source.random() < 0.02, source.random() < 0.02 + errors) for _ in range(TRIES)]
        failed = tries if tries[0][0] != tries[0][1] else tries[:1]  # as the twins do it
        ours, theirs = (sum(side) / len(failed) for side in zip(*failed, strict=True))
        pair = Paired(ours, theirs, int(main), int(candidate))
        if said := watch.add(pair):
            return at, said
    return 0, ""


def test_a_slow_down_and_new_errors_are_seen_within_a_hundred_requests() -> None:
    slow = [watched(seed, latency=1.2) for seed in range(40)]
    failing = [watched(seed, errors=0.2) for seed in range(40)]
    assert all(at for at, _ in slow + failing)
    assert median(at for at, _ in slow) <= 75
    assert median(at for at, _ in failing) <= 100
    assert all("latency +" in said for _, said in slow)
    assert all("requests failed" in said for _, said in failing)


def test_equal_code_is_left_alone_also_when_the_whole_machine_slows_down() -> None:
    quiet = [watched(seed, machine=1.3) for seed in range(60)]
    assert sum(at > 0 for at, _ in quiet) == 0


def test_one_request_in_six_that_stalls_is_seen() -> None:
    watch = HarmWatch()
    said = [watch.add(Paired(0, 0, 20_000_000, 60_000_000 if at % 6 == 5 else 20_000_000)) for at in range(300)]
    assert "twice as long" in next(text for text in said if text)


def test_what_is_said_stays_said() -> None:
    watch = HarmWatch()
    for _ in range(60):
        said = watch.add(Paired(0, 1, 1_000, 1_000))
    assert said == watch.add(Paired(0, 0, 1_000, 1_000))
    assert watch.pairs == 61
    assert "of" in said


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 10**12), st.integers(0, 10**12)), max_size=60))
@settings(max_examples=50)
def test_any_pairs_are_taken_and_equal_sides_never_alarm(rows: list[tuple[bool, bool, int, int]]) -> None:
    watch, equal = HarmWatch(), HarmWatch()
    for main_ok, candidate_ok, main_ns, candidate_ns in rows:
        watch.add(Paired(not main_ok, not candidate_ok, main_ns, candidate_ns))
        assert not equal.add(Paired(not main_ok, not main_ok, main_ns, main_ns))
    assert watch.pairs == equal.pairs == len(rows)


@given(st.lists(st.sampled_from([0.0, 1 / 3, 1.0]), max_size=80))
def test_who_fails_alike_is_never_shown_to_fail_more(shares: list[float]) -> None:
    failing = Failing()
    assert not any(failing.add(share, share) or failing.add(share, 0.0) for share in shares)
