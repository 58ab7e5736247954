"""What e-BH makes of winners that were measured again."""

from __future__ import annotations

from typing import Any

from o_tui.evolution.arbiter import Decision
from o_tui.evolution.budget import NOTHING
from o_tui.guardian.evolving.finals import decide
from o_tui.guardian.evolving.measuring import Measured

BETTER, NEITHER = Decision("promote", ("faster",)), Decision("no_evidence", ("not shown",))
WORSE = Decision("reject", ("crashed",))
LEFT = Decision("no_evidence", ("one answer differs", "faster"), shown=True)


def decided(**winners: tuple[float, Decision]) -> tuple[str, Decision, dict[str, Any]]:
    measured = {name: Measured({}, alone, NOTHING, shown, alone) for name, (shown, alone) in winners.items()}
    name, found = decide(measured, 0.01)
    return name, found.decision, dict(found.evidence)


def test_one_winner_is_what_it_was_measured_as() -> None:
    assert decided(a=(150.0, BETTER)) == ("a", BETTER, {})


def test_what_suffices_for_one_alone_does_not_suffice_for_the_best_of_two() -> None:
    name, decision, evidence = decided(a=(150.0, BETTER), b=(1.0, NEITHER))
    assert (name, decision.verdict) == ("a", "no_evidence")
    assert evidence["decision"] == "no_evidence"
    assert [each["shown"] for each in evidence["confirmed"]["winners"]] == [False, False]


def test_two_that_show_it_need_no_more_than_one_alone() -> None:
    name, decision, evidence = decided(a=(110.0, BETTER), b=(130.0, BETTER))
    assert (name, decision.verdict) == ("b", "promote")
    assert decision.reasons == ("faster", "e-BH: 2 of 2 winners measured again are shown better at 1%")
    assert evidence["reasons"] == list(decision.reasons)


def test_a_guard_that_is_broken_is_not_outweighed() -> None:
    name, decision, _ = decided(a=(1e6, WORSE), b=(250.0, BETTER))
    assert (name, decision.verdict) == ("b", "promote")
    assert decided(a=(1e6, WORSE), b=(1.0, NEITHER))[1].verdict == "reject"


def test_what_is_left_to_the_operator_comes_behind_what_is_not() -> None:
    assert decided(a=(250.0, LEFT), b=(210.0, BETTER))[0] == "b"
    name, decision, _ = decided(a=(1.0, NEITHER), b=(250.0, LEFT))
    assert (name, decision.verdict, decision.shown) == ("b", "no_evidence", True)
    name, decision, _ = decided(a=(150.0, LEFT), b=(1.0, NEITHER))
    assert (name, decision.verdict, decision.shown) == ("a", "no_evidence", False)
