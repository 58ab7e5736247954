"""The evolutions that this guardian knows: their rows, durable first and told to the views then, and who waits."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from o_tui.evolution import arbiter
from o_tui.evolution.samples import Side, Trial
from o_tui.guardian.evolving.seams import Rows, Surroundings
from o_tui.protocol.errors import BusyError, NotFoundError, PeerError

RUNNING = ("intent", "checkpoint", "generate", "validate", "shadow")
"""States in which a task works on it."""
SETTLED = ("pending", "promoted", "rejected", "failed", "rolled_back")
"""States in which it waits for somebody, or has ended."""
AGAIN_S = 2.0
"""After which it is tried again to write down what the disk did not take."""
_HEAVY = ("diff",)
LOOKED = "looked"
"""The verdict of a first look."""
ASKED = "asked"
"""Not a verdict: what an evolution was asked for, for a guardian that has to begin it anew."""

EMPTY: dict[str, Any] = {
    "hypothesis": "",
    "metric": "any",
    "base": "",
    "revision": "",
    "state": "intent",
    "reason": "",
    "diff": "",
    "diff_sha256": "",
    "evidence_sha256": "",
    "evidence": {},
    "verdict": "",
    "stages": [],
    "checkpoint_id": "",
    "version": "",
    "next_version": "",
    "by": "",
    "source": {},
    "why": {},
    "policy": "always",
    "risk": "",
    "race": [],
    "generations": [],
    "resumed": [],
    "again": 0,
    "budget": {},
    "work": {},
    "canary": {},
    "decided_ns": 0,
}


class Book:
    """Rows by id; a change is durable before anybody is told."""

    def __init__(
        self, rows: Rows, surroundings: Surroundings, settled: Callable[[Mapping[str, Any]], Awaitable[None]]
    ) -> None:
        """`settled` is told of each row that waits for somebody, or has ended, after that is durable."""
        self._rows = rows
        self._told = settled
        self._surroundings = surroundings
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._late: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
        self._catching_up: asyncio.Task[None] | None = None

    async def add(
        self, evolution: str, gene: str, origin: str, goal: str, asked: Mapping[str, Any], **more: Any
    ) -> dict[str, Any]:
        """A new row in state `intent`; `asked` is what `asked` gives back, `more` are keys that are not empty."""
        await self._rows.add_decision(evolution, ASKED, asked)  # before the row: whoever finds that finds this
        row = {"id": evolution, "gene": gene, "origin": origin, "goal": goal, **copy.deepcopy(EMPTY)}
        row |= {"time_ns": time.time_ns(), **more}
        await self._rows.add(row)
        self._surroundings.publish("evolution", light(row))
        return row

    async def change(self, row: dict[str, Any], **fields: Any) -> None:
        """Some keys of a row change: in the database, in `row`, at the views, and for those who wait."""
        settles = fields.get("state") in SETTLED and fields["state"] != row["state"]
        if settles and not row.get("decided_ns"):
            fields["decided_ns"] = time.time_ns()
        if settles:
            fields["work"] = {}
        await self._rows.update(row["id"], fields)
        row.update(fields)
        self._surroundings.publish("evolution", light(row))
        if settles:
            await self._told(row)
        if row["state"] in SETTLED:
            for future in self._waiting.pop(row["id"], []):
                if not future.done():
                    future.set_result(None)

    async def end(self, row: dict[str, Any], **fields: Any) -> str:
        """`change` into a state in which it rests; where the disk takes nothing, as soon as it does.

        Who waits for it hears of that at once. Returns why it is not durable yet; "": it is.
        """
        before = dict(row)
        try:
            await self.change(row, **fields)
        except (PeerError, BusyError) as error:
            first, earlier = self._late.get(row["id"], (before, {}))
            self._late[row["id"]] = first, earlier | fields
            row.update(fields)
            self._catching_up = self._catching_up or asyncio.create_task(self._catch_up(), name="late rows")
            late = f"{row['id']}: {row['state']}: {row['reason']} (to be recorded when that is possible: {error})"
            for future in self._waiting.pop(row["id"], []):
                if not future.done():
                    future.set_exception(PeerError(late))
            return str(error)
        return ""

    async def _catch_up(self) -> None:
        while self._late:
            await asyncio.sleep(AGAIN_S)
            for evolution, (row, fields) in list(self._late.items()):
                with contextlib.suppress(PeerError, BusyError):
                    await self.change(row, **fields)
                    del self._late[evolution]
        self._catching_up = None

    async def close(self) -> None:
        """What is late by now is for the next guardian to end."""
        if self._catching_up is not None:
            self._catching_up.cancel()
            await asyncio.gather(self._catching_up, return_exceptions=True)

    async def candidate(self, row: dict[str, Any], **fields: Any) -> None:
        """A row has a (further) candidate."""
        told = {"gene": row["gene"], "base": row["base"], "origin": row["origin"], "diff_sha256": fields["diff_sha256"]}
        told["source"] = fields.get("source", {})
        await self._rows.add_candidate(row["id"], fields["revision"], told)
        await self.change(row, **fields)

    async def keep(self, evolution: str, trial: Trial, decision: arbiter.Decision) -> None:
        """The measured pairs and the decision, for the history."""
        samples = [
            {"request": pair.request.id, "source": pair.request.source, "main": _sample(pair.main)}
            | {"candidate": _sample(pair.candidate)}
            for pair in trial.pairs
        ]
        await self._rows.add_samples(evolution, samples)
        await self._rows.add_decision(evolution, decision.verdict, {"reasons": list(decision.reasons)})

    async def looked(self, row: Mapping[str, Any], revision: str, figures: Mapping[str, Any]) -> None:
        """What a first look at a candidate of a population showed; the last such row of a candidate counts."""
        await self._rows.add_decision(row["id"], LOOKED, {"revision": revision, **figures})

    async def asked(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """What `add` was told of it; None: an earlier O did not write that down."""
        found = [each["data"] for each in await self._rows.decisions(row["id"]) if each["verdict"] == ASKED]
        return found[0] if found else None

    async def population(self, row: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """By revision: the candidates of a row, as `candidate` kept them, and the figures of those looked at."""
        made = {each["revision"]: each["data"] for each in await self._rows.candidates(row["id"])}
        decided = await self._rows.decisions(row["id"])
        looks = [each["data"] for each in decided if each["verdict"] == LOOKED]
        return made, {each["revision"]: each for each in looks}

    async def get(self, evolution: str) -> dict[str, Any]:
        """One row; raises NotFoundError."""
        row = await self._rows.get(evolution)
        if row is None:
            raise NotFoundError(
                f"there is no evolution {evolution[:40]!r}, or more than one that begins so",
                hint="`o-tui history` lists them",
            )
        return row

    async def page(self, limit: int, states: Sequence[str] = ()) -> list[dict[str, Any]]:
        """The newest rows, newest first."""
        return await self._rows.page(limit, states)

    async def settled(self, evolution: str) -> dict[str, Any]:
        """The row, once it waits for somebody or has ended."""
        evolution = (await self.get(evolution))["id"]  # the beginning of an id is enough for a name
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(evolution, []).append(future)  # before the look, so that no change falls between
        try:
            row = await self.get(evolution)
            if row["state"] in SETTLED:
                return row
            await future
            return await self.get(evolution)
        finally:
            waiting = self._waiting.get(evolution, [])
            if future in waiting:
                waiting.remove(future)


def light(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without what is large: for notices and lists."""
    return {key: value for key, value in row.items() if key not in _HEAVY}


def _sample(side: Side) -> list[Any]:
    return [side.ending, side.wall_ns, side.cpu_ns, side.operations, side.effects, len(side.diverged)]
