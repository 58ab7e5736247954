"""Evolutions from intent to deployment, on a real repository, a real database and a real validator.

The instances are stand-ins that behave as the candidate's first line says; the real ones are in test_evolve.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from o_tui.config import EvolutionConfig
from o_tui.evolution.attacks import Attack
from o_tui.evolution.budget import Cost
from o_tui.evolution.candidates import ModelText
from o_tui.evolution.genome import Genome
from o_tui.evolution.probe.case import Call, Case, encode
from o_tui.evolution.samples import Outcome, RecordedRequest
from o_tui.evolution.validation import Validation, validate
from o_tui.guardian import cycle, diffing
from o_tui.guardian.attack_rows import AttackRows
from o_tui.guardian.audit import Audit
from o_tui.guardian.database import Database
from o_tui.guardian.evolution_rows import EvolutionRows
from o_tui.guardian.evolutions import MAX_WAITING, Evolutions
from o_tui.guardian.learning_rows import LearningRows
from o_tui.guardian.seams import Fault, GenomeLoadError, InstanceDiedError, Operator, ShadowInstance
from o_tui.paths import Paths
from o_tui.protocol.errors import NotFoundError, OError, PeerError, RefusedError, UsageError
from o_tui.protocol.refusals import Refusal
from tests.support.road import Road

ANN = Operator("ann", 1000)
RECALL = "def recall(query, search, k, now_ns):\n    return []\n"
SPEED_NS = {"base": 2_000_000, "fast": 1_000_000, "fast too": 1_200_000, "slow": 4_000_000, "other": 2_000_000}


def source(behaviour: str) -> str:
    return f"# {behaviour}\n{RECALL}"


@dataclass
class StandIn:
    """Answers as the first line of its recall.py says; time is what it says, not what passes."""

    world: World
    behaviour: str
    pid: int
    alive: bool = True

    async def request(self, request: RecordedRequest) -> Outcome:
        assert self.alive, "a killed instance was asked"
        assert self.world.working is None, "one at a time"
        self.world.working = self
        self.world.served[self.behaviour] += 1
        served = self.world.served[self.behaviour]
        self.world.asked_for.append((self.pid, request.id, request.time_ns))
        try:
            await asyncio.sleep(0)
            if self.behaviour == "gate":
                self.world.at_gate.set()
                await self.world.gate.wait()
            if self.behaviour == "hang":
                await asyncio.Event().wait()
            if self.behaviour == "crash" or (self.behaviour == "flaky-crash" and served == 7):
                raise InstanceDiedError("signal 11")
            if self.behaviour == "tricked" and request.source == "attack" and request.kind == "memory.search":
                return Outcome(True, "[]", wall_ns=1_000_000, cpu_ns=1_000_000)
            if self.behaviour == "raise" or (self.behaviour == "stumble" and served == 7):
                return Outcome(False, error="ValueError: boom (recall.py:3)", wall_ns=1)
        finally:
            self.world.working = None
        text = "different" if self.behaviour == "other" else f"answer to {request.text}"
        return Outcome(True, text, wall_ns=SPEED_NS.get(self.behaviour, 2_000_000), cpu_ns=1_000_000)

    def cpu_ns(self) -> int:
        return 0

    def peak_bytes(self) -> int:
        return (80 if self.behaviour == "fat" else 20) * 1024**2

    def refused(self) -> list[Refusal]:
        return [Refusal(layer="seccomp", what="socket")] if self.behaviour == "burglar" else []

    async def kill(self, exceeded: Refusal | None = None) -> None:
        self.alive = False


@dataclass
class World:
    """Everything around the evolutions; what happened is kept for the test to look at."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    at_gate: asyncio.Event = field(default_factory=asyncio.Event)
    reloaded: asyncio.Event = field(default_factory=asyncio.Event)
    working: StandIn | None = None
    served: Counter[str] = field(default_factory=Counter)
    asked_for: list[tuple[int, str, int]] = field(default_factory=list)
    forked: list[StandIn] = field(default_factory=list)
    reloads: list[tuple[str, str]] = field(default_factory=list)
    files: Mapping[str, str] = field(default_factory=dict)
    notices: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    asked: list[Sequence[Mapping[str, str]]] = field(default_factory=list)
    recorded: list[RecordedRequest] = field(default_factory=list)
    checkpoints: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    road: Road = field(default_factory=Road)
    hold: str = ""
    model_name: str = "scripted"
    die_at: str = ""
    verify_gate: asyncio.Event | None = None

    async def fork_shadow(
        self, files: Mapping[str, str], revision: str, version: str, name: str, evolution: str
    ) -> ShadowInstance:
        behaviour = files["recall.py"].split("\n")[0].removeprefix("# ")
        if behaviour == "unloadable":
            raise GenomeLoadError("ImportError: no such thing (recall.py:1)")
        if behaviour == "no nursery":
            raise PeerError("no nursery")
        self.forked.append(StandIn(self, behaviour, 100 + len(self.forked)))
        return self.forked[-1]

    async def hot_reload(self, files: Mapping[str, str], revision: str, version: str, reason: str) -> None:
        self._maybe_die("reload")
        if "unreloadable" in files["recall.py"]:
            raise GenomeLoadError("the standby did not take it")
        self.reloads.append((revision, version))
        self.files = files
        self.reloaded.set()

    async def verify(self, revision: str, timeout_s: float) -> None:
        if self.verify_gate is not None:
            await self.verify_gate.wait()
        self._maybe_die("verify")
        if "sick" in self.files["recall.py"]:
            raise OError("main did not answer a probe within 5 s")

    async def create(self, reason: str) -> str:
        self.checkpoints.append(reason)
        return f"checkpoint-{len(self.checkpoints)}"

    async def restore(self, checkpoint_id: str) -> None:
        self.restored.append(checkpoint_id)

    async def requests(self, limit: int) -> Sequence[RecordedRequest]:
        return self.recorded[:limit]

    def publish(self, topic: str, data: Mapping[str, Any]) -> None:
        self.notices.append((topic, dict(data)))

    def event(self, level: str, text: str, data: Mapping[str, Any]) -> None:
        self.events.append((level, text))

    def model(self) -> str:
        return self.model_name

    async def ask_model(self, conversation: Sequence[Mapping[str, str]]) -> ModelText:
        self.asked.append(conversation)
        if not self.answers:
            raise PeerError("there is no model")
        return ModelText(self.answers.pop(0), self.model_name, Cost(tokens=100))

    def held(self) -> str:
        return self.hold

    def _maybe_die(self, place: str) -> None:
        if self.die_at == place:
            raise KilledError


