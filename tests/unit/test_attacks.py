"""What is kept of a fault that was found, and how the next way of looking is chosen."""

from __future__ import annotations

import ast
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_tui.evolution import attack_requests
from o_tui.evolution.arbiter import Arbiter, Policy
from o_tui.evolution.attacks import Attack, Ways, attack
from o_tui.evolution.probe.case import Call, Case, decode, encode
from o_tui.evolution.probe.harvest import harvest
from o_tui.evolution.probe.properties import breach
from o_tui.evolution.samples import Pair, RecordedRequest, Side
from o_tui.guardian.storage.attack_rows import AttackRows
from o_tui.paths import Paths
from tests.support.storage import opened

CASE = Case("calls", [Call("recall", ["Basel", ["stage", "Search", ["a"], "", 0], 3, 5])])


def test_attacks_that_show_the_same_have_one_signature_whatever_their_inputs() -> None:
    longer = Case("calls", [*CASE.calls, *CASE.calls])
    found = [
        attack("recall", longer, "raises IndexError; main does not", "r1"),
        attack("recall", CASE, "raises IndexError; main does not", "r2"),
        attack("recall", CASE, "raises KeyError; main does not", "r3"),
        attack("recall", CASE, "a memory twice: [Hit]", "r4"),
    ]
    assert found[0].signature == found[1].signature
    assert len({each.signature for each in found}) == 3
    assert [each.kind for each in found] == ["raises", "raises", "raises", "property"]
    assert found[1].case() == CASE


def test_a_choice_that_a_tool_does_not_offer_is_no_attack_on_it() -> None:
    """The kernel holds whoever calls a tool to its hints; only an input that can come breaks a contract."""
    tree = ast.parse("def change(text: str, how: Literal['upper', 'lower'] = 'upper') -> str: ...")
    functions = harvest(tree).functions
    raised: list[Any] = ["calls", ["raises", "KeyError", False]]
    for call, expected in (
        (Call("change", ["a", "upper"]), "raises KeyError"),
        (Call("change", ["a"], {"how": "lower"}), "raises KeyError"),
        (Call("change", ["a", ""]), ""),
        (Call("change", ["a"], {"how": "sideways"}), ""),
        (Call("other", [""]), "raises KeyError"),
    ):
        assert breach("tools/text", Case("calls", [call]), raised, functions) == expected, call


_leaf = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8) | st.floats(allow_nan=False)
_recipe = st.recursive(
    _leaf, lambda inner: st.lists(inner, max_size=3).map(lambda items: ["list", *items]), max_leaves=6
)
_call = st.builds(
    Call, st.text(max_size=5), st.lists(_recipe, max_size=3), st.dictionaries(st.text(max_size=4), _recipe)
)


@given(st.builds(Case, st.just("calls"), st.lists(_call, max_size=3), st.text(max_size=4)))
def test_a_case_comes_back_as_it_was(case: Case) -> None:
    assert decode(encode(case)) == case


def test_the_way_that_pays_is_taken_more_often_and_a_change_is_noticed() -> None:
    random_ = random.Random(3)
    ways = Ways(["a", "b", "c"])
    for good in ("b", "c"):
        taken = []
        for _ in range(400):
            way = ways.choose(random_)
            taken.append(way)
            ways.learn(way, random_.random() < (0.5 if way == good else 0.05))
        assert taken[-150:].count(good) > 90
    assert Ways(["a", "b", "c"], ways.state()).state() == ways.state()


async def test_the_archive_keeps_each_fault_once(workspace: Paths) -> None:
    async with opened(workspace) as database:
        rows = AttackRows(database)
        first = attack("recall", CASE, "raises IndexError; main does not", "r1")
        assert await rows.add(first)
        assert not await rows.add(attack("recall", CASE, "raises IndexError; main does not", "r2"))
        assert await rows.add(attack("respond", CASE, "raises IndexError; main does not", "r2"))
        assert await rows.of("recall") == [first]


async def test_the_same_fault_by_another_input_is_kept_beside_it_where_the_first_was_stood(workspace: Paths) -> None:
    other = Case("calls", [Call("recall", ["Bern", ["stage", "Search", ["a"], "", 0], 3, 5])])
    async with opened(workspace) as database:
        rows = AttackRows(database)
        found = [attack("recall", case, "raises IndexError", "red team") for case in (CASE, other)]
        assert await rows.add(found[0], again=True) and not await rows.add(found[1])
        assert await rows.add(found[1], again=True)
        assert not await rows.add(found[0], again=True) and not await rows.add(found[1], again=True)
        assert await rows.of("recall") == found


