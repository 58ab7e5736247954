"""Who may be a parent: the best of all, islands that are left alone, the best of each kind; the same from the same."""

from __future__ import annotations

import json
import math
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from o_tui.evolution.population import (
    AGAIN,
    ELITES,
    ISLANDS,
    KINDS,
    ROUND,
    SHARE,
    Island,
    Population,
    Scored,
    equal,
)

SCORES = st.one_of(st.floats(-10, 10), st.just(-math.inf), st.just(math.nan), st.integers(0, 3).map(float))


def kind(member: Scored) -> str:
    """Sources of these tests are "KIND NUMBER"."""
    return member.source.split()[0]


def fresh(state: dict[str, Any] | None = None) -> Population:
    return Population(kind, state)


class Living(RuleBasedStateMachine):
    """A search as a population sees it: turns, children, scores, and restarts between any two of them."""

    @initialize(seed=st.integers(0, 1 << 20))
    def begin(self, seed: int) -> None:
        self.random = Random(seed)
        self.archive = [Scored("0", "first 0", 0.0)]
        self.population = fresh()
        self.population.look(self.archive)

    @rule(name=st.sampled_from("abcdefgh"), score=SCORES, flat=st.booleans(), greedy=st.booleans())
    def grow(self, name: str, score: float, flat: bool, greedy: bool) -> None:
        island = self.population.turn(self.random, flat)
        parent = self.population.pick(island, self.random, greedy)
        assert parent in island.members and parent not in self.population.mates(island, parent)
        child = Scored(str(len(self.archive)), f"{name} {len(self.archive)}", score, parent.id, "x")
        self.population.expect(child.source, island)
        self.archive.append(child)
        self.population.look(self.archive)
        if island.number and island in self.population.islands and math.isfinite(score):
            worst = min(each.score for each in island.members)
            assert child in island.members or score <= worst or equal(score, worst)

    @rule(score=st.floats(-10, 10))
    def measure_again(self, score: float) -> None:
        best = self.population.best[0]
        self.archive.append(Scored(str(len(self.archive)), best.source, score, best.id, AGAIN))
        before = everything(self.population)
        self.population.look(self.archive)
        assert everything(self.population) == before

    @precondition(lambda self: len(self.archive) > 1)
    @rule()
    def restart(self) -> None:
        before = everything(self.population)
        self.population = fresh(json.loads(json.dumps(self.population.state())))
        assert list(self.population.look(self.archive)) == []
        assert everything(self.population) == before

    @invariant()
    def the_mainland_has_the_best_of_all(self) -> None:
        scores = [each.score for each in self.archive if math.isfinite(each.score) and each.operator != AGAIN]
        found = [each.score for each in self.population.best]
        assert all(equal(one, two) for one, two in zip(found, sorted(scores, reverse=True), strict=False))
        assert len(found) == min(ELITES, len(scores))

    @invariant()
    def each_kind_has_its_best(self) -> None:
        for name, member in self.population.kinds.items():
            assert all(
                kind(each) != name or not each.score > member.score or equal(each.score, member.score)
                for each in self.archive
                if each.operator != AGAIN
            )

    @invariant()
    def islands_are_few_and_not_empty(self) -> None:
        islands = self.population.islands
        assert len(islands) <= ISLANDS and all(0 < len(each.members) <= ELITES for each in islands)
        numbers = [each.number for each in islands]
        assert len(set(numbers)) == len(numbers) and 0 not in numbers


def everything(population: Population) -> list[Any]:
    islands = [(each.number, each.kind, each.turns, each.members) for each in population.islands]
    return [population.best, islands, population.kinds]


def test_whatever_comes_the_best_of_all_and_of_each_kind_are_kept_and_a_restart_changes_nothing() -> None:
    run_state_machine_as_test(Living, settings=settings(max_examples=25, stateful_step_count=60))  # type: ignore[no-untyped-call]