class KilledError(BaseException):
    """Stands for the guardian's death at this very place."""


@pytest.fixture(autouse=True)
def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates here are a line and half a genome: they are judged by what can be read of them."""

    async def validate_read(gene: str, text: str | bytes, *_more: Any, **_named: Any) -> Validation:
        return await asyncio.to_thread(validate, gene, text)

    monkeypatch.setattr(cycle, "validate_apart", validate_read)


@pytest.fixture
def seed(tmp_path: Path) -> Path:
    folder = tmp_path / "seed"
    folder.mkdir()
    (folder / "genome.toml").write_text('version = "0.1.0"\n')
    (folder / "recall.py").write_text(source("base"))
    return folder


@pytest.fixture
async def database(workspace: Paths) -> AsyncIterator[Database]:
    database = await asyncio.to_thread(Database.open, workspace)
    database.start()
    yield database
    await database.close()


@pytest.fixture
def world() -> World:
    return World(recorded=[RecordedRequest(f"r{n}", f"question {n}") for n in range(10)])


class Desk:
    """An `Evolutions` and what is needed to make another one, as after a restart."""

    def __init__(self, database: Database, genome: Genome, world: World) -> None:
        self.database, self.genome, self.world = database, genome, world
        self.audit = Audit(database)
        self.every: list[Evolutions] = []
        self.evolutions = self.restarted()

    def restarted(self, pairs: int = 80) -> Evolutions:
        evolutions = Evolutions(
            self.genome,
            instances=self.world,
            checkpoints=self.world,
            traffic=self.world.road,
            recorded=self.world,
            rows=EvolutionRows(self.database),
            learning=LearningRows(self.database),
            attacks=AttackRows(self.database),
            approvals=self.audit,
            surroundings=self.world,
            settings=EvolutionConfig(pairs=pairs, request_s=0.05, canary_pairs=6),
        )
        evolutions.measuring.folders.clear()  # the shipped workloads are for real genes
        self.every.append(evolutions)
        return evolutions

    async def evolve(self, behaviour: str) -> dict[str, Any]:
        return await self.run(source(behaviour))

    async def run(self, text: str | bytes, gene: str = "recall", **more: Any) -> dict[str, Any]:
        begun = await self.evolutions.evolve(gene, text, **more)
        return await asyncio.wait_for(self.evolutions.wait(begun["evolution"]), 20)

    async def promote(self, behaviour: str) -> dict[str, Any]:
        row = await self.evolve(behaviour)
        assert row["state"] == "pending", row["reason"]
        return await self.evolutions.approve(row["id"], row["diff_sha256"], ANN)

    async def verdicts(self) -> list[tuple[str, str]]:
        return [(row["verdict"], row["evolution"]) for row in reversed(await self.audit.page())]


@pytest.fixture
async def desk(database: Database, tmp_path: Path, seed: Path, world: World) -> AsyncIterator[Desk]:
    desk = Desk(database, Genome.open(tmp_path / "genome", seed), world)
    yield desk
    for evolutions in desk.every:
        await evolutions.close()


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
    assert [entry["id"] for entry in await desk.evolutions.pending()] == [row["id"]]
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
    row = await asyncio.wait_for(desk.evolutions.wait(begun["evolution"]), 20)
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
    row = await asyncio.wait_for(desk.evolutions.wait(begun["evolution"]), 20)
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
    assert await desk.evolutions.history() == []


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
    rows = [await desk.evolutions.wait(entry["evolution"]) for entry in begun]
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
            start = time.perf_counter()
            await asyncio.sleep(0.001)
            longest_s = max(longest_s, time.perf_counter() - start - 0.001)

    assert (await desk.promote("fast\n" + "".join(lines)))["state"] == "promoted"
    watcher = asyncio.create_task(watch())
    row = await desk.run("# fast\n" + slowest + RECALL)
    running = False
    await watcher
    assert row["state"] == "pending", row["reason"]
    assert len(row["diff"]) > 200_000
    assert longest_s < 0.1  # 5 ms on a quiet machine; this one may be shared


async def test_a_large_diff_is_the_same_apart(desk: Desk) -> None:
    row = await desk.evolve("fast\n" + "# x\n" * 10_000)
    assert desk.genome.changed_bytes(row["base"], row["revision"]) > diffing.HERE_BYTES
    assert row["diff"] == desk.genome.diff(row["base"], row["revision"])
    with pytest.raises(NotFoundError):
        await desk.evolutions.genome_diff("v9")


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


# --- approval


async def test_an_approved_candidate_runs_and_is_a_version(desk: Desk, world: World) -> None:
    row = await desk.promote("fast")
    assert (row["state"], row["version"], row["by"]) == ("promoted", "0.2.0", "ann")
    assert world.reloads == [(desk.genome.head(), "0.2.0")] and world.files["recall.py"] == source("fast")
    assert await desk.verdicts() == [("approved", row["id"])]
    (approval,) = await desk.audit.page()
    assert approval["diff_sha256"] == row["diff_sha256"] and approval["evidence_sha256"] == row["evidence_sha256"]
    assert approval["how"].startswith("uid 1000, socket peer")
    log = (desk.genome.path / "CHANGELOG.md").read_text()
    assert "latency -50.0 %" in log and "approved by ann" in log
    assert (await desk.evolutions.show(row["id"]))["state"] == "promoted"
    assert await desk.evolutions.pending() == []


async def test_approving_is_compare_and_set(desk: Desk, world: World) -> None:
    row = await desk.evolve("fast")
    approve, digest = desk.evolutions.approve, row["diff_sha256"]
    with pytest.raises(NotFoundError):
        await approve("e00000000", digest, ANN)
    with pytest.raises(RefusedError, match="changed: nothing was named"):
        await approve(row["id"], "", ANN)
    with pytest.raises(RefusedError, match="changed: 0000"):
        await approve(row["id"], "0" * 64, ANN)
    with pytest.raises(RefusedError, match="changed: the evidence"):
        await approve(row["id"], digest, ANN, evidence_sha256="0" * 64)
    with pytest.raises(RefusedError, match="forbidden: eve may look"):
        await approve(row["id"], digest, Operator("eve", 1001, viewer=True))
    world.hold = "storage takes nothing"
    with pytest.raises(RefusedError, match="storage takes nothing"):
        await approve(row["id"], digest, ANN)
    world.hold = ""
    assert await desk.verdicts() == [] and world.reloads == []
    assert (await approve(row["id"], digest, ANN, evidence_sha256=row["evidence_sha256"]))["state"] == "promoted"


async def test_two_approvals_at_once_promote_once(desk: Desk, world: World) -> None:
    row = await desk.evolve("fast")
    approvals = [desk.evolutions.approve(row["id"], row["diff_sha256"], Operator(n, 1)) for n in ("ann", "bob", "cy")]
    results = await asyncio.gather(*approvals, return_exceptions=True)
    refused = [str(result) for result in results if isinstance(result, RefusedError)]
    assert refused == ["already approved by ann"] * 2
    assert len(world.reloads) == 1 and len(desk.genome.log()) == 2
    assert await desk.verdicts() == [("approved", row["id"])]


async def test_a_view_that_leaves_in_the_middle_changes_nothing(desk: Desk, world: World) -> None:
    row = await desk.evolve("fast")
    world.verify_gate = asyncio.Event()
    view = asyncio.create_task(desk.evolutions.approve(row["id"], row["diff_sha256"], ANN))
    await world.reloaded.wait()
    view.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await view
    world.verify_gate.set()
    await desk.evolutions.close()
    assert (await desk.evolutions.show(row["id"]))["state"] == "promoted"


async def test_a_stale_base_is_refused(desk: Desk) -> None:
    late = await desk.evolve("other")
    await desk.promote("fast")
    with pytest.raises(RefusedError, match="stale base: made from"):
        await desk.evolutions.approve(late["id"], late["diff_sha256"], ANN)
    assert (await desk.evolutions.show(late["id"]))["state"] == "pending"


async def test_a_candidate_that_was_changed_in_git_is_refused(desk: Desk) -> None:
    row = await desk.evolve("fast")
    rows = EvolutionRows(desk.database)
    other = desk.genome.candidate("recall", source("sneaky"), row["base"], row["id"], "x", 0)
    await rows.update(row["id"], {"revision": other})
    with pytest.raises(RefusedError, match="changed: the candidate in git"):
        await desk.evolutions.approve(row["id"], row["diff_sha256"], ANN)
    await rows.update(row["id"], {"revision": row["revision"], "evidence": {**row["evidence"], "pairs": 10_000}})
    with pytest.raises(RefusedError, match="changed: the evidence"):
        await desk.evolutions.approve(row["id"], row["diff_sha256"], ANN)


@pytest.mark.parametrize(
    ("behaviour", "state"), [("unreloadable", "did not take it"), ("sick", "did not answer a probe")]
)
async def test_a_deployment_that_does_not_work_is_rolled_back(
    desk: Desk, world: World, behaviour: str, state: str
) -> None:
    before = desk.genome.digest("head")
    row = await desk.evolve(behaviour)
    with pytest.raises(OError, match=f"was approved and did not work, rolled back to the code of .*{state}"):
        await desk.evolutions.approve(row["id"], row["diff_sha256"], ANN)
    assert (await desk.evolutions.show(row["id"]))["state"] == "rolled_back"
    assert desk.genome.digest("head") == before and desk.genome.version("head") == "0.2.1"
    assert world.reloads[-1] == (desk.genome.head(), "0.2.1")
    assert any(level == "error" and state in text for level, text in world.events)
    assert (await desk.promote("fast"))["version"] == "0.3.0", "and life goes on"


async def test_rejecting_names_its_reason(desk: Desk) -> None:
    row = await desk.evolve("fast")
    with pytest.raises(RefusedError, match="forbidden"):
        await desk.evolutions.reject(row["id"], "no", Operator("eve", 1001, viewer=True))
    rejected = await desk.evolutions.reject(row["id"][:5], "too clever", ANN)
    assert (rejected["state"], rejected["reason"], rejected["by"]) == ("rejected", "too clever", "ann")
    assert (await desk.audit.page())[0]["reason"] == "too clever"
    with pytest.raises(RefusedError, match="it is rejected: too clever"):
        await desk.evolutions.approve(row["id"], row["diff_sha256"], ANN)
    with pytest.raises(RefusedError, match="it is rejected"):
        await desk.evolutions.reject(row["id"], "again", ANN)


async def test_rejecting_one_that_runs_stops_it(desk: Desk, world: World) -> None:
    begun = await desk.evolutions.evolve("recall", source("gate"))
    await world.at_gate.wait()
    row = await desk.evolutions.reject(begun["evolution"], "changed my mind", ANN)
    assert (row["state"], row["reason"]) == ("rejected", "changed my mind")
    assert not any(instance.alive for instance in world.forked)


# --- back again


async def test_rolling_back_runs_the_old_code_as_a_new_version(desk: Desk, world: World) -> None:
    row = await desk.promote("fast")
    done = await desk.evolutions.rollback("", ANN)
    assert done["version"] == "0.2.1" and world.files["recall.py"] == source("base")
    assert world.reloads[-1] == (desk.genome.head(), "0.2.1")
    shown = await desk.evolutions.show(row["id"])
    assert (shown["state"], shown["reason"]) == ("rolled_back", "rolled back by ann")
    assert await desk.verdicts() == [("approved", row["id"]), ("rolled_back", "")]
    with pytest.raises(RefusedError, match="no version before"):
        await desk.evolutions.rollback("", ANN)
    forward = await desk.evolutions.rollback("v0.2.0", ANN)
    assert forward["version"] == "0.2.2" and world.files["recall.py"] == source("fast")
    assert (await desk.evolutions.show(row["id"]))["state"] == "promoted"


async def test_a_rollback_that_may_not_be_is_not_in_the_audit(desk: Desk) -> None:
    row = await desk.evolve("fast")
    for revision, error in (("", RefusedError), (row["revision"], RefusedError), ("v7", NotFoundError)):
        with pytest.raises(error):
            await desk.evolutions.rollback(revision, ANN)
    with pytest.raises(RefusedError, match="forbidden"):
        await desk.evolutions.rollback("", Operator("eve", 1001, viewer=True))
    assert await desk.verdicts() == []


async def test_a_rollback_to_code_that_does_not_run_leaves_what_ran(desk: Desk, world: World) -> None:
    await desk.promote("fast")
    first = desk.genome.resolve("v0.1.0")
    real = world.hot_reload

    async def reload(files: Mapping[str, str], revision: str, version: str, reason: str) -> None:
        if "# base" in files["recall.py"]:
            raise GenomeLoadError("too old")
        await real(files, revision, version, reason)

    world.hot_reload = reload  # type: ignore[method-assign]
    with pytest.raises(OError, match=rf"{first[:12]} does not run any more \(too old\)"):
        await desk.evolutions.rollback("", ANN)
    assert world.files["recall.py"] == source("fast") and desk.genome.source("head", "recall") == source("fast")


async def test_the_genome_can_be_looked_at(desk: Desk) -> None:
    row = await desk.promote("fast")
    newest, _seed = await desk.evolutions.genome_log(10)
    assert (newest["version"], newest["evolution"]) == ("0.2.0", row["id"])
    shown = await desk.evolutions.genome_show("v0.1.0", "recall.py")
    assert shown["text"] == source("base") and shown["files"] == ["genome.toml", "recall.py"]
    diff = await desk.evolutions.genome_diff("v0.1.0")
    assert "+# fast" in diff["diff"] and diff["b"] == desk.genome.head()
    assert [entry["id"] for entry in await desk.evolutions.history(5)] == [row["id"]]


# --- the guardian's death


@pytest.mark.parametrize("state", ["intent", "checkpoint", "generate", "validate", "shadow"])
async def test_what_was_in_the_middle_has_failed(desk: Desk, world: World, state: str) -> None:
    row = await desk.evolve("fast")
    await EvolutionRows(desk.database).update(row["id"], {"state": state})
    after = desk.restarted()
    await after.recover()
    shown = await after.show(row["id"])
    assert shown["state"] == "failed" and shown["reason"].startswith("interrupted")


async def test_what_waits_for_approval_still_waits(desk: Desk) -> None:
    row = await desk.evolve("fast")
    after = desk.restarted()
    await after.recover()
    assert [entry["id"] for entry in await after.pending()] == [row["id"]]
    assert (await after.approve(row["id"], row["diff_sha256"], ANN))["state"] == "promoted"


@pytest.mark.parametrize("place", ["audit", "row", "promote", "tag", "reload", "verify", "recorded"])
async def test_an_approval_survives_the_guardians_death_anywhere(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Killed right after the named step began; the next guardian finishes it, once."""
    row = await desk.evolve("fast")

    def die(*_arguments: Any, **_more: Any) -> Any:
        raise KilledError

    deploying = desk.evolutions._deploying
    with monkeypatch.context() as patch:
        if place == "audit":
            patch.setattr(deploying._book, "change", die)
        elif place == "row":
            patch.setattr(deploying, "_deploy", die)
        elif place == "promote":
            patch.setattr(deploying, "_promote", die)
        elif place == "tag":
            patch.setattr(Genome, "_finish", die)
        elif place in ("reload", "verify"):
            world.die_at = place
        else:
            real = deploying._book.change

            async def change(row: dict[str, Any], **fields: Any) -> None:
                if fields.get("state") == "promoted":
                    raise KilledError
                await real(row, **fields)

            patch.setattr(deploying._book, "change", change)
        with pytest.raises(KilledError):
            await deploying.approve(row["id"], row["diff_sha256"], "", ANN)
    world.die_at = ""
    after = desk.restarted()
    await after.recover()
    assert (await asyncio.wait_for(after.wait(row["id"]), 20))["state"] == "promoted"
    assert [entry["kind"] for entry in desk.genome.log()] == ["promotion", "seed"]
    assert desk.genome.resolve("v0.2.0") == desk.genome.head()
    assert await desk.verdicts() == [("approved", row["id"])]
    assert world.reloads[-1] == (desk.genome.head(), "0.2.0")
    again = desk.restarted()
    await again.recover()
    assert len(desk.genome.log()) == 2
    with pytest.raises(RefusedError, match="already approved by"):
        await again.approve(row["id"], row["diff_sha256"], ANN)


