"""How far a candidate of a population is measured, and what its score is worth."""

from __future__ import annotations

import math
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from o_tui.evolution import scoring
from o_tui.evolution.halving import Halving

SCORES = st.floats(-10, 10)


def climb(halving: Halving, rows: list[list[float]]) -> list[tuple[int, float]]:
    """How many rungs each came, and what it was worth; a row has a score for each rung."""
    found = []
    for row in rows:
        scores: list[float] = []
        for rung, score in enumerate(row):
            scores.append(score)
            if not halving.goes_on(rung, score):
                break
        found.append((len(scores), halving.worth(scores)))
    return found


@given(rows=st.lists(st.lists(SCORES, min_size=3, max_size=3), min_size=1, max_size=80))
def test_who_beats_all_before_him_goes_on_and_who_stopped_is_never_the_best(rows: list[list[float]]) -> None:
    halving = Halving(3)
    found = climb(halving, rows)
    for at, (rungs, worth) in enumerate(found):
        if all(rows[at][0] > row[0] for row in rows[:at]):
            assert rungs >= 2
        ended = [row[-1] for row, (came, _) in zip(rows[: at + 1], found, strict=False) if came == 3]
        if rungs < 3 and ended:
            assert worth < max(ended)
        if rungs == 3:
            assert worth == rows[at][-1]


@given(scores=st.lists(SCORES, min_size=1, max_size=60))
def test_one_rung_measures_everybody_alike(scores: list[float]) -> None:
    found = climb(Halving(1), [[score] for score in scores])
    assert found == [(1, score) for score in scores]


@given(st.integers(0, 2**32))
def test_most_of_many_cost_the_first_rung_only(seed: int) -> None:
    chance = Random(seed)
    found = climb(Halving(3), [[chance.gauss(0, 1) for _ in range(3)] for _ in range(300)])
    came = [sum(rungs > rung for rungs, _ in found) for rung in range(3)]
    assert came[0] == 300 and came[1] < 150 and came[2] < 75 and came[2] >= 1


def test_of_equals_the_first_few_go_on() -> None:
    found = climb(Halving(2), [[0.0, 0.0]] * 40)
    assert found[0][0] == 2 and sum(rungs == 2 for rungs, _ in found) < 4


def test_who_stopped_is_taken_to_lose_what_others_lost() -> None:
    halving = Halving(2)
    climb(halving, [[5.0, 3.0], [6.0, 4.0]])
    ((rungs, worth),) = climb(halving, [[1.0, 9.0]])
    assert (rungs, worth) == (1, -1.0)


# --- the number


def shown(speed: float = 1.0, quality: float = 0.5, memory: float = 1.0, errors: int = 0) -> dict[str, object]:
    return {
        "pairs": 100,
        "cpu": {"pairs": 100, "ratio_median": 1 / speed},
        "errors": {"main": 0, "candidate": errors},
        "quality": {"main": 0.5, "candidate": quality, "difference": quality - 0.5, "requests": 100},
        "memory": {"main_bytes": 1_000_000, "candidate_bytes": int(1_000_000 / memory)},
    }


RATIOS = st.floats(0.2, 5)


@given(speed=RATIOS, accuracy=st.floats(0.2, 2), memory=RATIOS)
def test_fitness_is_the_weighted_mean_of_ratios_to_main(speed: float, accuracy: float, memory: float) -> None:
    fitness = scoring.fitness(shown(speed, 0.5 * accuracy, memory))
    wanted = 0.5 * math.log(speed) + 0.3 * math.log(accuracy) + 0.2 * math.log(memory)
    assert math.isclose(fitness, wanted, abs_tol=1e-3)


@given(speed=RATIOS, memory=RATIOS, quality=st.floats(0, 1))
def test_where_a_metric_is_named_it_leads_alone(speed: float, memory: float, quality: float) -> None:
    assert scoring.fitness(shown(speed, quality, memory), "quality") == scoring.fitness(shown(1.0, quality), "quality")


def test_who_answers_nothing_right_is_worse_than_speed_can_mend() -> None:
    assert scoring.fitness(shown(speed=4, quality=0.0)) < 0 < scoring.fitness(shown(speed=4))
    assert scoring.fitness(shown(errors=100)) < scoring.fitness(shown(errors=5)) < 0 == scoring.fitness(shown())
    assert scoring.fitness({}) == 0
