"""What is seen of the genes, and what becomes of it: which intents are tried, and why others are not."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from o_tui.config import EvolutionConfig
from o_tui.guardian.evolving.initiative import COOLDOWN_S, DAY_S, QUIET_S, Initiative
from o_tui.guardian.evolving.perception import LOOK_S, Intent, Perception, blame
from o_tui.guardian.storage.database import Database
from o_tui.guardian.storage.learning_rows import LearningRows
from o_tui.paths import Paths
from o_tui.protocol.errors import RefusedError

GOOD, NOTHING = {"hits": [{"id": "b1", "score": 0.9}]}, {"hits": []}


class Watcher:
    """A perception with a clock of its own."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.intents: list[Intent] = []
        self.perception = Perception(self.intents.append, lambda: self.now_s)
        self.chance = random.Random(3)
        self.count = 0

    def answer(self, elapsed_ms: float = 2.0, error: str | None = None, recall: Any = None, **more: Any) -> None:
        self.now_s += 1.0
        self.count += 1
        name = f"r{self.count}"
        if recall is not None:
            self.perception.recalled(name, recall)
        more = {"revision": "one", **more}
        self.perception.answered(name, more.pop("revision"), elapsed_ms * self.chance.uniform(0.9, 1.1), error, **more)

    def seen(self) -> list[tuple[str, str]]:
        return [(intent.gene, intent.metric) for intent in self.intents]


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


def test_a_slow_agent_is_seen_with_its_figures(watcher: Watcher) -> None:
    for _ in range(100):
        watcher.answer()
    assert watcher.intents == []
    for _ in range(60):
        watcher.answer(4.0)
    (intent,) = watcher.intents
    assert (intent.gene, intent.metric) == ("respond", "latency")
    assert intent.figures["now"] > 1.5 * intent.figures["before"]
    assert intent.text.startswith("latency of respond: ") and " ms (+" in intent.text


def test_errors_are_the_gene_s_that_they_name(watcher: Watcher) -> None:
    for _ in range(100):
        watcher.answer(recall=GOOD)
    for _ in range(30):
        watcher.answer(error="IndexError: list index out of range (respond.py:9, recall.py:31)", recall=GOOD)
    assert watcher.seen() == [("recall", "errors")]
    assert blame("ValueError: x (recall.py:3, tools/dates.py:9)") == "tools/dates"
    assert blame("cancelled by the operator") == "respond"


@pytest.mark.parametrize("nothing", [NOTHING, {"hits": [{"score": 0.01}]}, {"hits": "many"}, {}])
def test_recalls_that_find_nothing_are_seen(watcher: Watcher, nothing: dict[str, Any]) -> None:
    for _ in range(100):
        watcher.answer(recall=GOOD)
    for _ in range(30):
        watcher.answer(recall=nothing)
    assert watcher.seen() == [("recall", "misses")]


def test_bad_answers_are_seen_and_what_was_said_goes_with_them(watcher: Watcher) -> None:
    for _ in range(80):
        watcher.answer()
    for _ in range(12):
        watcher.perception.judged("r5", "good", "")
    assert watcher.intents == []
    for _ in range(12):
        watcher.perception.judged("r5", "bad", "it forgot my name")
    assert ("respond", "feedback") in watcher.seen()
    assert "An operator said: it forgot my name" in watcher.intents[0].goal


def test_cpu_and_memory_are_taken_per_request_and_not_across_instances(watcher: Watcher) -> None:
    requests, cpu_ns = 0, 0
    for tick in range(160):
        requests += 2
        cpu_ns += 2_000_000 * watcher.chance.randint(9, 11) // 10 * (3 if tick >= 100 else 1)
        watcher.perception.used(7, requests, cpu_ns, 10_000_000 + tick * 100)
    assert watcher.seen() == [("respond", "cpu")]
    watcher.perception.used(8, 10_000, 10**12, 10**9)
    assert len(watcher.intents) == 1


def test_a_model_s_time_is_not_the_agent_s_and_new_code_is_learned_anew(watcher: Watcher) -> None:
    for count in range(200):
        watcher.answer(2.0 if count < 100 else 9.0, timed=False)
    for _ in range(100):
        watcher.answer(2.0)
    for _ in range(100):
        watcher.answer(9.0, revision="two")
    assert watcher.intents == []


def test_under_load_only_some_requests_are_looked_at(watcher: Watcher) -> None:
    watcher.answer()
    for count in range(1_000):
        watcher.now_s += LOOK_S / 100
        watcher.perception.answered(f"x{count}", "one", 2.0, None)
    assert 10 <= watcher.perception._detectors["respond", "latency"].values <= 11


# --- what becomes of an intent


def test_what_was_learned_goes_on_with_the_next_guardian(watcher: Watcher) -> None:
    for _ in range(100):
        watcher.answer()
    revision, changed = watcher.perception.changed()
    assert revision == "one" and "respond latency" in changed
    assert watcher.perception.changed() == ("one", {}), "each change once"
    watcher.perception.unkept(["respond latency"])
    assert list(watcher.perception.changed()[1]) == ["respond latency"], "what the disk did not take, again"
    after = Watcher()
    after.perception.restore("one", changed | {"respond errors": b"damaged", "of old": b""})
    for _ in range(25):
        after.answer(4.0)
    assert ("respond", "latency") in after.seen()
    other = Watcher()
    other.perception.restore("two", changed)
    for _ in range(25):
        other.answer(4.0)
    assert other.seen() == [], "another genome is learned anew"


