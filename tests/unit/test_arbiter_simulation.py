"""The table of the design in small, and that the quick way to it is the arbiter's own."""

from __future__ import annotations

import json
import math
import os
import random
import select
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o_tui.evolution import simulation, watch_simulation, worlds
from o_tui.evolution.arbiter import Policy
from o_tui.evolution.eprocess import ECusum, EProcess
from o_tui.evolution.multiple import Race, e_bh
from o_tui.guardian.evolving import shadows, twin
from tests.support.patience import PATIENCE_S


@given(
    st.lists(st.lists(st.booleans(), min_size=30, max_size=30), min_size=1, max_size=5), st.sampled_from([2, 20, 100])
)
@settings(max_examples=40)
def test_all_runs_at_once_are_bet_on_as_one_by_one(runs: list[list[bool]], limit: int) -> None:
    expected = []
    for run in runs:
        process = EProcess()
        expected.append(max(process.add(1.0 if won else -1.0) for won in run) >= limit)
    assert simulation.ever(np.array(runs), limit).tolist() == expected


def test_what_is_simulated_is_what_shadows_do() -> None:
    assert worlds.FORK_PAIRS == shadows.FORK_PAIRS
    assert watch_simulation.TRIES == twin.TRIES
    assert worlds.world("recorded", 1, 2, 25).shape == (2, 25)


def test_every_world_is_the_same_again_and_equal_code_has_no_side() -> None:
    for name in worlds.WORLDS:
        first = worlds.world(name, 5, 200, 100)
        assert (first == worlds.world(name, 5, 200, 100)).all()
        assert abs(float(np.median(first))) < 0.02


def test_the_table_in_small() -> None:
    found = simulation.simulate(runs=200, pairs=1_000, seed=3, races=6)
    assert found["false_promotion_rate"] <= 0.01 and found["plus_5_promoted"] == 0
    assert set(found["worlds"]) == {"lognormal", "heavy", "autocorrelated", "recorded"}
    assert found["detect_minus_10pct"]["median"] <= 200 and found["detect_minus_10pct"]["share"] >= 0.95
    assert found["reject_plus_20pct"]["median"] <= 60 and found["reject_plus_20pct"]["share"] == 1
    assert found["races"]["promoted_rate"] == 0 and found["races"]["good_promoted_rate"] >= 0.8
    assert found["detect_minus_10pct_recorded"]["share"] >= 0.9
    assert found["detect_minus_10pct_recorded"]["median"] <= 200
    json.dumps(found)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40), st.sampled_from([0.5, 0.1, 0.02]))
def test_all_watches_at_once_bet_as_one_does(increments: list[float], alpha: float) -> None:
    detector = ECusum()
    expected = max(detector.add(each) for each in increments) >= 1 / alpha
    assert watch_simulation.reaches(np.array([increments]), alpha).tolist() == [expected]


def test_a_watch_sees_harm_within_100_requests_and_leaves_equal_code_alone() -> None:
    names = (*worlds.NOISES, "recorded")
    assert sum(watch_simulation.slow_alarms(name, 7, 100) for name in names) <= 1
    assert sum(watch_simulation.failing_alarms(share, 7, 100) for share in (0.0, 0.1)) <= 1
    for name in names:
        seen = [at for said, at in watch_simulation.slow_seen(name, 7, 40) if said]
        assert len(seen) == 40 and np.median(seen) <= 100, name
    for share in (0.0, 0.05):
        seen = [at for said, at in watch_simulation.failing_seen(share, False, 7, 40) if said]
        assert len(seen) == 40 and np.median(seen) <= 100


def test_no_evidence_is_what_a_gain_below_the_least_ends_with() -> None:
    verdicts = [verdict for verdict, _ in simulation.detected("lognormal", 1, 20, 400, math.log(0.98))]
    assert verdicts.count("promote") == 0 and "no_evidence" in verdicts


def test_fast_for_most_but_slow_now_and_then_is_never_promoted() -> None:
    ratios = worlds.world("lognormal", 4, 40, 800, math.log(0.9))
    ratios[np.random.default_rng(4).random(ratios.shape) < 0.1] += math.log(3)
    found = [simulation.judge(run, Policy()) for run in ratios]
    assert all(decision.verdict == "reject" for decision, _ in found)
    assert np.median([pairs for _, pairs in found]) <= 250


def test_the_command_prints_the_table() -> None:
    words = ["arbiter", "simulate", "--runs", "50", "--pairs", "200", "--races", "2", "--json"]
    ran = subprocess.run([sys.executable, "-m", "o_tui", *words], capture_output=True, check=True)
    found = json.loads(ran.stdout)
    assert (found["runs"], found["pairs"], found["races"]["races"]) == (50, 200, 2)


# --- many candidates


@given(st.integers(1, 130), st.randoms(use_true_random=False))
def test_the_best_wins_a_race_of_true_scores(count: int, source: random.Random) -> None:
    scores = {f"c{number}": float(number) for number in range(count)}
    race = Race(source.sample(list(scores), count))
    while not race.over:
        race.end_round(scores)
    assert race.winner == f"c{count - 1}"
    assert race.rounds == math.ceil(math.log2(count))


def test_who_does_harm_is_out_whatever_the_score() -> None:
    race = Race(["a", "b", "c"])
    assert race.end_round({"a": 9.0, "b": 1.0, "c": 2.0}, out=["a"]) == ["a"]
    assert race.alive == ["c", "b"]
    assert Race(["a"]).end_round({}, out=["a"]) == ["a"]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"a": 99.0}, []),
        ({"a": 100.0}, ["a"]),
        ({"a": 150.0, "b": 1.0}, []),
        ({"a": 200.0, "b": 1.0}, ["a"]),
        ({"a": 110.0, "b": 100.0}, ["a", "b"]),
        ({}, []),
    ],
)
def test_e_bh_by_hand(values: dict[str, float], found: list[str]) -> None:
    assert e_bh(values, 0.01) == found


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1e6), max_size=12))
def test_more_evidence_never_takes_a_discovery_away(values: dict[str, float]) -> None:
    found = e_bh(values, 0.05)
    for name in found:
        assert name in e_bh({**values, name: values[name] * 2}, 0.05)
    assert len(e_bh({name: value * 2 for name, value in values.items()}, 0.05)) >= len(found)


def test_a_command_that_is_killed_leaves_no_workers() -> None:
    command = [sys.executable, "-m", "o_tui", "arbiter", "simulate", "--runs", "1000000"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        deadline_s = time.monotonic() + PATIENCE_S
        while not (workers := [int(pid) for pid in children.read_text().split()]):
            assert process.poll() is None and time.monotonic() < deadline_s
            time.sleep(0.01)
        pidfds = [os.pidfd_open(pid) for pid in workers]
        process.kill()
    for pidfd in pidfds:
        assert select.select([pidfd], [], [], PATIENCE_S)[0], "a worker is still there"
        os.close(pidfd)
