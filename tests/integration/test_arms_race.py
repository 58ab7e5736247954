"""Red, blue, promotion, red: a fault in service is found, repaired, and not found again. Everything is real.

A guardian with its processes, the red team's rounds, an operator over the socket; only how long the agent must have
been quiet is shorter.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from o_tui.config import Config, EvolutionConfig
from o_tui.guardian.core import Guardian
from o_tui.guardian.evolving import initiative, red_team
from o_tui.paths import Paths
from o_tui.protocol.errors import UsageError
from tests.support.guardians import ECHO, running
from tests.support.operating import Operator
from tests.support.patience import PATIENCE_S

BAD = '''"""Recall: of the memories that the words find, those with the first word."""

from __future__ import annotations

from o_tui.agent.dsl import Hit, Search


def recall(query: str, search: Search, k: int, now_ns: int) -> list[Hit]:
    """A query without a word has no first one."""
    first = query.split()[0]
    hits = search.lexical(query, k)
    return [hit for hit in hits if first] if hits else []
'''
HALF = BAD.replace("query.split()[0]", 'query.split()[0] if query else ""')
"""A repair of one input: only a query of blanks still breaks it."""
GOOD = BAD.replace("query.split()[0]", 'query.split()[0] if query.split() else ""')
SETTINGS = Config(
    evolution=EvolutionConfig(pairs=16, request_s=1.0, canary_pairs=4, intents_per_day=0, red_team_cpu_s=60.0)
)


@pytest.fixture
async def operator(workspace: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Operator]:
    """The fault is in service from the start; a second without requests is long."""
    monkeypatch.setattr(red_team, "QUIET_S", 0.5)
    monkeypatch.setattr(red_team, "ROUND_CPU_S", 1.0)
    monkeypatch.setattr(initiative, "QUIET_S", 0.5)
    seed = tmp_path / "seed"
    shutil.copytree(ECHO, seed)
    (seed / "recall.py").write_text(BAD)
    async with running(workspace, SETTINGS, seed) as guardian:
        yield Operator(guardian, workspace)


async def told(operator: Operator, text: str, count: int = 1) -> list[dict[str, Any]]:
    """The events that say `text`, once there are so many."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(found) < count:
            found = await operator.call("events.list", limit=100, filter=f"kind:attack {text}")
    return found


async def intended(operator: Operator) -> dict[str, Any]:
    """The newest intent on recall, once there is one."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            for row in await operator.call("intents.list"):
                if row["gene"] == "recall":
                    return dict(row)


@contextlib.asynccontextmanager
async def asking(guardian: Guardian) -> AsyncIterator[list[str]]:
    """Somebody who goes on asking; every request has to be answered."""
    answers: list[str] = []
    over = asyncio.Event()

    async def ask() -> None:
        while not over.is_set():
            ticket = await guardian.dispatch.ask(f"hello {len(answers)}")
            assert ticket.ok, ticket.error
            answers.append(ticket.answer)

    task = asyncio.create_task(ask())
    try:
        yield answers
    finally:
        over.set()
        await task


async def repaired(operator: Operator, source: str) -> list[str]:
    """An operator's candidate stands all kept attacks, is measured, approved, shared out to, promoted."""
    kept = len(await operator.guardian.stores.attacks.of("recall"))
    row = await operator.evolve(source, gene="recall", repair=True)
    assert row["state"] == "pending", row["reason"]  # proven, or (a busy machine stalls) left to the operator
    evidence = row["evidence"]
    assert (evidence["errors"]["main"], evidence["errors"]["candidate"]) == (1, 0), "the last; the others main stands"
    assert (evidence["requests_from"]["attacks"], evidence["requests_from"]["attacks_failed"]) == (kept, 0)
    (stage,) = [each for each in row["stages"] if each["name"] == "attacks"]
    assert stage["verdict"] == "pass" and stage["detail"].startswith(f"{kept} kept attack")
    async with asking(operator.guardian) as answers:
        promoted = await operator.call("approve", id=row["id"], digest=row["diff_sha256"])
    assert promoted["state"] == "promoted" and promoted["canary"]["begun"] == [1, 2, 3], promoted["canary"]
    assert promoted["canary"]["requests_all"] == 3 * SETTINGS.evolution.canary_pairs
    return answers


async def refused(operator: Operator, source: str) -> bool:
    """Whether a candidate ends at the kept attacks."""
    row = await operator.evolve(source + "\n# once more\n", gene="recall", repair=True)
    return bool(row["state"] == "rejected" and row["stages"][-1]["name"] == "attacks")


async def search(operator: Operator, text: str) -> bool:
    """Whether the agent in service answers a search, right through."""
    asked = json.dumps({"text": text, "k": 3})
    return (await operator.guardian.dispatch.ask(asked, "memory.search", journalled=False)).ok


async def test_red_finds_blue_repairs_until_red_finds_nothing_new(operator: Operator) -> None:
    attacks = operator.guardian.stores.attacks
    with pytest.raises(UsageError, match="no attack on 'respond' is kept"):
        await operator.evolve(BAD, gene="respond", repair=True)

    await told(operator, "an attack breaks recall")
    (first,) = await attacks.of("recall")
    assert (first.kind, first.expected, first.found_by) == ("raises", "raises IndexError", "red team")
    intent = await intended(operator)
    assert (intent["gene"], intent["metric"]) == ("recall", "attack") and not intent["evolution"]
    assert "intents_per_day is 0" in intent["reason"], "nobody but the operator begins anything here"
    assert not await search(operator, "")
    assert await refused(operator, BAD)

    assert await repaired(operator, HALF), "requests are answered while the code changes"
    assert await search(operator, "") and not await search(operator, " ")
    await told(operator, "an attack breaks recall", 2)
    (_, second) = await attacks.of("recall")
    assert second.signature == first.signature and second.arguments != first.arguments, "the same fault, another input"
    assert await refused(operator, HALF)

    assert await repaired(operator, GOOD)
    assert await search(operator, "") and await search(operator, " ")
    await told(operator, "the red team finds nothing new in recall")
    assert len(await attacks.of("recall")) == 2 and len(await operator.call("genome.log")) == 3
    for source in (BAD, HALF):
        assert await refused(operator, source), "what was in service before does not come back"
