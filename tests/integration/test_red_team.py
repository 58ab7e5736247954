"""The red team on a real repository, a real archive and a real prober: what it finds, and when it stops."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from o_tui.config import EvolutionConfig
from o_tui.evolution.genome import Genome
from o_tui.evolution.samples import RecordedRequest
from o_tui.guardian.evolving.perception import Intent
from o_tui.guardian.evolving.red_team import QUIET_S, RedTeam
from o_tui.guardian.evolving.validating import judge, seed
from o_tui.guardian.storage.attack_rows import AttackRows
from o_tui.paths import Paths, shipped
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
            clock=lambda: self.now_s,
        )

    async def requests(self, limit: int) -> Sequence[RecordedRequest]:
        return [RecordedRequest("r", "where is Basel?")]

    async def quiet(self) -> None:
        """A minute without requests passes, and whatever it brings."""
        self.now_s += QUIET_S + 1
        self.red.look(0)
        await asyncio.wait_for(self.red.idle(), 60)


@pytest.fixture
async def desk(workspace: Paths, tmp_path: Path) -> AsyncIterator[Desk]:
    folder = tmp_path / "seed"
    shutil.copytree(shipped("data") / "genome", folder)
    (folder / "recall.py").write_text(BAD)
    genome = Genome.open(tmp_path / "genome", folder)
    async with opened(workspace) as database:
        made = Desk(genome, AttackRows(database))
        yield made
        await made.red.close()


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
    async with asyncio.timeout(30):
        while not (pid := desk.red.pid):
            await asyncio.sleep(0.005)
    desk.red.look(1)
    await asyncio.wait_for(desk.red.idle(), 30)
    assert not desk.intents, "stopped in the middle"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
