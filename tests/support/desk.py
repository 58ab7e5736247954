"""Evolutions on a real repository, a real database and a real validator, with fixtures for tests.

The instances are stand-ins that behave as the candidate's first line says; the real ones are in test_evolve.py.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from o_tui.config import EvolutionConfig
from o_tui.evolution.budget import Cost
from o_tui.evolution.candidates import ModelText
from o_tui.evolution.genome import Genome
from o_tui.evolution.samples import Outcome, RecordedRequest
from o_tui.evolution.validation import Validation, validate
from o_tui.guardian.evolving import candidate_pipeline
from o_tui.guardian.evolving.evolutions import Evolutions
from o_tui.guardian.evolving.seams import GenomeLoadError, InstanceDiedError, Operator, Seams, ShadowInstance
from o_tui.guardian.fleet.code import Code
from o_tui.guardian.storage.attack_rows import AttackRows
from o_tui.guardian.storage.audit import Audit
from o_tui.guardian.storage.database import Database
from o_tui.guardian.storage.evolution_rows import EvolutionRows
from o_tui.guardian.storage.learning_rows import LearningRows
from o_tui.paths import Paths
from o_tui.protocol.errors import OError, PeerError
from o_tui.protocol.refusals import Refusal
from tests.support.patience import PATIENCE_S
from tests.support.road import Road

ANN = Operator("ann", 1000)
RECALL = "def recall(query, search, k, now_ns):\n    return []\n"
SPEED_NS = {
    "base": 2_000_000,
    "fast": 1_000_000,
    "fast too": 1_200_000,
    "slow": 4_000_000,
    "crawl": 600_000_000,
    "other": 2_000_000,
}


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
    held_back: asyncio.Event = field(default_factory=asyncio.Event)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    model_name: str = "scripted"
    die_at: str = ""
    verify_gate: asyncio.Event | None = None

    async def fork_shadow(self, code: Code, role_name: str, evolution: str) -> ShadowInstance:
        behaviour = code.files["recall.py"].split("\n")[0].removeprefix("# ")
        if behaviour == "unloadable":
            raise GenomeLoadError("ImportError: no such thing (recall.py:1)")
        if behaviour == "no nursery":
            raise PeerError("no nursery")
        self.forked.append(StandIn(self, behaviour, 100 + len(self.forked)))
        return self.forked[-1]

    async def hot_reload(self, code: Code, reason: str) -> None:
        self._maybe_die("reload")
        if "unreloadable" in code.files["recall.py"]:
            raise GenomeLoadError("the standby did not take it")
        self.reloads.append((code.revision, code.version))
        self.files = code.files
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

    async def released(self) -> None:
        self.held_back.set()
        await self.let_go.wait()

    def release(self) -> None:
        self.hold = ""
        self.let_go.set()

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

    monkeypatch.setattr(candidate_pipeline, "validate_apart", validate_read)


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
            Seams(self.world, self.world, self.world.road, self.world, self.audit, self.world),
            rows=EvolutionRows(self.database),
            learning=LearningRows(self.database),
            attacks=AttackRows(self.database),
            settings=EvolutionConfig(pairs=pairs, request_s=0.05, canary_pairs=6),
        )
        evolutions.measuring.folders.clear()  # the shipped workloads are for real genes
        self.every.append(evolutions)
        return evolutions

    async def evolve(self, behaviour: str) -> dict[str, Any]:
        return await self.run(source(behaviour))

    async def run(self, text: str | bytes, gene: str = "recall", **more: Any) -> dict[str, Any]:
        begun = await self.evolutions.evolve(gene, text, **more)
        return await asyncio.wait_for(self.evolutions.reports.wait(begun["evolution"]), PATIENCE_S)

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


async def killed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guardian ends where it is, and nothing of it is written any more."""
    dead = desk.evolutions

    async def nothing(*_more: Any, **_named: Any) -> None: ...

    with monkeypatch.context() as patch:
        patch.setattr(EvolutionRows, "update", nothing)
        await dead.close()
    desk.world.working = None
    desk.evolutions = desk.restarted()