async def test_what_cannot_be_recovered_is_told(desk: Desk, world: World) -> None:
    row = await desk.evolve("fast")
    await EvolutionRows(desk.database).update(row["id"], {"state": "deploying"})
    (desk.genome.path / ".git" / "refs" / "heads" / "main").write_text("garbage\n")
    after = desk.restarted()
    await after.recover()
    assert any(level == "error" and "is damaged" in text for level, text in world.events)
    assert (await after.show(row["id"]))["state"] == "deploying"


async def test_a_death_while_rolling_back_ends_rolled_back(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = await desk.evolve("sick")
    deploying = desk.evolutions._deploying
    real = deploying._book.change

    async def change(row: dict[str, Any], **fields: Any) -> None:
        if fields.get("state") == "rolled_back":
            raise KilledError
        await real(row, **fields)

    monkeypatch.setattr(deploying._book, "change", change)
    with pytest.raises(KilledError):
        await deploying.approve(row["id"], row["diff_sha256"], "", ANN)
    after = desk.restarted()
    await after.recover()
    assert (await after.show(row["id"]))["state"] == "rolled_back"
    assert [entry["kind"] for entry in desk.genome.log()] == ["rollback", "promotion", "seed"]


async def watched(desk: Desk) -> dict[str, Any]:
    """A promotion under watch, the traffic of which a test serves."""
    row = await desk.promote("fast")
    while not desk.world.road.told:
        await asyncio.sleep(0)
    return row


async def test_a_promotion_that_does_harm_is_taken_back(desk: Desk, world: World) -> None:
    row = await watched(desk)
    while (await desk.evolutions.show(row["id"]))["state"] == "promoted":
        world.road.serve(by="main", ok=False)
    shown = await desk.evolutions.show(row["id"])
    assert shown["state"] == "rolled_back" and shown["reason"].startswith("rolled back by itself: ")
    assert world.reloads[-2] == (row["base"], "0.1.0"), "at once, before git has been asked"
    assert world.reloads[-1] == (desk.genome.head(), "0.2.1") and world.files["recall.py"] == source("base")
    assert await desk.verdicts() == [("approved", row["id"]), ("rolled_back", row["id"])]


@pytest.mark.parametrize("place", ["audit", "reload", "rollback", "tag", "recorded"])
async def test_taking_back_survives_the_guardians_death_anywhere(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    row = await watched(desk)
    deploying = desk.evolutions._deploying

    def die(*_arguments: Any, **_more: Any) -> Any:
        raise KilledError

    with monkeypatch.context() as patch:
        if place == "audit":
            patch.setattr(deploying, "_audit", die)
        elif place == "reload":
            world.die_at = place
        elif place in ("rollback", "tag"):
            patch.setattr(Genome, place if place == "rollback" else "_finish", die)
        else:
            real = deploying._book.change

            async def change(row: dict[str, Any], **fields: Any) -> None:
                if fields.get("state") == "rolled_back":
                    raise KilledError
                await real(row, **fields)

            patch.setattr(deploying._book, "change", change)
        with pytest.raises(KilledError):
            await deploying._harmed(row, "latency +40 %")
    world.die_at = ""
    for _ in range(2):
        after = desk.restarted()
        await after.recover()
        shown = await after.show(row["id"])
        assert (shown["state"], shown["reason"]) == ("rolled_back", "rolled back by itself: latency +40 %")
        assert [entry["kind"] for entry in desk.genome.log()] == ["rollback", "promotion", "seed"]
        assert world.files["recall.py"] == source("base")


async def test_a_watch_goes_on_with_the_next_guardian(desk: Desk, world: World) -> None:
    row = await watched(desk)
    await desk.evolutions.close()
    assert not world.road.told
    after = desk.restarted()
    await after.recover()
    while not world.road.told:
        await asyncio.sleep(0)
    assert (await after.show(row["id"]))["canary"]["state"] == "watching"
    await after.rollback("", ANN)
    await asyncio.sleep(0)
    assert not world.road.told, "what was rolled back is not watched"


async def test_a_canary_that_does_harm_is_never_a_version(desk: Desk, world: World) -> None:
    row = await desk.evolve("fast")
    world.road.faults = [Fault("it ended in service: exit 3")]
    with pytest.raises(OError, match=r"two-faced: .* in service: it ended in service: exit 3"):
        await desk.evolutions.approve(row["id"], row["diff_sha256"], ANN)
    shown = await desk.evolutions.show(row["id"])
    assert (shown["state"], shown["canary"]["state"], shown["by"]) == ("rolled_back", "harm", "ann")
    assert len(desk.genome.log()) == 1 and world.reloads == [] and world.road.ended[0] is True
    assert (await desk.promote("other"))["version"] == "0.2.0", "and life goes on"


async def test_a_canary_that_cannot_be_started_fails(desk: Desk, world: World) -> None:
    row = await desk.run(source("fast") + "# unstartable\n")
    with pytest.raises(OError, match="the canary did not take it"):
        await desk.evolutions.approve(row["id"], row["diff_sha256"], ANN)
    assert (await desk.evolutions.show(row["id"]))["state"] == "failed" and world.reloads == []


async def test_a_stop_in_the_middle_of_a_canary_leaves_it_to_the_next_guardian(desk: Desk, world: World) -> None:
    row = await desk.evolve("fast")
    task = asyncio.create_task(desk.evolutions.approve(row["id"], row["diff_sha256"], ANN))
    await world.road.serving.wait()
    await desk.evolutions.close()
    with pytest.raises(OError, match="goes on at its step with the next one"):
        await task
    assert (await desk.evolutions.show(row["id"]))["state"] == "canary" and world.road.ended == [True]
    after = desk.restarted()
    await after.recover()
    promoted = await asyncio.wait_for(after.wait(row["id"]), 20)
    assert (promoted["state"], promoted["by"]) == ("promoted", "ann")
    assert await desk.verdicts() == [("approved", row["id"])]


async def test_closing_stops_what_runs(desk: Desk, world: World) -> None:
    begun = await desk.evolutions.evolve("recall", source("gate"))
    queued = await desk.evolutions.evolve("recall", source("fast"))
    await world.at_gate.wait()
    await desk.evolutions.close()
    for entry in (begun, queued):
        row = await desk.evolutions.show(entry["evolution"])
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
