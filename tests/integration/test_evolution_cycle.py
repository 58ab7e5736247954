"""Evolutions from intent to a candidate that waits for approval; instances are stand-ins (tests/support/desk.py)."""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import Any

import pytest

from o_tui.config import EvolutionConfig
from o_tui.evolution.attacks import Attack
from o_tui.evolution.probe.case import Call, Case, encode
from o_tui.evolution.samples import RecordedRequest
from o_tui.guardian.evolving import diffing
from o_tui.guardian.evolving.evolutions import MAX_WAITING
from o_tui.guardian.storage.attack_rows import AttackRows
from o_tui.protocol.errors import NotFoundError, RefusedError, UsageError
from tests.support import desk as desks
from tests.support.desk import ANN, RECALL, Desk, World, source
from tests.support.patience import PATIENCE_S

database, seed, world, desk, read_only = desks.database, desks.seed, desks.world, desks.desk, desks.read_only


# --- the cycle


async def test_a_faster_candidate_waits_for_approval_with_its_evidence(desk: Desk, world: World) -> None:
    row = await desk.evolve("fast")
    assert (row["state"], row["verdict"]) == ("pending", "promote")
    assert row["base"] == desk.genome.head() and row["next_version"] == "0.2.0"
    assert row["checkpoint_id"] == "checkpoint-1" and world.checkpoints == [f"before evolution {row['id']}"]
    assert all(stage["verdict"] in ("pass", "skip") for stage in row["stages"]) and len(row["stages"]) > 6
    assert "-# base\n+# fast\n" in row["diff"]
    evidence = row["evidence"]
    pairs = evidence["pairs"]
    assert pairs == 80
    assert evidence["latency"]["ratio_median"] == 0.5 and len(evidence["paired"]) == pairs
    assert evidence["e_values"]["better_latency"] >= 100 and evidence["e_values"]["slower_latency"] < 1
    assert evidence["answers"]["same"] == pairs and evidence["requests_from"]["recorded"] == pairs
    assert evidence["decision"] == "promote" and evidence["reasons"][0].startswith("latency -50.0 %")
    states = [data["state"] for topic, data in world.notices if topic == "evolution"]
    assert [state for at, state in enumerate(states) if state not in states[:at]] == [
        "intent", "checkpoint", "generate", "validate", "shadow", "pending",
    ]  # fmt: skip
    assert all("diff" not in data for topic, data in world.notices if topic == "evolution")
    assert not any(instance.alive for instance in world.forked)
    assert [entry["id"] for entry in await desk.evolutions.reports.pending()] == [row["id"]]
    twin, shadow = desk.evolutions.shadow_rows()
    assert (twin["role"], shadow["role"], shadow["verdict"], shadow["state"]) == ("twin", "shadow", "promote", "ended")
    assert (shadow["requests"], shadow["total"]) == (pairs, 80) and shadow["trend"] == [0.5] * 60
    assert desk.genome.head() == row["base"], "nothing is deployed"


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("slow", "slower: latency +100.0 %"),
        ("crash", "1 crash where main's code answered (crash: signal 11)"),
        ("flaky-crash", "1 crash where main's code answered (crash: signal 11)"),
        ("hang", "1 hang where main's code answered (hang: no answer within 0.05 s)"),
        ("raise", "7 of 7 requests failed, 0 of main's (error: ValueError: boom (recall.py:3))"),
        ("fat", "peak memory 80.0 MiB, main's 20.0 MiB: 4.0 times"),
        ("burglar", "the sandbox refused it seccomp: socket"),
        ("unloadable", "ImportError: no such thing (recall.py:1)"),
    ],
)
async def test_a_bad_candidate_is_rejected_with_its_numbers(
    desk: Desk, world: World, behaviour: str, reason: str
) -> None:
    row = await desk.evolve(behaviour)
    assert (row["state"], row["verdict"]) == ("rejected", "reject")
    assert row["reason"].startswith(reason)
    assert not any(instance.alive for instance in world.forked)
    assert any(reason in text for _level, text in world.events)
    with pytest.raises(RefusedError, match="is not waiting for approval, it is rejected"):
        await desk.evolutions.approve(row["id"], row["diff_sha256"], ANN)


