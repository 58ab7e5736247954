"""What an answer is worth, judged from outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_tui.evolution import quality, workloads
from o_tui.paths import shipped
from o_tui.protocol.errors import CorruptError

ROWS = json.dumps(
    [{"id": "b1", "text": "Ann likes peonies", "source": "D1:3"}, {"id": "b2", "text": "The port is 5433"}]
)


@pytest.mark.parametrize(
    ("expect", "answer", "score"),
    [
        (None, "anything", None),
        ({}, "anything", None),
        ({"contains": ["Peonies"]}, "she likes peonies", 1.0),
        ({"contains": ["peonies", "roses"]}, "she likes peonies", 0.5),
        ({"contains": ["roses"]}, "", 0.0),
        ({"hits": ["peonies"]}, ROWS, 1.0),
        ({"hits": ["D1:3", "b2"]}, ROWS, 1.0),
        ({"hits": ["5433"], "k": 1}, ROWS, 0.0),
        ({"hits": ["5433", "peonies"], "k": 1}, ROWS, 0.5),
        ({"hits": ["peonies"]}, "not JSON: peonies", 0.0),
        ({"hits": ["peonies"]}, '{"text": "peonies"}', 0.0),
        ({"hits": ["peonies"]}, "[" * 100_000, 0.0),
    ],
)
def test_an_answer_is_worth_what_it_holds(expect: dict[str, object] | None, answer: str, score: float | None) -> None:
    assert quality.score(expect, answer) == score


@given(st.text(max_size=200))
def test_no_answer_can_be_worth_more_than_one_or_fail_to_be_judged(answer: str) -> None:
    for expect in ({"contains": ["a", "b"]}, {"hits": ["a"], "k": 3}):
        assert 0 <= (quality.score(expect, answer) or 0.0) <= 1


@pytest.mark.parametrize(
    "wrong", [[], "text", {}, {"contains": []}, {"contains": "x"}, {"contains": [""]}, {"hits": ["x"], "k": 0},
              {"contains": ["x"], "hits": ["y"]}, {"hits": ["x"], "k": "5"}, {"contains": ["x"], "more": 1}]
)  # fmt: skip
def test_an_expectation_that_is_none_is_named(wrong: object) -> None:
    assert quality.check(wrong)


def test_the_line_of_a_wrong_expectation_is_named(tmp_path: Path) -> None:
    (tmp_path / "recall.jsonl").write_text('{"text": "a"}\n{"text": "b", "expect": {"contains": []}}\n')
    with pytest.raises(CorruptError, match=r"recall\.jsonl:2: expect\.contains is a list of one text or more"):
        workloads.load([tmp_path], "recall")


def test_the_shipped_workload_of_recall_can_be_judged() -> None:
    found = workloads.load([shipped("data") / "workloads"], "recall")
    judged = [request for request in found.requests if request.expect]
    assert len(judged) >= 30
    memory = "\n".join(request.text for request in found.setup)
    assert all(hit in memory for request in judged for hit in (request.expect or {})["hits"]), "each answer is there"