@dataclass
class World:
    now_s: float = 1_000.0
    hold: str = ""
    refused: str = ""
    working: set[str] = field(default_factory=set)
    begun: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    settings: EvolutionConfig = field(default_factory=EvolutionConfig)

    async def begin(self, gene: str, text: str, origin: str, goal: str, **more: Any) -> dict[str, Any]:
        if self.refused:
            raise RefusedError(self.refused)
        self.begun.append((gene, origin, more))
        return {"evolution": f"e{len(self.begun)}"}

    async def busy(self, gene: str) -> bool:
        return gene in self.working


@pytest.fixture
async def rows(workspace: Paths) -> AsyncIterator[LearningRows]:
    database = await asyncio.to_thread(Database.open, workspace)
    database.start()
    yield LearningRows(database)
    await database.close()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def initiative(rows: LearningRows, world: World) -> Initiative:
    return Initiative(
        rows,
        begin=world.begin,
        busy=world.busy,
        settings=lambda: world.settings,
        held=lambda: world.hold,
        told=lambda text, _data: world.told.append(text),
        clock=lambda: world.now_s,
    )


def intent(gene: str = "recall", metric: str = "misses") -> Intent:
    return Intent(gene, metric, f"{metric} of {gene}: 0.1 -> 0.5", "Find more.", {"before": 0.1, "now": 0.5})


async def test_an_intent_waits_for_quiet_and_is_tried_with_its_evidence(
    initiative: Initiative, rows: LearningRows, world: World
) -> None:
    initiative.raised(intent())
    await initiative.look(3)
    world.now_s += QUIET_S - 1
    await initiative.look(0)
    assert world.begun == []
    world.now_s += 2
    await initiative.look(0)
    ((gene, origin, more),) = world.begun
    assert (gene, origin) == ("recall", "auto")
    assert more["metric"] == "quality"
    assert more["why"] == {"metric": "misses", "text": intent().text, "figures": dict(intent().figures)}
    (row,) = await rows.intents()
    assert (row["evolution"], row["reason"], row["figures"]["now"]) == ("e1", "", 0.5)
    assert world.told == ["misses of recall: 0.1 -> 0.5; tried as e1"]


async def tried(initiative: Initiative, world: World, *, gene: str = "recall", after_s: float = QUIET_S + 1) -> None:
    world.now_s += after_s
    initiative.raised(intent(gene))
    await initiative.look(0)


async def test_what_is_not_tried_is_a_row_with_the_reason(
    initiative: Initiative, rows: LearningRows, world: World
) -> None:
    world.hold = "held by ann: a demo"
    await tried(initiative, world)
    world.hold, world.working = "", {"recall"}
    await tried(initiative, world)
    world.working, world.refused = set(), "recall is frozen by ann"
    await tried(initiative, world)
    world.refused, world.settings = "", EvolutionConfig(intents_per_day=0)
    await tried(initiative, world)
    assert [row["reason"].split(" (")[0] for row in reversed(await rows.intents())] == [
        "held by ann: a demo",
        "an evolution of recall runs or waits already",
        "recall is frozen by ann",
        "nothing begins without being asked for",
    ]
    assert world.begun == []


async def test_there_are_limits_for_a_gene_and_for_a_day(
    initiative: Initiative, rows: LearningRows, world: World
) -> None:
    world.settings = EvolutionConfig(intents_per_day=2)
    await tried(initiative, world)
    await tried(initiative, world)
    await tried(initiative, world, after_s=COOLDOWN_S + 1)
    await tried(initiative, world, gene="respond")
    reasons = [row["reason"] for row in reversed(await rows.intents())]
    assert reasons[1] == "recall was tried within the last hour"
    assert reasons[3] == "2 evolutions have begun by themselves today (evolution.intents_per_day)"
    await tried(initiative, world, gene="respond", after_s=DAY_S)
    assert [gene for gene, _origin, _more in world.begun] == ["recall", "recall", "respond"]


async def test_the_limits_outlive_the_guardian(initiative: Initiative, rows: LearningRows, world: World) -> None:
    await tried(initiative, world)
    after = Initiative(
        rows,
        begin=world.begin,
        busy=world.busy,
        settings=lambda: world.settings,
        held=lambda: "",
        told=lambda _text, _data: None,
        clock=lambda: world.now_s,
    )
    await after.load()
    await tried(after, world)
    assert len(world.begun) == 1
    assert (await rows.intents())[0]["reason"] == "recall was tried within the last hour"


async def test_an_instance_may_ask_in_words_and_a_thousand_times(
    initiative: Initiative, rows: LearningRows, world: World
) -> None:
    world.hold = "held by ann"
    for count in range(1_000):
        initiative.asked("recall", f"I am slow\x1b[31m {count}", "")
        initiative.asked("../../etc", "x", "")
        world.now_s += QUIET_S
        await initiative.look(0)
    found = await rows.intents(1_000)
    assert 1 <= len(found) <= 3
    assert found[0]["figures"] == {} and "\x1b" not in found[0]["text"]
