"""Programs: what is tried next depends on the seed and on results only."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_tui.evolution.population import AGAIN
from o_tui.evolution.portfolio import Proposal, Scored
from o_tui.programs import search


class Noting:
    """A proposer whose proposals tell what it knew."""

    def __init__(self, state: dict[str, Any] | None) -> None:
        self.known: list[Any] = list(state["known"]) if state else []
        self.count: int = state["count"] if state else 0

    def propose(self, archive: Any) -> Proposal | None:
        self.count += 1
        if self.count % 7 == 0 and len(archive) % 2:
            return None
        return Proposal(f"{self.count} {self.known[-3:]} {len(archive)}", "x", ("1",), "")

    def learn(self, proposal: Proposal, score: float, cost_s: float) -> None:
        assert cost_s == 0.0
        self.known.append(score)

    def state(self) -> dict[str, Any]:
        return {"known": list(self.known), "count": self.count}


def score_of(source: str) -> float:
    return float(len(source) + sum(map(ord, source)) % 13)


def feed(made: search.Search, flying: list[search.Numbered]) -> None:
    while made.ready() and made.next <= 40:
        proposal = made.propose()
        if proposal is not None:
            flying.append(proposal)


@given(st.integers(0, 10_000), st.integers(0, 40))
def test_a_search_depends_on_seed_and_results_only(order: int, kept_at: int) -> None:
    """However late answers come, and wherever it was stopped, with a state that was kept at any time before."""

    def go(random: Random, stop: int) -> tuple[search.Search, list[Scored], dict[str, Any] | None]:
        made, flying, done, state = search.Search("p", Noting), [], [], None
        while len(done) < stop:
            feed(made, flying)
            if not flying:
                break
            each = flying.pop(random.randrange(len(flying)))
            score = score_of(each.proposal.source)
            parent = each.proposal.parents[0] if each.proposal.parents else ""
            done.append(Scored(str(each.number), each.proposal.source, score, parent, each.proposal.operator))
            made.result(each.number, score)
            if len(done) == kept_at:
                state = msgspec.json.decode(msgspec.json.encode(made.state()))
        return made, done, state

    whole, _, _ = go(Random(0), 40)
    whole.finish()
    random = Random(order)
    _, done, state = go(random, 1 + order % 40)
    again = search.Search("p", Noting)
    flying = again.restore(state, done)
    feed(again, flying)
    while flying:
        each = flying.pop(random.randrange(len(flying)))
        again.result(each.number, score_of(each.proposal.source))
        feed(again, flying)
    again.finish()
    assert again.archive == whole.archive and len(whole.archive) > 3


class Dry(Noting):
    """A proposer that has few ideas."""

    def propose(self, archive: Any) -> Proposal | None:
        return super().propose(archive) if self.count < 9 else None


@pytest.mark.parametrize("kept_at", [0, 5, 12, 25])
def test_what_is_left_of_a_budget_goes_to_the_best_in_turn(kept_at: int) -> None:
    made = search.Search("p", Dry)
    state, done = made.state(), []
    while made.next <= 30:
        found = made.propose() if made.ready() else None
        if found is None:
            continue
        score = float(found.number) if found.number < 8 else 7.5
        made.result(found.number, score)
        parent = found.proposal.parents[0] if found.proposal.parents else ""
        done.append(Scored(str(found.number), found.proposal.source, score, parent, found.proposal.operator))
        state = msgspec.json.decode(msgspec.json.encode(made.state())) if found.number == kept_at else state
    made.finish()
    again = [each.parent for each in made.archive if each.operator == AGAIN]
    assert len(made.archive) == 30 and len(again) > 15
    assert max(again.count(one) - again.count(two) for one in again for two in again) <= 1
    other = search.Search("p", Dry)
    assert other.restore(state if kept_at else None, done) == []
    other.finish()
    assert other.archive == made.archive


def test_a_best_member_that_was_only_lucky_comes_behind() -> None:
    made = search.Search("p", Dry)
    rows = [("1", 1.0, "", "initial"), ("2", 5.0, "1", "x"), ("3", 9.0, "1", "x")]
    rows += [("4", 2.0, "3", AGAIN), ("5", 3.0, "3", AGAIN), ("6", 5.5, "2", AGAIN)]
    made.archive = [Scored(number, number, score, parent, operator) for number, score, parent, operator in rows]
    assert [each.id for each in made.best(3)] == ["2", "3", "1"]


def test_what_another_version_has_kept_counts_but_its_state_is_not_read() -> None:
    kept = [
        Scored(str(number), f"other {number}", float(number), "1" if number > 1 else "", "x") for number in range(1, 9)
    ]
    made = search.Search("p", Noting)
    assert [each.number for each in made.restore({"format": "0"}, kept)] == []
    made.finish()
    assert [each.source for each in made.archive] == [each.source for each in kept]
    assert made.next == 9
