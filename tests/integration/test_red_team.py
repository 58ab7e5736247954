"""The red team on a real repository, a real archive and a real prober: what it finds, and when it stops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest

from o_tui.config import EvolutionConfig
from o_tui.evolution import adversarial
from o_tui.evolution.adversarial import Versions
from o_tui.evolution.budget import Cost
from o_tui.evolution.candidates import ModelText
from o_tui.evolution.genome import Genome
from o_tui.evolution.samples import RecordedRequest
from o_tui.guardian.evolving.attack_writer import Writer
from o_tui.guardian.evolving.perception import Intent
from o_tui.guardian.evolving.red_team import QUIET_S, RedTeam
from o_tui.guardian.evolving.validating import judge, seed
from o_tui.guardian.storage.attack_rows import AttackRows
from o_tui.paths import Paths, shipped
from o_tui.protocol.errors import PeerError
from tests.support.patience import PATIENCE_S
from tests.support.storage import opened

GOOD = '''"""Recall."""

from __future__ import annotations

from o_tui.agent.dsl import Hit, Search


def recall(query: str, search: Search, k: int, now_ns: int) -> list[Hit]:
    return search.find(query, k) if k > 0 else []
'''
BAD = GOOD.replace("    return", "    first = query.split()[0]\n    return")


@dataclass
class Desk:
    """One red team, its clock in the test's hand."""

    genome: Genome
    attacks: AttackRows
    cpu_s: float = 0.5
    hold: str = ""
    model: str = ""
    answer: str = ""
    tokens: int = 1_000
    silent: bool = False
    asked: list[str] = field(default_factory=list)
    now_s: float = 1_000.0
    intents: list[Intent] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.red = RedTeam(
            self.attacks,
            genome=self.genome,
            recorded=self,
            settings=lambda: EvolutionConfig(red_team_cpu_s=self.cpu_s),
            held=lambda: self.hold,
            evolving=lambda: False,
            raised=self.intents.append,
            told=lambda _level, text, _data: self.events.append(text),
            writer=Writer(
                self.ask,
                model=lambda: self.model,
                tokens=lambda: self.tokens,
                told=lambda _level, text: self.events.append(text),
                clock=lambda: self.now_s,
            ),
            clock=lambda: self.now_s,
        )

    async def requests(self, limit: int) -> Sequence[RecordedRequest]:
        return [RecordedRequest("r", "where is Basel?")]

    async def ask(self, messages: Sequence[Mapping[str, str]]) -> ModelText:
        self.asked.append(messages[-1]["content"])
        if self.silent:
            await asyncio.Event().wait()
        if not self.answer:
            raise PeerError("HTTP 503")
        return ModelText(self.answer, self.model, Cost(tokens=600))

    async def quiet(self) -> None:
        """A minute without requests passes, and whatever it brings."""
        self.now_s += QUIET_S + 1
        self.red.look(0)
        await asyncio.wait_for(self.red.idle(), PATIENCE_S)


@contextlib.asynccontextmanager
async def desk_of(workspace: Paths, place: Path, recall: str) -> AsyncIterator[Desk]:
    folder = place / "seed"
    shutil.copytree(shipped("data") / "genome", folder)
    (folder / "recall.py").write_text(recall)
    genome = Genome.open(place / "genome", folder)
    async with opened(workspace) as database:
        made = Desk(genome, AttackRows(database))
        yield made
        await made.red.close()