async def test_other_answers_are_no_evidence_and_wait_for_the_operator(desk: Desk) -> None:
    row = await desk.evolve("other")
    assert (row["state"], row["verdict"]) == ("pending", "no_evidence")
    assert row["reason"].startswith("80 of 80 answers differ")
    assert row["evidence"]["answers"]["examples"][0]["candidate"] == "different"


async def test_both_sides_get_the_same_in_processes_that_are_forked_often(desk: Desk, world: World) -> None:
    (tmp := desk.genome.path.parent / "workloads").mkdir()
    (tmp / "recall.jsonl").write_text('{"text": "fill", "setup": true}\n' + '{"text": "q"}\n' * 30)
    world.recorded = world.recorded[:2]
    desk.evolutions = desk.restarted(pairs=36)
    desk.evolutions.measuring.folders = [tmp]
    row = await desk.evolve("fast")
    sources = row["evidence"]["requests_from"]
    assert sources["recorded"] >= 2 and sources["recorded"] + sources["workload"] == 36
    assert row["evidence"]["latency"]["forks"] == 4 and len(world.forked) == 8
    asked: dict[str, list[tuple[str, int]]] = {"base": [], "fast": []}
    for instance in world.forked:
        mine = [(name, time_ns) for pid, name, time_ns in world.asked_for if pid == instance.pid]
        assert [name for name, _ in mine if "setup" in name] == ["workload-recall-1~setup"] == [mine[0][0]]
        assert len({name for name, _ in mine}) == len(mine) in (12, 8), "memory, one to warm up, ten or six to measure"
        assert all(time_ns > 0 for _, time_ns in mine)
        asked[instance.behaviour] += mine
    assert sorted(asked["base"]) == sorted(asked["fast"])


async def test_what_main_answers_meanwhile_is_mirrored(desk: Desk, world: World) -> None:
    begun = await desk.evolutions.evolve("recall", source("gate"))
    await world.at_gate.wait()
    world.recorded = [RecordedRequest("live-1", "just now"), *world.recorded]
    world.gate.set()
    row = await asyncio.wait_for(desk.evolutions.reports.wait(begun["evolution"]), PATIENCE_S)
    assert row["evidence"]["requests_from"]["mirrored"] == 1
    assert [name for _pid, name, _time in world.asked_for if name.startswith("live-1~")]


def kept(kind: Any, query: str = "trick") -> Attack:
    case = Case("calls", [Call("recall", [query, ["stage", "Search", ["one trick", "two"], "", 0], 3, 5])])
    return Attack(gene="recall", function="recall", arguments=encode(case), kind=kind, expected=f"gives {query}")


async def test_a_shadow_meets_the_kept_attacks_first_and_what_they_say_decides(desk: Desk, world: World) -> None:
    await AttackRows(desk.database).add(kept("equal-to-reference"))
    row = await desk.evolve("tricked")
    assert (row["state"], row["verdict"]) == ("rejected", "reject")
    assert row["reason"].startswith("a kept attack breaks it: error: it answers otherwise than main")
    assert row["evidence"]["requests_from"]["attacks_failed"] == 1 and row["evidence"]["pairs"] == 1
    asked = [name.partition("~")[0] for pid, name, _time in world.asked_for if pid == world.forked[0].pid]
    assert asked[0] == "attack-recall-1-memory" and set(asked[1:]) == {"attack-recall-1"}
    row = await desk.evolve("fast")
    assert row["state"] == "pending", "one that answers as main does passes"
    assert (row["evidence"]["requests_from"]["attacks"], row["evidence"]["requests_from"]["attacks_failed"]) == (1, 0)


async def test_under_load_one_live_request_in_ten_is_mirrored(desk: Desk, world: World) -> None:
    begun = await desk.evolutions.evolve("recall", source("gate"))
    await world.at_gate.wait()
    world.recorded = [RecordedRequest(f"live-{n}", "much") for n in range(20)]
    world.gate.set()
    row = await asyncio.wait_for(desk.evolutions.reports.wait(begun["evolution"]), PATIENCE_S)
    assert row["evidence"]["requests_from"]["mirrored"] == 2


