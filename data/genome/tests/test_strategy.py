"""Which source of changes is asked next."""

from __future__ import annotations

from typing import Any

from ..strategy import choose


def ended(source: str, outcome: str, times: int) -> list[dict[str, Any]]:
    return [{"gene": "recall", "source": source, "operator": "", "outcome": outcome, "cost_s": 1.0}] * times


def test_it_is_one_of_the_options() -> None:
    assert choose([], ["operators"]) == "operators"
    assert choose(ended("llm", "promoted", 3), ["operators", "others"]) in ("operators", "others")


def test_what_succeeds_is_chosen_more_often() -> None:
    chosen = [
        choose(ended("operators", "rejected", count) + ended("llm", "promoted", 8), ["operators", "llm"])
        for count in range(1, 21)
    ]
    assert chosen.count("llm") > 14


def test_the_same_past_gives_the_same_choice() -> None:
    past = ended("llm", "rejected", 5)
    assert choose(past, ["operators", "llm"]) == choose(past, ["operators", "llm"])