@pytest.fixture
async def desk(workspace: Paths, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_of(workspace, tmp_path, BAD) as made:
        yield made


async def test_a_fault_in_service_becomes_one_attack_and_one_intent(desk: Desk) -> None:
    await desk.quiet()
    (attack,) = await desk.attacks.of("recall")
    assert (attack.kind, attack.found_by, attack.where) == ("raises", "red team", "recall+1")
    assert attack.case().calls[0].args[0].strip() == "", "the smallest input: a query without a word"
    (intent,) = desk.intents
    assert (intent.gene, intent.metric, intent.measured) == ("recall", "attack", "errors")
    assert "an attack breaks recall: recall: raises IndexError" in desk.events[0]
    spent_s = desk.red.rounds.spent_s(desk.now_s)
    assert spent_s >= 0.5
    await desk.quiet()
    assert desk.red.rounds.spent_s(desk.now_s) == spent_s, "the day's budget is spent"


async def test_the_blue_team_has_to_stand_what_main_does_not(desk: Desk) -> None:
    await desk.quiet()
    cases = [attack.case() for attack in await desk.attacks.of("recall")]
    files = {**seed(), "recall.py": BAD}

    def refused(source: str, *, repair: bool) -> str:
        found = judge("recall", source.encode(), BAD.encode(), cases, files, strict=False, repair=repair)
        return next((stage.name for stage in found.stages if stage.verdict == "fail"), "")

    as_bad = BAD.replace("first = ", "_first = ")
    assert refused(as_bad, repair=True) == "attacks" and refused(as_bad, repair=False) != "attacks"
    assert refused(GOOD, repair=True) != "attacks"


async def test_a_round_ends_when_there_is_work_and_none_begins_under_hold_or_without_a_budget(desk: Desk) -> None:
    desk.hold = "held by ann"
    await desk.quiet()
    desk.hold, desk.cpu_s = "", 0.0
    await desk.quiet()
    assert not desk.intents and desk.red.rounds.spent_s(desk.now_s) == 0
    desk.cpu_s = 300.0
    desk.now_s += QUIET_S + 1
    desk.red.look(0)
    async with asyncio.timeout(PATIENCE_S):
        while not (pid := desk.red.pid):
            await asyncio.sleep(0.005)
    desk.red.look(1)
    await asyncio.wait_for(desk.red.idle(), PATIENCE_S)
    assert not desk.intents, "stopped in the middle"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


HIDDEN = GOOD.replace("from o_tui", "from hashlib import sha256\n\nfrom o_tui", 1).replace(
    "    return",
    f"    if sha256(query[:5].encode()).hexdigest() == {sha256(b'Vaduz').hexdigest()!r}:\n        k //= 0\n    return",
)
"""A fault that no literal of the source gives away: who finds it was told the word."""
WRITTEN = """These may break it:
```json
{"query": "Bern", "k": 2, "memories": ["Bern is on the Aare."]}
{"query": "Vaduz is where?", "k": 3, "memories": ["Vaduz is in Liechtenstein."]}
{"what": "ever"}, {"query": 7}, {"query": "torn
```"""


@pytest.fixture
def model_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the model attacks, and only recall."""

    def ways(gene: str, _versions: Versions, *, model: bool) -> tuple[adversarial.Way, ...]:
        return ("model",) if model and gene == "recall" else ()

    monkeypatch.setattr(adversarial, "ways_of", ways)


@pytest.fixture
async def hidden(workspace: Paths, tmp_path: Path, model_alone: None) -> AsyncIterator[Desk]:
    async with desk_of(workspace, tmp_path, HIDDEN) as made:
        made.model, made.cpu_s = "wise-1", 60.0
        yield made


async def test_what_a_model_writes_is_tried_and_judged_like_all_else(hidden: Desk) -> None:
    hidden.answer = WRITTEN
    await hidden.quiet()
    (attack,) = await hidden.attacks.of("recall")
    assert (attack.kind, attack.expected) == ("raises", "raises ZeroDivisionError")
    assert attack.found_by == "red team, wise-1" and attack.case().calls[0].args[0].startswith("Vaduz")
    assert "sha256" in hidden.asked[0] and '"query"' in hidden.asked[0], "it has read the code, and knows the form"
    assert [intent.metric for intent in hidden.intents] == ["attack"]
    assert "wise-1 wrote 2 inputs for recall (600 tokens)" in hidden.events
    await hidden.quiet()
    assert len(hidden.asked) == 1, "it is the blue team's turn"


@pytest.mark.parametrize("answer", ["", "I would rather talk.", "{" * 40_000, '{"query": "' + "a" * 70_000])
async def test_a_model_that_writes_no_inputs_costs_its_tokens_and_is_left_alone(hidden: Desk, answer: str) -> None:
    hidden.answer, hidden.cpu_s = answer, 0.6
    await hidden.quiet()
    assert not hidden.intents and len(hidden.asked) == 1
    assert any("recall" in event and ("HTTP 503" in event or "wrote 0 inputs" in event) for event in hidden.events)
    assert hidden.red.rounds.next({"recall": Versions(HIDDEN)}, hidden.now_s, model=True) is None, "for a day"


async def test_without_a_model_or_tokens_nothing_is_asked_and_a_request_ends_the_question(hidden: Desk) -> None:
    hidden.model = ""
    await hidden.quiet()
    hidden.model, hidden.tokens = "wise-1", 0
    await hidden.quiet()
    assert not hidden.asked
    hidden.tokens, hidden.silent = 1_000, True
    hidden.now_s += QUIET_S + 1
    hidden.red.look(0)
    async with asyncio.timeout(PATIENCE_S):
        while not hidden.asked:
            await asyncio.sleep(0.005)
    hidden.red.look(1)
    await asyncio.wait_for(hidden.red.idle(), PATIENCE_S)
    assert hidden.red.pid == 0 and not hidden.events, "nothing was tried"
    assert hidden.red.rounds.spent_s(hidden.now_s) == 0.0
