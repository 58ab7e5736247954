"""The red team's rounds: whose turn it is, when it is enough, what it may cost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from o_tui.evolution.adversarial import BLUE_S, DAY_S, REST_S, Rounds, Versions, seeds
from o_tui.evolution.probe.case import decode, encode

GENES = {"recall": Versions("a", "b"), "respond": Versions("a")}


def play(rounds: Rounds, now_s: float, found: bool = False) -> str:
    """One round; who was attacked how."""
    chosen = rounds.next(GENES, now_s)
    if chosen is None:
        return ""
    ways = 2 if GENES[chosen.gene].before else 1
    rounds.ended(chosen, found=found, ways=ways, cpu_s=2.0, now_s=now_s)
    return f"{chosen.gene} {chosen.way}"


def test_red_rests_when_each_way_has_found_nothing_new() -> None:
    rounds = Rounds()
    played = {play(rounds, 0) for _ in range(3)}
    assert played == {"recall contract", "recall regression", "respond contract"}, "nothing was before respond"
    assert play(rounds, 1) == play(rounds, REST_S - 1) == ""
    assert play(rounds, REST_S) != ""


def test_after_a_find_it_is_the_blue_teams_turn_until_the_gene_has_changed() -> None:
    rounds = Rounds()
    assert play(rounds, 0, found=True) == "recall contract"
    assert play(rounds, 0) == "respond contract" and play(rounds, 1) == ""
    changed = {**GENES, "recall": Versions("c", "a")}
    again = rounds.next(changed, 1)
    assert again is not None and (again.gene, again.way, again.number) == ("recall", "contract", 1)
    assert rounds.next(GENES, 1) is not None, "back is a change too"
    rounds = Rounds()
    play(rounds, 0, found=True)
    play(rounds, 0)
    assert play(rounds, BLUE_S) == "recall contract", "blue had its turn, and nothing came of it"


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 40_000)), max_size=60))
def test_it_always_rests_and_its_day_is_counted(steps: list[tuple[bool, float]]) -> None:
    rounds, now_s = Rounds(), 0.0
    played: list[float] = []
    for found, later_s in steps:
        now_s += later_s
        if play(rounds, now_s, found):
            played.append(now_s)
        assert rounds.spent_s(now_s) == 2.0 * sum(now_s - at < DAY_S for at in played)
    left = 0
    while play(rounds, now_s):
        left += 1
    assert left <= 3


def test_what_was_asked_becomes_cases_that_can_be_kept() -> None:
    for gene, count in (("recall", 2), ("remember", 2), ("respond", 2), ("tools/dates", 0)):
        made = seeds(gene, ["where is Basel?", "", "hello"])
        assert len(made) == count
        assert all(decode(encode(case)) == case for case in made)