def _kept(function: str, args: list[Any], gene: str = "recall", kind: Any = "property") -> Attack:
    case = encode(Case("calls", [Call(function, args)]))
    return Attack(gene=gene, function=function, arguments=case, kind=kind, expected="x")


def test_an_attack_becomes_the_request_that_brings_it_to_the_gene() -> None:
    stage = ["stage", "Search", ["in Basel", "at home"], "", 0]
    work = attack_requests.requests(
        [
            _kept("recall", ["Basel", stage, 3, 5]),
            _kept("recall", ["Basel", stage, None, 5]),  # no request has a k like this
            _kept("consolidate", [["list"], 5], "remember"),  # nobody asks for it
            _kept("chunk", [["repeat", 2, "a b "]], "remember"),
            _kept("respond", [["new", "Request", ["r", "hello"], {}], ["stage", "Context", [], "", 2]], "respond"),
        ]
    )
    assert [(request.kind, request.text) for request in work.requests] == [
        ("memory.search", '{"text": "Basel", "k": 3}'),
        ("memory.add", '{"text": "a b a b "}'),
        ("chat", "hello"),
    ]
    (memory,) = work.setup
    assert memory.scope == work.requests[0].scope and "at home" in memory.text
    few = attack_requests.requests([_kept("chunk", [text], "remember") for text in ("a", "b", "c")], 2)
    assert [request.text for request in few.requests] == ['{"text": "b"}', '{"text": "c"}'], "the newest"


@pytest.mark.parametrize(
    ("kind", "main", "candidate", "wrong"),
    [
        ("equal-to-reference", "a", "a", ""),
        ("equal-to-reference", "a", "b", "it answers otherwise than main"),
        ("raises", "a", "b", ""),
        ("property", '[{"id": "1", "score": 1.0, "text": "x"}]', '[{"id": "2", "score": 0.5, "text": "x"}]', ""),
        (
            "property",
            '[{"id": "1", "score": 1.0, "text": "x"}]',
            '[{"id": "1", "score": 0.1, "text": "x"}, {"id": "2", "score": 0.5, "text": ""}]',
            "scores that are no numbers, or not the best first",
        ),
        ("property", "[]", "no list", ""),
    ],
)
def test_what_counts_of_an_answer_is_what_the_attack_says(kind: str, main: str, candidate: str, wrong: str) -> None:
    request = RecordedRequest("a", '{"text": "x", "k": 2}', "memory.search", source="attack", attack=kind)
    ours, theirs = attack_requests.judged(request, Side("answered", main), Side("answered", candidate))
    assert (ours.ok, theirs.ok, theirs.error) == (True, not wrong, wrong)


def test_what_main_gets_wrong_itself_is_an_error_of_main() -> None:
    request = RecordedRequest("a", '{"text": "x", "k": 1}', "memory.search", source="attack", attack="property")
    hits = [{"id": "1", "score": 1.0, "text": "x"}, {"id": "2", "score": 0.5, "text": "x"}]
    sides = [Side("answered", json.dumps(found)) for found in (hits, hits[:1])]
    ours, theirs = attack_requests.judged(request, *sides)
    assert (ours.ok, theirs.ok) == (False, True)


@pytest.mark.parametrize(("goal", "verdict"), [("errors", "promote"), ("latency", "no_evidence")])
def test_standing_an_attack_that_main_fails_at_is_a_repair(goal: Any, verdict: str) -> None:
    arbiter = Arbiter(Policy(budget=20, least=20), goal)
    request = RecordedRequest("attack-1", "x", source="attack", attack="raises")
    arbiter.add(Pair(request, Side("error", error="IndexError"), Side("answered", "x")))
    for number in range(19):
        asked = RecordedRequest(f"{number}", "x")
        arbiter.add(Pair(asked, *(Side("answered", "x", wall_ns=1_000, cpu_ns=1_000) for _ in range(2)), number // 3))
    decision = arbiter.decision()
    assert decision.verdict == verdict
    if verdict == "promote":
        assert decision.reasons[0] == "it stands 1 kept attack that main's code fails at"


def test_a_kept_attack_that_only_the_candidate_fails_at_rejects_at_once() -> None:
    arbiter = Arbiter()
    request = RecordedRequest("attack-1~1", "x", source="attack", attack="raises")
    arbiter.add(Pair(request, Side("answered", "x"), Side("error", error="IndexError")))
    assert arbiter.decision().reasons[0] == "a kept attack breaks it: error: IndexError (attack-1)"