async def test_a_candidate_that_fails_before_the_first_request_is_rejected(desk: Desk, world: World) -> None:
    (tmp := desk.genome.path.parent / "workloads").mkdir()
    (tmp / "recall.jsonl").write_text('{"text": "fill", "setup": true}\n{"text": "q"}\n')
    world.recorded = []
    desk.evolutions.measuring.folders = [tmp]
    row = await desk.evolve("crash")
    assert row["state"] == "rejected" and row["reason"].startswith("1 crash where main's code answered")
    assert [name for _pid, name, _time in world.asked_for] == ["workload-recall-1~setup"] * 2


async def test_an_error_that_does_not_come_again_does_not_count(desk: Desk) -> None:
    row = await desk.evolve("stumble")
    assert row["state"] == "pending" and row["evidence"]["errors"]["candidate"] == 0


@pytest.mark.parametrize(
    ("gene", "text", "reason"),
    [
        ("recall", "def recall(:\n", "recall.py:1: SyntaxError"),
        ("recall", "x = 1\n", "recall.py:1: the function recall(query, search, k, now_ns) is missing"),
        ("recall", "import os\n" + RECALL, "recall.py:1: a gene may not import os"),
        ("recall", b"# \xff\n", "recall.py:1: byte 0xff is not UTF-8"),
        ("recall", "#" * 300_000, "recall.py: 300,000 bytes are too many"),
        ("recall", source("base"), "nothing would change: the candidate is the recall of"),
    ],
)
async def test_what_is_no_candidate_never_reaches_a_shadow(
    desk: Desk, world: World, gene: str, text: str | bytes, reason: str
) -> None:
    row = await desk.run(text, gene)
    assert row["state"] == "rejected" and row["reason"].startswith(reason)
    assert world.forked == []


async def test_what_cannot_begin_is_said_at_once(desk: Desk, world: World) -> None:
    evolve = desk.evolutions.evolve
    for arguments, text in (
        ({"gene": "kernel", "source": "x"}, "is not a gene"),
        ({"gene": "recall"}, "source is needed"),
        ({"gene": "recall", "origin": "llm"}, "what should be better"),
        ({"gene": "recall", "origin": "thin air", "source": "x"}, "unknown source"),
    ):
        with pytest.raises(UsageError, match=text):
            await evolve(**arguments)  # type: ignore[arg-type]
    world.hold = "storage takes nothing"
    with pytest.raises(RefusedError, match="storage takes nothing"):
        await evolve("recall", source("fast"))
    assert await desk.evolutions.reports.history() == []


async def test_what_fails_around_a_candidate_is_no_fault_of_it(desk: Desk, world: World) -> None:
    row = await desk.evolve("no nursery")
    assert (row["state"], row["reason"]) == ("failed", "no nursery")
    world.recorded = []
    desk.evolutions.measuring.folders = []
    row = await desk.evolve("fast")
    assert row["state"] == "failed" and "no recorded request and no workload" in row["reason"]


async def test_one_after_the_other_and_not_too_many(desk: Desk, world: World) -> None:
    begun = [await desk.evolutions.evolve("recall", source("gate")) for _ in range(MAX_WAITING)]
    with pytest.raises(RefusedError, match="running or waiting already"):
        await desk.evolutions.evolve("recall", source("gate"))
    world.gate.set()
    rows = [await desk.evolutions.reports.wait(entry["evolution"]) for entry in begun]
    assert {row["state"] for row in rows} == {"pending"}


async def test_the_loop_is_never_held_up(desk: Desk) -> None:
    """A candidate that git takes a third of a second to compare, a long line, a large file."""
    dice = random.Random(1)
    lines = [f"# {dice.choice('abcdef')}\n" for _ in range(60_000)]
    slowest = "".join(dice.sample(lines, len(lines)))
    longest_s = 0.0
    running = True

    async def watch() -> None:
        nonlocal longest_s
        while running:
            start = time.thread_time()
            await asyncio.sleep(0.001)
            longest_s = max(longest_s, time.thread_time() - start)

    assert (await desk.promote("fast\n" + "".join(lines)))["state"] == "promoted"
    watcher = asyncio.create_task(watch())
    row = await desk.run("# fast\n" + slowest + RECALL)
    running = False
    await watcher
    assert row["state"] == "pending", row["reason"]
    assert len(row["diff"]) > 200_000
    assert longest_s < 0.1  # of CPU time: a busy machine stretches the time on the wall


