"""Choosing what is tried next: the same from the same, nothing twice, and towards what helps."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, SupportsIndex, overload

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o_tui.evolution.credit import Credit
from o_tui.evolution.operators.kinds import kind_of
from o_tui.evolution.operators.module import parse
from o_tui.evolution.portfolio import Portfolio, Proposal, Scored

SOURCE = '''MODE = "a"  # one of: a, b, c
SIZE = 2.0
COUNT = 3


def worth(x=1):
    """How good it is."""
    rows = [i / 8 for i in range(6)]
    total = 0
    for row in rows:
        total += row * SIZE
    return total + COUNT if MODE == "b" else total - x
'''


def run_of(source: str) -> float:
    names: dict[str, Any] = {}
    try:
        exec(source, names)
        value = float(names["worth"]())
    except Exception:  # noqa: BLE001 - a candidate may do anything
        return -math.inf
    return -abs(value - 20.0) if math.isfinite(value) else -math.inf


def search(
    source: str, seed: int, count: int, score: Callable[[str], float] = run_of, restart_every: int = 0, batch: int = 1
) -> list[Scored]:
    """A search from `source`; every so often the portfolio is made again from its state."""
    portfolio = Portfolio(seed)
    archive = [Scored("0", source, score(source))]
    while len(archive) <= count:
        proposals: list[Proposal] = []
        for _ in range(batch):
            proposal = portfolio.propose(archive)
            if proposal is None:
                return archive
            proposals.append(proposal)
        for proposal in proposals:
            if restart_every and len(archive) % restart_every == 0:
                portfolio = Portfolio(seed, state=json.loads(json.dumps(portfolio.state())))
            worth = score(proposal.source)
            portfolio.learn(proposal, worth, 0.0)
            archive.append(Scored(str(len(archive)), proposal.source, worth, proposal.parents[0], proposal.operator))
    return archive


@settings(max_examples=3)
@given(seed=st.integers(0, 1000), restart_every=st.integers(1, 9), batch=st.integers(1, 4))
def test_the_same_seed_gives_the_same_proposals_also_when_put_down_and_taken_up(
    seed: int, restart_every: int, batch: int
) -> None:
    straight = search(SOURCE, seed, 40, batch=batch)
    assert search(SOURCE, seed, 40, restart_every=restart_every, batch=batch) == straight


def test_another_seed_gives_other_proposals() -> None:
    assert search(SOURCE, 1, 20) != search(SOURCE, 2, 20)


def test_nothing_that_means_the_same_is_proposed_twice() -> None:
    archive = search(SOURCE, 3, 150)
    meanings = [parse(each.source).identity for each in archive]
    assert len(set(meanings)) == len(meanings) == 151
    assert {"literals", "options", "materialise"} <= {each.operator for each in archive}


def test_comments_layout_and_docstrings_do_not_make_a_new_meaning() -> None:
    one = parse('X = 1\ndef f():\n    """Says."""\n    return "a"\n')
    same = parse('X  =  1  # one\ndef f():\n    """Other \'text\'."""\n\n    return (\'a\')\n')
    assert one.identity == same.identity
    assert parse('X = 1\ndef f():\n    return "b"\n').identity != one.identity


def test_it_climbs() -> None:
    archive = search(SOURCE, 5, 120)
    assert max(each.score for each in archive) > archive[0].score / 20


def test_a_source_without_anything_to_change_ends_the_search() -> None:
    assert len(search('"""Nothing."""\n', 1, 50)) == 1


def test_an_archive_of_failures_proposes_nothing_and_a_broken_member_does_no_harm() -> None:
    assert Portfolio(1).propose([Scored("0", SOURCE, -math.inf), Scored("1", "x = 1", math.nan)]) is None
    assert Portfolio(1).propose([]) is None
    archive = [Scored("0", SOURCE, 0.0), Scored("1", "def broken(:\n", 5.0)]
    portfolio = Portfolio(1)
    assert all((made := portfolio.propose(archive)) is None or made.parents[0] == "0" for _ in range(20))


def test_lines_outside_of_the_blocks_stay_in_every_generation() -> None:
    start, end = "# EVOLVE-BLOCK-START\n", "# EVOLVE-BLOCK-END\n"
    source = f"HEAD = 1.0\n{start}A = 2.0\n{end}MIDDLE = 5.0\n{start}B = 3.0\n{end}TAIL = 4.0\n"
    portfolio = Portfolio(1)
    archive = [Scored("0", source, 0.0)]
    for number in range(1, 40):
        proposal = portfolio.propose(archive)
        assert proposal is not None
        pieces = re.split("(?<=START\n)(?s:.)*?(?=# EVOLVE-BLOCK-END)", proposal.source)
        assert pieces == [f"HEAD = 1.0\n{start}", f"{end}MIDDLE = 5.0\n{start}", f"{end}TAIL = 4.0\n"]
        archive.append(Scored(str(number), proposal.source, float(number)))
        portfolio.learn(proposal, float(number), 0.0)


