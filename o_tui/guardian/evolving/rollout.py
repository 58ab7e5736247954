"""What lies between an approval and a version that has proven itself: migration, canary, watch. See canary.py."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from o_tui.config import EvolutionConfig
from o_tui.evolution import two_faced, workloads
from o_tui.evolution.genome import Genome
from o_tui.evolution.history import gene_path
from o_tui.evolution.samples import RecordedRequest
from o_tui.guardian.evolving import elapsed
from o_tui.guardian.evolving.canary import Canary
from o_tui.guardian.evolving.code import code_of
from o_tui.guardian.evolving.evolution_book import Book, light
from o_tui.guardian.evolving.measuring import NEVER_ASKED
from o_tui.guardian.evolving.seams import Seams
from o_tui.guardian.evolving.twin import Twins
from o_tui.guardian.evolving.watching import WATCH_REQUESTS, WATCH_S, Watching
from o_tui.guardian.fleet.code import Code
from o_tui.protocol.contracts import MIGRATE
from o_tui.protocol.errors import OError

_AGAIN = "the guardian was stopped; the canary goes on at its step with the next one"
_KEEP_PAIRS = 25
"""Pairs of a canary after which its counts become durable."""


class Harmed(OError):  # noqa: N818 - not a defect: what a canary has shown
    """Harm was shown while the canary ran."""


class Interrupted(OError):  # noqa: N818 - nobody's fault
    """The guardian ends while a canary runs: the next one goes on with it."""


class Rollout:
    """Canaries and watches of one guardian; one of each at a time."""

    def __init__(
        self,
        genome: Genome,
        book: Book,
        seams: Seams,
        folders: Sequence[Path],
        *,
        settings: Callable[[], EvolutionConfig],
    ) -> None:
        self._settings = settings
        self._genome = genome
        self._book = book
        self._instances = seams.instances
        self._traffic = seams.traffic
        self._recorded = seams.recorded
        self._surroundings = seams.surroundings
        self._folders = folders
        self._canary: Canary | None = None
        self._under_way = False
        self._stopped = ""
        self._run: asyncio.Task[str] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._closing = False

    async def canary(self, row: dict[str, Any]) -> None:
        """Lets a canary take its shares; when it returns, the canary serves all requests and waits for its end.

        One that a guardian has died in goes on at its step, whose evidence begins anew; its counts go on.

        Raises:
            Harmed: It is worse than main; it serves nobody any more.
            Interrupted: The guardian ends.
            OError: It could not be started, or its state could not be migrated.
        """
        if not self._settings().canary_pairs:
            return
        self.end_watch()
        said = row.get("canary") or {}
        if said.get("state") == "harm":  # shown to a guardian that died before it could undo it
            raise Harmed(said["reason"])
        self._under_way, self._stopped = True, ""
        try:
            await self._started(row, said)
        finally:
            self._under_way = False

    async def _started(self, row: dict[str, Any], said: dict[str, Any]) -> None:
        await self._change(row, {"step": 0, **said, "state": "starting"}, durable=True)
        old, new = await self._compared(row, "base"), await self._compared(row, "revision")
        await self._try_migration(row, old, new)
        await self._start(row, new)
        await self._migrate(row, old, new)
        await self._steps(row, await self._canary_of(row, old, new))

    async def _steps(self, row: dict[str, Any], canary: Canary) -> None:
        if self._closing:
            await self._traffic.end(at_once=True)
            raise Interrupted(_AGAIN)
        self._canary = canary
        if self._stopped:  # while it was being started
            canary.stop(self._stopped)
        self._run = asyncio.create_task(canary.run(), name=f"canary {row['id']}")
        try:
            harm = await self._run or canary.stopped  # the last step may have been over already
        except asyncio.CancelledError as error:
            await asyncio.shield(self._traffic.end(at_once=True))
            if self._closing:
                raise Interrupted(_AGAIN) from error
            raise
        finally:
            self._canary = None
        if harm:
            await self._traffic.end(at_once=True)
            raise Harmed(harm if canary.stopped else two_faced.in_words(row["evidence"], harm))

    async def _canary_of(self, row: dict[str, Any], old: Code, new: Code) -> Canary:
        work, said = await self._work(row), row["canary"]
        return Canary(
            self._traffic,
            self._twins(row, old, new, work.setup),
            wanted=self._settings().canary_pairs,
            replayed=work.requests,
            expected=_approved_ratio(row),
            effects_known=bool((row["evidence"].get("effects") or {}).get("diverged")),
            start=lambda: self._start(row, new),
            tell=lambda told: self._told(row, told),
            first=max(1, said["step"]),
            before=(said.get("requests_all", 0), said.get("served_all", 0)),
        )

    async def end_canary(self) -> None:
        """Main serves again; what the canary has in hand it ends first."""
        await self._traffic.end(at_once=False)

    def stop(self, reason: str) -> bool:
        """Ends the canary for a reason of an operator's; False: there is none."""
        if not self._under_way:
            return False
        self._stopped = reason
        if self._canary is not None:
            self._canary.stop(reason)
        return True

    async def watch(self, row: dict[str, Any]) -> str:
        """Watches a promotion; returns the harm that was shown, or "" when it is over."""
        old, new = await self._compared(row, "base"), await self._compared(row, "deployed")
        said = row["canary"]
        began = said.get("watched_since") or elapsed.mark()
        pairs = said.get("requests", 0) if "watched_since" in said else 0
        key = {**said, "watched_since": began}

        async def keep(told: dict[str, Any]) -> None:
            with contextlib.suppress(OError):  # a disk that takes nothing ends no watch: only its count is not kept
                await self._change(row, key | told, durable=True)

        watching = Watching(
            self._traffic,
            self._twins(row, old, new, ()),
            expected=_approved_ratio(row),
            pairs=pairs,
            seconds=WATCH_S - elapsed.since_s(began),
            requests=WATCH_REQUESTS,
            keep=keep,
            held=self._surroundings.held,
        )
        await keep(watching.row("watching"))
        return await watching.run()

    def begin_watch(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs a watch beside everything else; the one before ends."""
        self.end_watch()
        if self._closing:
            work.close()
            return
        self._watch = asyncio.create_task(work, name="watch")

    def end_watch(self) -> None:
        """What was watched does not run any more."""
        task, self._watch = self._watch, None
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """Ends canary and watch as they are."""
        self._closing = True
        tasks = [task for task in (self._run, self._watch) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @staticmethod
    def lines(row: dict[str, Any]) -> list[str]:
        """What the changelog says of a canary."""
        canary = row.get("canary") or {}
        if canary.get("state") != "passed":
            return []
        return [
            f"canary: no harm shown in {canary['requests']} pairs a step; {canary['served']} real requests at the end"
        ]

    # --- inside

    def _twins(self, row: dict[str, Any], old: Code, new: Code, setup: Sequence[RecordedRequest]) -> Twins:
        return Twins(self._instances, row["id"], old=old, new=new, timeout_s=self._settings().request_s, setup=setup)

    async def _start(self, row: dict[str, Any], new: Code) -> None:
        await self._traffic.start(new, row["id"])

    async def _work(self, row: dict[str, Any]) -> workloads.Workload:
        pairs = self._settings().canary_pairs
        recorded = await self._recorded.requests(pairs) if row["gene"] not in NEVER_ASKED else ()
        workload = await asyncio.to_thread(workloads.load, self._folders, row["gene"])
        return workloads.choose(recorded, workload, pairs, int(row["revision"][:12], 16))

    async def _try_migration(self, row: dict[str, Any], old: Code, new: Code) -> None:
        """The gene's hook on a copy of the state that is thrown away: what fails there touches nothing."""
        if not self._has_migration(row, new):
            return
        shadow = await self._instances.fork_shadow(new, "shadow", row["id"])
        try:
            request = RecordedRequest(f"migration-{row['id']}", _migration(row, old), kind="genome.migrate")
            async with asyncio.timeout(self._settings().request_s):
                outcome = await shadow.request(request)
        except TimeoutError as error:
            raise OError(f"the state could not be migrated within {self._settings().request_s:g} s") from error
        finally:
            await shadow.kill()
        if not outcome.ok:
            raise OError(f"the state could not be migrated: {outcome.error}")

    async def _migrate(self, row: dict[str, Any], old: Code, new: Code) -> None:
        if self._has_migration(row, new) and not row["canary"].get("migrated"):
            await self._traffic.migrate(_migration(row, old))
            await self._change(row, {**row["canary"], "migrated": True}, durable=True)

    def _has_migration(self, row: dict[str, Any], new: Code) -> bool:
        return f"def {MIGRATE.name}(" in new.files.get(gene_path(row["gene"]), "")

    async def _told(self, row: dict[str, Any], told: dict[str, Any]) -> None:
        said = row["canary"]
        new_step = said.get("step") != told["step"] or said["state"] == "starting"
        kept = said.get("kept", 0)
        durable = new_step or told["state"] != "running" or told["requests_all"] - kept >= _KEEP_PAIRS
        if durable:
            told = {**told, "kept": told["requests_all"]}
        if new_step:
            told = {**told, "begun": [*said.get("begun", ()), told["step"]]}
            text = f"{row['id']} ({row['gene']}): the canary takes {told['share']:.0%} of the requests"
            self._surroundings.event("info", text, {"id": row["id"], "gene": row["gene"]})
            if self._canary is not None and (held := self._surroundings.held()):
                self._canary.stop(f"nothing is deployed just now: {held}")
        await self._change(row, said | told, durable=durable)

    async def _compared(self, row: dict[str, Any], which: str) -> Code:
        return await code_of(self._genome, row[which], row["gene"])

    async def _change(self, row: dict[str, Any], told: dict[str, Any], *, durable: bool) -> None:
        if durable and row["state"] == "promoted":  # no state: the row may be rolled back by now
            await self._book.change(row, canary=told)
        elif durable:
            await self._book.change(row, state="canary", canary=told)
        else:
            row["canary"] = told
            self._surroundings.publish("evolution", light(row))


def _approved_ratio(row: dict[str, Any]) -> float:
    """How much longer than the old code the new one may take: what the approved evidence shows."""
    cpu = row["evidence"].get("cpu") or {}
    return max(1.0, float(cpu.get("ratio_median") or 1.0))


def _migration(row: dict[str, Any], old: Code) -> str:
    return json.dumps({"gene": row["gene"], "old_version": old.version})