async def test_a_large_diff_is_the_same_apart(desk: Desk) -> None:
    row = await desk.evolve("fast\n" + "# x\n" * 10_000)
    assert desk.genome.changed_bytes(row["base"], row["revision"]) > diffing.HERE_BYTES
    assert row["diff"] == desk.genome.diff(row["base"], row["revision"])
    with pytest.raises(NotFoundError):
        await desk.evolutions.reports.genome_diff("v9")


# --- a model writes it


async def test_a_model_is_told_what_was_wrong_and_tries_again(desk: Desk, world: World) -> None:
    world.answers = [
        "I would rather not.",
        "```python\nimport os\n" + RECALL + "```",
        f"```python\n{source('fast')}```",
    ]
    row = await desk.run("", origin="llm", goal="Be quicker")
    assert row["state"] == "pending" and row["origin"] == "llm"
    assert "Be quicker" in world.asked[0][1]["content"] and "Earlier tries" not in world.asked[0][1]["content"]
    last = world.asked[2][1]["content"]
    assert "no Python code in the answer" in last and "recall.py:1: a gene may not import os" in last


async def test_a_model_that_cannot_is_not_asked_for_ever(desk: Desk, world: World) -> None:
    world.answers = ["no"] * 9
    row = await desk.run("", origin="llm", goal="Be quicker")
    assert row["state"] == "rejected" and "3 tries were no candidates" in row["reason"] and len(world.asked) == 3
    world.answers = []
    row = await desk.run("", origin="llm", goal="Be quicker")
    assert (row["state"], row["reason"]) == ("failed", "there is no model")


async def test_closing_stops_what_runs(desk: Desk, world: World) -> None:
    begun = await desk.evolutions.evolve("recall", source("gate"))
    queued = await desk.evolutions.evolve("recall", source("fast"))
    await world.at_gate.wait()
    await desk.evolutions.close()
    for entry in (begun, queued):
        row = await desk.evolutions.reports.show(entry["evolution"])
        assert (row["state"], row["reason"]) == ("failed", "interrupted: the guardian was stopped")
    assert not any(instance.alive for instance in world.forked)


async def test_a_scope_has_a_memory_of_its_own_and_a_proof_asks_all_that_was_held_back(desk: Desk) -> None:
    (folder := desk.genome.path.parent / "workloads").mkdir()
    lines: list[dict[str, Any]] = [
        {"setup": True, "kind": "memory.add", "text": "{}", "scope": scope} for scope in "ab"
    ]
    for scope in "ab":
        lines += [{"text": f"{n}", "scope": scope, "holdout": n > 5, "expect": {"contains": ["a"]}} for n in range(12)]
    (folder / "recall.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    scope_of = {f"workload-recall-{number}": line["scope"] for number, line in enumerate(lines, 1)}
    desk.evolutions.measuring.folders[:] = [folder]
    row = {"id": "e1", "gene": "recall", "base": desk.genome.head(), "metric": "quality"}
    revision = desk.genome.candidate("recall", source("base") + "#\n", row["base"], "e1", "a try", time.time_ns())
    for again in (0, 1):
        measured = await desk.evolutions.measuring.measure(row, revision, EvolutionConfig(), pairs=12, again=again)
        assert measured.evidence["quality"]["requests"] == 12, "held back: all of it, once"
    by_process: dict[int, list[str]] = {}
    for pid, request, _time in desk.world.asked_for:
        by_process.setdefault(pid, []).append(request)
    assert len(by_process) == 2 * 2 * 2, "two measurements of two scopes by two processes each"
    for requests in by_process.values():
        assert requests[0].endswith("~setup")
        assert len({scope_of[request.partition("~")[0]] for request in requests}) == 1