def lived(seed: int, turns: int, population: Population, archive: list[Scored]) -> list[int]:
    """Some turns of a search that is flat; whose turn it was. Members of the kind "deep" rise, slowly."""
    random, found = Random(seed), []
    for _ in range(turns):
        island = population.turn(random, True)
        parent = population.pick(island, random, True)
        name = kind(parent) if island.number else random.choice("abcd")
        score = parent.score + 0.1 if name == "deep" else parent.score - random.random()
        child = Scored(str(len(archive)), f"{name} {len(archive)}", score, parent.id)
        population.expect(child.source, island)
        archive.append(child)
        population.look(archive)
        found.append(island.number)
    return found


@given(st.integers(0, 1000))
@settings(max_examples=10)
def test_there_are_no_islands_before_the_climb_is_flat(seed: int) -> None:
    random, population = Random(seed), fresh()
    population.look([Scored(str(n), f"k{n % 7} {n}", float(n)) for n in range(50)])
    before = random.getstate()
    assert all(population.turn(random, False) is population.mainland for _ in range(50))
    assert random.getstate() == before and not population.islands


def test_islands_have_their_share_of_the_turns_and_are_founded_with_different_kinds() -> None:
    population, archive = fresh(), [Scored(str(n), f"k{n} {n}", float(n)) for n in range(8)]
    population.look(archive)
    turns = lived(1, 1000, population, archive)
    assert abs(sum(each > 0 for each in turns) / len(turns) - SHARE) < 0.05
    kinds = [each.kind for each in population.islands]
    assert len(kinds) == ISLANDS and len(set(kinds)) == ISLANDS


def test_the_worse_half_of_the_islands_ends_with_a_round_and_others_are_founded() -> None:
    population, archive = fresh(), [Scored(str(n), f"k{n} {n}", float(n)) for n in range(9)]
    population.look(archive)
    population.islands = [Island(n, f"k{n}", ROUND, [archive[n]]) for n in range(1, 5)]
    population._founded = 4
    population.islands[0].turns = ROUND - 1
    random = Random(3)
    while population.turn(random, False) is population.mainland:
        pass
    left = [each.number for each in population.islands]
    assert left[:2] == [3, 4] and len(left) == 4 and min(left[2:]) > 4
    assert all(each.turns == 0 for each in population.islands)
    assert not {each.kind for each in population.islands[2:]} & {"k1", "k2", "k3", "k4"}


def test_an_idea_that_is_worse_at_first_lives_on_its_island_and_comes_to_the_mainland_when_it_is_better() -> None:
    """Greedy climbing from the best alone would never try it again."""
    population, archive = fresh(), [Scored("0", "a 0", 5.0), Scored("1", "deep 1", 1.0)]
    archive += [Scored(str(n), f"a {n}", 5.0 - n / 100) for n in range(2, 12)]
    population.look(archive)
    assert all(kind(each) == "a" for each in population.best)
    lived(2, 2000, population, archive)
    assert kind(population.best[0]) == "deep" and population.best[0].score > 5.0


def test_of_many_kinds_the_best_are_kept() -> None:
    population = fresh()
    population.look([Scored(str(n), f"k{n} {n}", float(n)) for n in range(KINDS + 20)])
    assert sorted(int(each.id) for each in population.kinds.values()) == [*range(20, KINDS + 20)]


def test_the_best_are_kept_in_order_and_of_equal_ones_the_newest() -> None:
    population = fresh()
    scores = [1.0, 5.0, 3.0, 5.0 + 1e-12, math.nan, -math.inf, 2.0]
    archive = [Scored(str(n), str(n), score) for n, score in enumerate(scores)]
    population.look(archive)
    assert [each.id for each in population.best] == ["3", "1", "2", "6", "0"]
    archive.append(Scored("7", "7", 5.0, "3", "statements"))
    population.look(archive)
    assert population.best[0].id == "3"
    population.look([Scored(str(n), str(n), float(n)) for n in range(100)])
    assert [each.id for each in population.best] == [str(n) for n in range(99, 99 - ELITES, -1)]


def test_a_state_of_another_archive_is_not_taken_up() -> None:
    population = fresh()
    population.look([Scored(str(n), f"a {n}", float(n)) for n in range(9)])
    other = [Scored(f"o{n}", f"b {n}", float(n)) for n in range(12)]
    again = fresh(population.state())
    assert list(again.look(other)) == other and again.best[0].id == "o11"
    assert fresh(population.state()).state() == population.state()
