"""What is made of the inputs that a model writes: cases that can be sent and kept, whatever the answer is."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_tui.evolution import attack_writing
from o_tui.evolution.adversarial import Versions, ways_of
from o_tui.evolution.probe.case import decode, encode

_plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
_keys = st.sampled_from(["query", "k", "memories", "text", "kind"])
_input = st.dictionaries(_keys, _plain | st.text(max_size=9), max_size=5)


@given(st.lists(_input, max_size=20), st.text(max_size=20), st.integers(0, 400))
def test_whatever_it_writes_becomes_cases_that_a_frame_and_the_archive_take(
    rows: list[dict[str, Any]], around: str, cut: int
) -> None:
    answer = around + "\n".join(map(json.dumps, rows)) + around
    for text in (answer, answer[:cut]):
        for gene in ("recall", "remember", "respond", "strategy"):
            found = attack_writing.read(text, gene)
            assert len(found) <= attack_writing.MOST and len({encode(case) for case in found}) == len(found)
            for case in found:
                assert decode(encode(case)) == case
                assert msgspec.msgpack.encode(case)
                assert json.dumps(msgspec.to_builtins(case), allow_nan=False)


@pytest.mark.parametrize(
    ("gene", "answer", "made"),
    [
        ("recall", '[{"query": "a", "k": -1}, {"query": "a", "k": -1}]', [("recall", ["a", -1])]),
        ("recall", '{"query": "a", "k": 9999999999}', [("recall", ["a", 1_000_000])]),
        ("recall", 'Here: {"query": ""} and {"query": " "', [("recall", ["", 5])]),
        ("recall", '<think>{"query": "no"}</think>{"query": "yes", "k": "3"}', [("recall", ["yes", 5])]),
        ("remember", '{"text": "a"}\n{"text": 1}', [("chunk", ["a"])]),
        ("strategy", '{"outcomes": []}', []),
    ],
)
def test_an_input_is_read_as_it_is_meant(gene: str, answer: str, made: list[tuple[str, list[Any]]]) -> None:
    calls = [case.calls[0] for case in attack_writing.read(answer, gene)]
    texts = [[arg for arg in call.args if not (isinstance(arg, list) and arg[0] == "stage")] for call in calls]
    assert [(call.name, text[:2]) for call, text in zip(calls, texts, strict=True)] == made


def test_what_is_known_is_told_and_not_asked_for_again() -> None:
    said = attack_writing.question("recall", "x = 1\n", ["recall(''): raises IndexError"])[-1]["content"]
    assert "x = 1" in said and "recall(''): raises IndexError" in said and '"query"' in said


def test_a_model_attacks_last_and_only_what_has_a_form() -> None:
    assert ways_of("recall", Versions("a", "b"), model=True) == ("contract", "regression", "model")
    assert ways_of("recall", Versions("a"), model=False) == ("contract",)
    assert ways_of("strategy", Versions("a"), model=True) == ("contract",)
    assert ways_of("tools/days", Versions("a"), model=True) == ("contract",)
