"""Parts of a diff, the risk of a change, budgets, and what outcomes teach."""

from __future__ import annotations

import difflib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_tui.evolution import diffs, risk, scoring, strategy
from o_tui.evolution.budget import Budget, BudgetSpentError, Cost, limit_of

texts = st.lists(st.sampled_from(["a", "b", "c", "", "--- d", "+++ e", "@@ f"]), max_size=12).flatmap(
    lambda lines: st.booleans().map(lambda ends: "\n".join(lines) + ("\n" if lines and ends else ""))
)


def diff_of(old: str, new: str, context: int = 3) -> str:
    """As git writes it, with its mark where no newline ends a file."""
    lines: list[str] = []
    pair = [text.splitlines(keepends=True) for text in (old, new)]
    for line in difflib.unified_diff(*pair, "a/recall.py", "b/recall.py", n=context):
        lines.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    return "".join(lines)


# --- parts of a diff


@given(texts, texts, st.integers(0, 3))
def test_all_of_a_diff_is_the_candidate_and_nothing_of_it_the_base(old: str, new: str, context: int) -> None:
    files = diffs.parse(diff_of(old, new, context))
    if old == new:
        assert files == []
        return
    (file,) = files
    every = [line.key for hunk in file.hunks for line in hunk.lines if line.key]
    assert len(set(every)) == len(every)
    assert diffs.apply_part(old, file, every) == new
    assert diffs.apply_part(old, file, ()) == old
    hunks = [f"@{number}" for number in range(1, len(file.hunks) + 1)]
    assert diffs.chosen_keys(file, hunks) == diffs.chosen_keys(file, [f"recall.py:{key}" for key in every])


@given(texts, texts, st.data())
def test_a_part_has_the_lines_that_were_chosen(old: str, new: str, data: st.DataObject) -> None:
    files = diffs.parse(diff_of(old, new))
    if not files:
        return
    lines = [line for hunk in files[0].hunks for line in hunk.lines if line.key]
    chosen = set(data.draw(st.lists(st.sampled_from([line.key for line in lines]), unique=True)))
    made = diffs.apply_part(old, files[0], chosen)
    grown = sum(line.kind == "add" for line in lines if line.key in chosen)
    shrunk = sum(line.kind == "remove" for line in lines if line.key in chosen)
    assert len(made.splitlines()) == len(old.splitlines()) + grown - shrunk


def test_a_part_of_another_base_is_refused() -> None:
    (file,) = diffs.parse(diff_of("a\nb\n", "a\nc\n"))
    with pytest.raises(ValueError, match="line 2 is not what the diff was made from"):
        diffs.apply_part("a\nx\n", file, ["+2"])
    for key in ("+9", "@2", "@0", "@x", "", "other.py:+2"):
        with pytest.raises(ValueError, match="no changed line"):
            diffs.chosen_keys(file, [key])


# --- risk

BEFORE = """from o_tui.agent.dsl import Say

LIMIT = 3

def respond(request, context):
    yield Say(request.text[:LIMIT])
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("LIMIT = 3", "LIMIT = 3  # few", "low"),
        ("LIMIT = 3", "LIMIT = -2.5", "low"),
        ("LIMIT = 3", "LIMIT = True", "medium"),
        ("[:LIMIT]", "[LIMIT:]", "medium"),
        ("import Say", "import AskModel, Say", "high"),
        ("LIMIT = 3", "LIMIT = 3\nimport re", "high"),
        ("def respond(request, context)", "def respond(request, context, more=1)", "high"),
        ("    yield Say", "    yield Remember('x')\n    yield Say", "high"),
        ("def respond", "@tool\ndef respond", "high"),
        ("def respond", "def (", "high"),
    ],
)
def test_the_class_of_a_change(old: str, new: str, expected: str) -> None:
    assert old in BEFORE
    assert risk.risk(BEFORE, BEFORE.replace(old, new, 1)) == expected


def test_what_is_new_is_of_the_highest_class_and_classes_are_ordered() -> None:
    assert risk.risk("", BEFORE) == "high"
    assert risk.at_most("low", "medium") and risk.at_most("high", "high")
    assert not risk.at_most("high", "medium") and not risk.at_most("", "high")


# --- budgets


def test_a_budget_says_which_part_of_it_is_spent() -> None:
    budget = Budget(limit_of({"requests": 10}, Cost(tokens=100, cpu_s=5.0)))
    budget.spend(Cost(requests=9, tokens=99))
    budget.check()
    assert budget.requests_left() == 1
    budget.spend(Cost(requests=3))
    with pytest.raises(BudgetSpentError, match="the budget is spent: 12 of 10 requests"):
        budget.check()
    assert budget.row()["spent"]["requests"] == 12 and budget.requests_left() == 0


def test_time_is_a_budget_from_the_first_look_on() -> None:
    now_s = [100.0]
    budget = Budget(limit_of({"wall_s": 60}, Cost()), lambda: now_s[0])
    now_s[0] = 500.0  # it waited for its turn
    budget.check()
    now_s[0] = 559.0
    budget.spend(Cost(requests=1))
    budget.check()
    now_s[0] = 560.0
    with pytest.raises(BudgetSpentError, match="the budget is spent: 60 of 60 seconds"):
        budget.check()
    assert budget.row()["spent"] == Cost(requests=1, wall_s=60.0).row()


@pytest.mark.parametrize("given", [{"time": 1}, {"requests": -1}, {"requests": True}, {"cpu_s": float("nan")}])
def test_a_budget_that_is_none_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="budget"):
        limit_of(given, Cost())


# --- what outcomes teach


def ended(source: str, outcome: str, times: int = 1) -> list[dict[str, Any]]:
    return [{"gene": "recall", "source": source, "operator": "", "outcome": outcome}] * times


def test_credit_decays_and_a_rollback_costs_more_than_a_no() -> None:
    old_then_new = strategy.credit([*ended("llm", "promoted", 3), *ended("operators", "rejected", 20)])
    assert old_then_new["llm"]["wins"] < 0.5 and old_then_new["llm"]["tries"] == 3
    rolled, rejected = (strategy.credit(ended("llm", name))["llm"]["losses"] for name in ("rolled_back", "rejected"))
    assert rolled == 2 * rejected


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([*strategy.WORTH, "unknown"])), max_size=40))
def test_a_choice_is_one_of_the_options_and_the_same_again(past: list[tuple[str, str]]) -> None:
    outcomes = [ended(source, outcome)[0] for source, outcome in past]
    chosen = strategy.choose(outcomes, ["a", "b"])
    assert chosen in ("a", "b") and chosen == strategy.choose(outcomes, ["a", "b"])


def test_what_succeeds_is_chosen_more_often_and_the_other_is_not_forgotten() -> None:
    past = [*ended("b", "promoted", 6), *ended("a", "rejected", 2)]
    chosen = [strategy.choose([*ended("c", "failed", n), *past], ["a", "b"]) for n in range(300)]
    assert 0.8 < chosen.count("b") / len(chosen) < 1.0


def test_a_score_is_zero_for_what_is_as_good() -> None:
    assert scoring.score({}) == 0 == scoring.score({"latency": {"ratio_median": 1.0}, "pairs": 10, "errors": {}})
    faster = scoring.score({"latency": {"ratio_median": 0.8}})
    assert faster > 0 > scoring.score({"latency": {"ratio_median": 0.8}, "quality": {"difference": -0.1}})
