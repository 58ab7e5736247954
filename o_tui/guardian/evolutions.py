"""One evolution after the other, from intent to a decision that waits for an operator.

Everything here can be interrupted: what was in the middle ends as failed, what was approved is finished (deploying.py).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from o_tui.config import EvolutionConfig
from o_tui.evolution import arbiter, diffs, evidence, prompting, versions, workloads
from o_tui.evolution.genome import Genome
from o_tui.evolution.history import gene_path
from o_tui.evolution.validation import Validation
from o_tui.guardian.deploying import Deploying
from o_tui.guardian.diffing import diff_of
from o_tui.guardian.evolution_book import RUNNING, Book, light
from o_tui.guardian.seams import (
    Approvals,
    Checkpoints,
    GenomeLoadError,
    Instances,
    Operator,
    Recorded,
    Rows,
    Surroundings,
)
from o_tui.guardian.shadows import Code, Measurement
from o_tui.guardian.validating import validate_apart
from o_tui.paths import shipped
from o_tui.protocol.contracts import FILE_LIMIT_BYTES
from o_tui.protocol.errors import OError, RefusedError, UsageError

MAX_WAITING = 16
"""Evolutions that may wait for their turn."""
MODEL_TRIES = 3
"""How often a model is asked for one evolution; what was wrong is said to it."""
_SHOWN_SHADOWS = 20


class _Rejected(Exception):  # noqa: N818 - not an error: the answer of a stage
    """The candidate is not good enough; the text says why."""


class Evolutions:
    """The guardian's evolutions: methods of the public API, by keyword, plain data out."""

    def __init__(
        self,
        genome: Genome,
        *,
        instances: Instances,
        checkpoints: Checkpoints,
        recorded: Recorded,
        rows: Rows,
        approvals: Approvals,
        surroundings: Surroundings,
        settings: EvolutionConfig,
        workload_folders: Sequence[Path] = (),
        policy: arbiter.Policy | None = None,
    ) -> None:
        self.settings = settings
        self._genome = genome
        self._instances = instances
        self._checkpoints = checkpoints
        self._recorded = recorded
        self._surroundings = surroundings
        self._folders = [*workload_folders, shipped("data") / "workloads"]
        self._policy = policy or arbiter.Policy()
        self._book = Book(rows, surroundings)
        self._deploying = Deploying(
            genome, self._book, approvals=approvals, instances=instances, surroundings=surroundings
        )
        self._turn = asyncio.Lock()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._acting: set[asyncio.Task[dict[str, Any]]] = set()
        self._measurements: list[Measurement] = []

    # --- the public API

    async def evolve(
        self,
        gene: str,
        source: str | bytes = "",
        origin: Literal["file", "llm"] = "file",
        goal: str = "",
        hypothesis: str = "",
    ) -> dict[str, Any]:
        """Begins an evolution and returns at once: {evolution}.

        Raises:
            UsageError: No such gene, no source, or no goal for a model.
            RefusedError: Nothing may be evolved just now, or too many wait.
        """
        gene_path(gene)
        if origin not in ("file", "llm"):
            raise UsageError(f"unknown origin {origin!r}", hint="file or llm")
        if origin == "llm" and not goal.strip():
            raise UsageError("what should be better?", hint="--goal TEXT")
        if origin == "file" and not source:
            raise UsageError("a candidate's source is needed", hint="--from FILE")
        if held := self._surroundings.held():
            raise RefusedError(f"nothing is evolved just now: {held}")
        if len(self._tasks) >= MAX_WAITING:
            raise RefusedError(f"{MAX_WAITING} evolutions are running or waiting already")
        row = await self._book.add(f"e{secrets.token_hex(4)}", gene, origin, goal, hypothesis)
        self._event("info", f"an evolution of {gene} begins ({row['id']}): {goal or 'a given source'}", row)
        task = asyncio.create_task(self._run(row, source), name=f"evolution {row['id']}")
        self._tasks[row["id"]] = task
        task.add_done_callback(lambda _task: self._tasks.pop(row["id"], None))
        return {"evolution": row["id"]}

    async def wait(self, id: str) -> dict[str, Any]:
        """The row, once it is pending or has ended."""
        return await self._book.settled(id)

    async def show(self, id: str) -> dict[str, Any]:
        """One evolution with diff, stages and evidence; raises NotFoundError."""
        return await self._book.get(id)

    async def pending(self) -> list[dict[str, Any]]:
        """What waits for an operator, newest first, without the diffs."""
        return [light(row) for row in await self._book.page(200, ("pending",))]

    async def history(self, limit: int = 50) -> list[dict[str, Any]]:
        """The newest evolutions, newest first, without the diffs."""
        return [light(row) for row in await self._book.page(max(1, min(limit, 1_000)))]

    async def approve(self, id: str, digest: str, operator: Operator, evidence_sha256: str = "") -> dict[str, Any]:
        """An operator's yes to the exact diff (and evidence, where its digest is given); see Deploying.approve."""
        return await self._act(self._deploying.approve(id, digest, evidence_sha256, operator))

    async def reject(self, id: str, reason: str, operator: Operator) -> dict[str, Any]:
        """An operator's no; one that still runs is stopped."""
        row = await self._book.get(id)
        task = self._tasks.get(row["id"])
        if task is not None and not operator.viewer:
            task.cancel(msg=f"stopped by {operator.name}")
            await asyncio.wait([task])
        return await self._act(self._deploying.reject(row["id"], reason, operator, stopped=task is not None))

    async def rollback(self, revision: str, operator: Operator) -> dict[str, Any]:
        """Back to a version that was deployed, by default the one before; see Deploying.rollback."""
        return await self._act(self._deploying.rollback(revision, operator))

    async def genome_log(self, limit: int = 100) -> list[dict[str, Any]]:
        """The deployed versions, newest first."""
        return await asyncio.to_thread(self._genome.log, max(1, min(limit, 1_000)))

    async def genome_diff(self, a: str, b: str = "head") -> dict[str, Any]:
        """The diff between two revisions, tags or versions: {a, b, diff, sha256}."""
        pair = [await asyncio.to_thread(self._genome.resolve, name) for name in (a, b)]
        diff = await diff_of(self._genome, *pair)
        return {"a": pair[0], "b": pair[1], "diff": diff, "sha256": diffs.digest(diff)}

    async def genome_show(self, revision: str = "head", path: str = "") -> dict[str, Any]:
        """One file of a revision; without a path the names of its files: {revision, path, text, files}."""
        full = await asyncio.to_thread(self._genome.resolve, revision)
        files = sorted(await asyncio.to_thread(self._genome.files, full))
        text = await asyncio.to_thread(self._genome.show, full, path) if path else ""
        return {"revision": full, "path": path, "text": text, "files": files}

    def shadow_rows(self) -> list[dict[str, Any]]:
        """The rows of the shadows that run or have run last."""
        return [row for measurement in self._measurements for row in measurement.rows()]

    # --- for the guardian

    async def recover(self) -> None:
        """At the start: what was in the middle has failed, what was approved is finished or undone.

        What cannot be recovered is told and stays as it is: the guardian starts all the same.
        """
        try:
            for row in await self._book.page(1_000, RUNNING):
                await self._book.change(row, state="failed", reason="interrupted: the guardian ended in the middle")
                self._event("warning", f"{row['id']} ({row['gene']}) was interrupted by the guardian's end", row)
            await self._deploying.recover()
        except OError as error:
            self._surroundings.event("error", f"evolutions could not be recovered: {error}", {})

    async def close(self) -> None:
        """Before the guardian's end: stops what runs, waits for what is being deployed."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel(msg="the guardian was stopped")
        await asyncio.gather(*tasks, *self._acting, return_exceptions=True)

    # --- the cycle

    async def _act(self, doing: Any) -> dict[str, Any]:
        """Does it whether or not the view that asked for it is still there."""
        task: asyncio.Task[dict[str, Any]] = asyncio.create_task(doing)
        self._acting.add(task)
        task.add_done_callback(self._acted)
        return await asyncio.shield(task)

    def _acted(self, task: asyncio.Task[dict[str, Any]]) -> None:
        self._acting.discard(task)
        if not task.cancelled():
            task.exception()  # seen: who asked may have gone; the rows and events say how it went

    async def _run(self, row: dict[str, Any], source: str | bytes) -> None:
        try:
            async with self._turn:
                await self._cycle(row, source)
        except (_Rejected, GenomeLoadError) as error:
            await self._end(row, "rejected", str(error))
        except OError as error:
            await self._end(row, "failed", str(error))
        except asyncio.CancelledError as error:
            reason = str(error.args[0]) if error.args else "it was stopped"
            await asyncio.shield(self._end(row, "failed", f"interrupted: {reason}"))
            raise
        except Exception as error:  # noqa: BLE001 - the border of a task: a defect of ours ends this evolution only
            await self._end(row, "failed", f"a defect of O: {type(error).__name__}: {error}")

    async def _end(self, row: dict[str, Any], state: str, reason: str) -> None:
        verdict = "reject" if state == "rejected" else row["verdict"]
        try:
            await self._book.change(row, state=state, reason=reason, verdict=verdict)
        except OError as error:  # the disk takes nothing: `recover` ends it at the next start
            reason = f"{reason} (not recorded: {error})"
        self._event(
            "info" if state == "rejected" else "warning", f"{row['id']} ({row['gene']}): {state}: {reason}", row
        )

    async def _cycle(self, row: dict[str, Any], source: str | bytes) -> None:
        change = self._book.change
        await change(row, state="checkpoint")
        await change(row, checkpoint_id=await self._checkpoints.create(f"before evolution {row['id']}"))
        base = await asyncio.to_thread(self._genome.head)
        version = await asyncio.to_thread(self._genome.version, base)
        await change(row, state="generate", base=base, next_version=versions.bump(version, "minor"))
        if row["origin"] == "llm":
            await self._ask_model(row)
        else:
            await self._commit(row, source)
            await self._validate(row, source)
        await change(row, state="shadow")
        decision = await self._measure(row)
        if decision.verdict == "reject":
            raise _Rejected("; ".join(decision.reasons))
        await change(row, state="pending", reason=decision.reasons[0])
        self._event("info", f"{row['id']} ({row['gene']}) waits for approval: {decision.reasons[0]}", row)

    async def _ask_model(self, row: dict[str, Any]) -> None:
        before = await asyncio.to_thread(self._genome.source, row["base"], row["gene"])
        failures: list[str] = []
        for _ in range(MODEL_TRIES):
            await self._book.change(row, state="generate")
            answer = await self._surroundings.ask_model(prompting.ask(row["gene"], before, row["goal"], failures))
            source = await asyncio.to_thread(prompting.extract, answer, row["gene"], before)
            if not source:
                failures.append("there was no Python code in the answer")
                continue
            try:
                await self._commit(row, source)
                await self._validate(row, source)
            except _Rejected as error:
                failures.append(str(error))
            else:
                return
        raise _Rejected(f"the model's {MODEL_TRIES} tries were no candidates; the last: {failures[-1]}")

    async def _commit(self, row: dict[str, Any], source: str | bytes) -> None:
        if len(source) > FILE_LIMIT_BYTES:
            return  # validation says so; git need not keep it
        try:
            revision = await asyncio.to_thread(self._make_candidate, row, source)
        except UsageError as error:
            raise _Rejected(str(error)) from error
        diff = await diff_of(self._genome, row["base"], revision)
        await self._book.candidate(row, revision=revision, diff=diff, diff_sha256=diffs.digest(diff))

    def _make_candidate(self, row: dict[str, Any], source: str | bytes) -> str:
        title = f"{row['gene']}: {row['goal'] or 'a candidate'}"
        return self._genome.candidate(row["gene"], source, row["base"], row["id"], title, time.time_ns())

    async def _validate(self, row: dict[str, Any], source: str | bytes) -> Validation:
        await self._book.change(row, state="validate")
        result = await validate_apart(row["gene"], source)
        await self._book.change(row, stages=result.rows())
        if not result.ok:
            raise _Rejected(result.reason)
        return result

    async def _measure(self, row: dict[str, Any]) -> arbiter.Decision:
        work = await self._work(row)
        measurement = Measurement(
            self._instances,
            self._surroundings.publish,
            row["id"],
            main=await self._code(row["base"]),
            candidate=await self._code(row["revision"]),
            timeout_s=self.settings.request_s,
            seed=int(row["revision"][:12], 16),
        )
        self._measurements = [*self._measurements, measurement][-_SHOWN_SHADOWS:]
        try:
            trial = await measurement.run(work.requests, work.setup)
        except BaseException:
            measurement.end("failed")
            raise
        found = await asyncio.to_thread(evidence.measure, trial)
        decision = arbiter.decide(found, self._policy)
        measurement.end(decision.verdict)
        found = msgspec.structs.replace(found, decision=decision.verdict, reasons=list(decision.reasons))
        plain = found.row()
        await self._book.keep(row["id"], trial, decision)
        await self._book.change(row, evidence=plain, evidence_sha256=evidence.digest(plain), verdict=decision.verdict)
        return decision

    async def _work(self, row: dict[str, Any]) -> workloads.Workload:
        pairs = self.settings.pairs
        recorded = await self._recorded.requests(pairs)
        workload = await asyncio.to_thread(workloads.load, self._folders, row["gene"])
        chosen = workloads.choose(recorded, workload, pairs, int(row["revision"][:12], 16))
        if not chosen.requests:
            raise OError(f"there is nothing to try {row['gene']} on: no recorded request and no workload")
        return chosen

    async def _code(self, revision: str) -> Code:
        files = await asyncio.to_thread(self._genome.files, revision)
        return Code(files, revision, await asyncio.to_thread(self._genome.version, revision))

    def _event(self, level: str, text: str, row: dict[str, Any]) -> None:
        self._surroundings.event(level, text, {key: row[key] for key in ("id", "gene", "state", "verdict")})