def test_the_numbers_of_a_models_proposal_are_tuned_next() -> None:
    portfolio = Portfolio(1)
    other = SOURCE.replace("COUNT = 3", "COUNT = 4").replace("return total", "return 1.5 * total")
    archive = [Scored("0", SOURCE, 3.0), Scored("1", other, 1.0, "0", "llm"), Scored("2", SOURCE + "X = 1\n", 2.0)]
    for _ in range(12):
        proposal = portfolio.propose(archive)
        assert proposal is not None
        assert (proposal.operator, proposal.parents) == ("literals", ("1",))
        assert "return" in proposal.source and "total" in proposal.source
    proposal = portfolio.propose(archive)
    assert proposal is not None and proposal.parents[0] != "1"


CHOICES = """FIRST = "a"  # one of: a, b, c, d, e
SECOND = 1  # one of: 1, 2, 3, 4
THIRD = "x"  # one of: x, y, z
FOURTH = None  # one of: None, True, 7
FIFTH = "m"  # one of: m, n, o


def worth():
    return 0
"""


@pytest.mark.parametrize("seed", range(30))
def test_a_choice_of_540_is_found_in_15_evaluations(seed: int) -> None:
    random = Random(seed)
    wanted = {
        "FIRST": random.choice("bcde"),
        "SECOND": random.choice([2, 3, 4]),
        "THIRD": random.choice("yz"),
        "FOURTH": random.choice([True, 7]),
        "FIFTH": random.choice("no"),
    }

    def right(source: str) -> float:
        names: dict[str, Any] = {}
        exec(source, names)
        return float(sum(names[name] == value for name, value in wanted.items()))

    archive = search(CHOICES, seed, 15, right)
    assert max(each.score for each in archive) == 5.0


class _Watched(list[Scored]):
    """An archive that counts which of its members are read."""

    reads = 0

    def __iter__(self) -> Iterator[Scored]:
        self.reads += len(self)
        return super().__iter__()

    @overload
    def __getitem__(self, at: SupportsIndex) -> Scored: ...
    @overload
    def __getitem__(self, at: slice) -> list[Scored]: ...
    def __getitem__(self, at: SupportsIndex | slice) -> Scored | list[Scored]:
        self.reads += len(range(*at.indices(len(self)))) if isinstance(at, slice) else 1
        return super().__getitem__(at)


def test_a_large_archive_is_read_once() -> None:
    archive = _Watched(Scored(str(n), f"X = {n}.5\nY = 1\n", float(n % 977)) for n in range(3000))
    portfolio = Portfolio(1)
    for number in range(60):
        proposal = portfolio.propose(archive)
        assert proposal is not None
        portfolio.learn(proposal, 0.0, 0.0)
        archive.append(Scored(f"n{number}", proposal.source, 0.0))
    assert archive.reads < 3000 + 60 * 7


def test_where_no_operator_has_anything_new_several_numbers_are_changed_at_once() -> None:
    """Each of two booleans alone fails: only the pair is left, and then nothing."""
    block = "# EVOLVE-BLOCK-START\nX = {}\nY = {}\n# EVOLVE-BLOCK-END\n\n\ndef worth():\n    return 1 / (X != Y)\n"
    archive = search(block.format(True, False), 1, 50)
    assert {each.source for each in archive} == {block.format(x, y) for x in (True, False) for y in (True, False)}
    assert [each.operator for each in archive] == ["", "literals", "literals", "restart"]


def test_tuning_is_no_new_idea_and_another_structure_is() -> None:
    first = parse(SOURCE)
    tuned = parse(SOURCE.replace("2.0", "-77.5").replace("COUNT = 3", "COUNT = 3000"))
    longer = parse(SOURCE.replace("    return total", "    total = max(total, 0) * min(SIZE, 1)\n    return total"))
    assert kind_of(first, first) == kind_of(tuned, first) == "0:0"
    assert kind_of(longer, first) != kind_of(first, first)


def test_credit_goes_to_what_helps_for_its_cost_and_fades() -> None:
    credit, random = Credit(), Random(1)
    names = ["good", "dear", "bad"]
    for _ in range(300):
        name = credit.pick(names, random, {})
        credit.note(name, 0.0 if name == "bad" else 0.4, 5.0 if name == "dear" else 1.0)
    counts = {name: [credit.pick(names, random, {}) for _ in range(200)].count(name) for name in names}
    assert counts["good"] > 150 > counts["dear"]
    for _ in range(300):
        credit.note("good", 0.0, 1.0)
        credit.note("bad", 0.5, 1.0)
    assert [credit.pick(names, random, {}) for _ in range(200)].count("bad") > 150


def test_time_counts_only_where_it_is_told() -> None:
    def run(costs: list[float]) -> list[str]:
        portfolio, archive, found = Portfolio(4), [Scored("0", SOURCE, run_of(SOURCE))], []
        for cost in costs:
            proposal = portfolio.propose(archive)
            assert proposal is not None
            found.append(proposal.source)
            archive.append(Scored(str(len(archive)), proposal.source, run_of(proposal.source)))
            portfolio.learn(proposal, archive[-1].score, cost)
        return found

    assert run([0.0] * 40) == run([0.0] * 40)
    assert run([0.5] * 40) == run([0.5] * 40)
