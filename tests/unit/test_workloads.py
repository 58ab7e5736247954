"""Which requests a trial is made of, and how good their answers are."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_tui.evolution import quality, workloads
from o_tui.evolution.samples import RecordedRequest
from o_tui.evolution.watch import HarmWatch, Paired
from o_tui.evolution.workloads import BLOCK, Workload
from o_tui.protocol.errors import CorruptError
from tests.story import conversations
from tests.story.workload import write_workload


def asked(name: str, scope: str = "", *, held_back: bool = False) -> RecordedRequest:
    expect = {"contains": ["x"]}
    return RecordedRequest(name, "x", source="workload", expect=expect, scope=scope, held_back=held_back)


def test_what_is_held_back_is_for_the_proof_alone() -> None:
    mixed = tuple(asked(f"{n}", held_back=n % 3 == 0) for n in range(30))
    usual = workloads.choose([], Workload((), mixed), 100, seed=1).requests
    proof = workloads.choose([], Workload((), mixed), 5, seed=1, proof=True).requests
    assert {request.id for request in usual} == {f"{n}" for n in range(30) if n % 3}
    assert {request.id for request in proof} == {f"{n}" for n in range(0, 30, 3)}, "all of it, whatever the pairs"


def test_without_anything_held_back_a_proof_is_made_on_the_same() -> None:
    workload = Workload((), tuple(asked(f"{n}") for n in range(10)))
    assert workloads.choose([], workload, 10, 1, proof=True) == workloads.choose([], workload, 10, 1)


def test_half_of_the_places_are_a_random_half() -> None:
    workload = Workload((), tuple(asked(f"{n}") for n in range(100)))
    chosen = [{request.id for request in workloads.choose([], workload, 40, seed).requests} for seed in range(2)]
    assert len(chosen[0]) == 20 and chosen[0] != chosen[1] != {f"{n}" for n in range(20)}


@given(st.lists(st.sampled_from("abc"), max_size=300), st.integers(0, 5))
def test_blocks_have_one_scope_and_lose_nothing(scopes: list[str], seed: int) -> None:
    requests = [asked(f"{n}", scope) for n, scope in enumerate(scopes)]
    blocked = workloads.in_blocks(requests, random.Random(seed))
    assert Counter(request.id for request in blocked) == Counter(request.id for request in requests)
    changes = sum(one.scope != two.scope for one, two in itertools.pairwise(blocked))
    assert changes <= sum(-(-scopes.count(scope) // BLOCK) for scope in "abc")


def test_a_workload_of_conversations_is_read_back(tmp_path: Path) -> None:
    talks, _ = conversations.load(None)
    file = tmp_path / "recall.jsonl"
    seen, unseen = write_workload(file, talks, 2)
    read = workloads.load([tmp_path], "recall")
    assert [sum(request.held_back == kept for request in read.requests) for kept in (False, True)] == [seen, unseen]
    assert {request.scope for request in read.setup} == {talk["sample_id"] for talk in talks}
    assert all(request.expect and request.expect["hits"][0].startswith("locomo:") for request in read.requests)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('"expect": {"hits": []}', "expect.hits is a list of one text or more, not []"),
        ('"expect": {"contains": "x"}', 'expect.contains is a list of one text or more, not "x"'),
        ('"expect": {"contains": ["x", 3]}', "expect.contains[1] is a text, not 3"),
        ('"expect": {"like": ["x"]}', "expect has no key 'like': it has contains, or hits and k"),
        ('"expect": {"k": 3}', "expect has neither of contains and hits: one of them is needed"),
        ('"expect": {"contains": ["x"], "hits": ["x"]}', "expect has both of contains and hits: one of them is needed"),
        ('"expect": {"contains": ["x"], "k": 3}', "expect.k goes with hits only"),
        ('"expect": {"hits": ["x"], "k": true}', "expect.k is a whole number from 1 on, not true"),
        ('"expect": ["x"]', 'expect is an object like {"contains": ["a text"]}, not ["x"]'),
        ('"expect": {"hits": ["x"]}, "setup": true', "expect does not go with setup: what is set up is not measured"),
        ('"expects": {}', "there is no key 'expects': text, kind, session, setup, expect, scope, holdout"),
    ],
)
def test_a_line_that_says_nothing_is_named_with_what_is_wrong(tmp_path: Path, more: str, said: str) -> None:
    (tmp_path / "recall.jsonl").write_text(f'\n{{"text": "x", {more}}}\n')
    with pytest.raises(CorruptError, match=re.escape(f"recall.jsonl:2: {said}")):
        workloads.load([tmp_path], "recall")


def test_a_hit_is_the_very_source_or_stands_in_the_text() -> None:
    rows = [{"id": "b1", "source": "talk:D1:31", "text": "Porto was fine"}, {"id": "b2", "source": "talk:D1:4"}]
    found = json.dumps(rows)
    assert quality.score({"hits": ["talk:D1:31", "talk:D1:4"]}, found) == 1.0
    assert quality.score({"hits": ["talk:D1:3"]}, found) == 0.0, "the beginning of another place is no hit"
    assert quality.score({"hits": ["porto", "b2"], "k": 1}, found) == 0.5
    assert quality.score({"hits": ["b1"]}, "no list") == 0.0
    assert quality.score({"contains": ["Fine", "never"]}, "all is fine") == 0.5
    assert quality.score(None, "x") is None


def test_what_was_approved_to_take_longer_does_not_alarm_and_what_goes_beyond_does() -> None:
    chance = random.Random(3)
    calm, harmed = HarmWatch(expected=1.6), HarmWatch(expected=1.6)
    for _ in range(1_000):
        noise = chance.uniform(0.95, 1.05)
        assert calm.add(Paired(0.0, 0.0, 1_000_000, int(1_600_000 * noise))) == ""
        said = harmed.add(Paired(0.0, 0.0, 1_000_000, int(1_600_000 * 1.4 * noise)))
    assert "latency +12" in said, said
