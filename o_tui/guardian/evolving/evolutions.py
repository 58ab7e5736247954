"""The guardian's evolutions: what can be asked of them, and who waits for what. One runs after the other (cycle.py).

Everything here can be interrupted: what was approved is finished (deploying.py), what else was in the middle goes on,
or begins anew (resuming.py).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from o_tui.config import EvolutionConfig
from o_tui.evolution import arbiter
from o_tui.evolution.budget import Budget, BudgetSpentError
from o_tui.evolution.genome import Genome
from o_tui.evolution.history import gene_path
from o_tui.guardian.evolving import blue_team, chronicle, partial, resuming, second_run
from o_tui.guardian.evolving.candidate_pipeline import RejectedError
from o_tui.guardian.evolving.cycle import Cycle
from o_tui.guardian.evolving.deploying import Deploying
from o_tui.guardian.evolving.evolution_book import RUNNING, Book
from o_tui.guardian.evolving.measuring import Measuring
from o_tui.guardian.evolving.policies import Policies
from o_tui.guardian.evolving.program_runs import ProgramRuns
from o_tui.guardian.evolving.reports import Reports
from o_tui.guardian.evolving.rollout import Rollout
from o_tui.guardian.evolving.seams import GenomeLoadError, Operator, Rows, Seams
from o_tui.guardian.evolving.source_choice import SourceChoice
from o_tui.guardian.evolving.sourcing import USUAL, Size, Sourcing, budget_of, check_asked, size_of
from o_tui.guardian.storage.attack_rows import AttackRows
from o_tui.guardian.storage.learning_rows import LearningRows
from o_tui.paths import shipped
from o_tui.protocol.errors import OError, RefusedError, UsageError

STOPPED = "the guardian was stopped"
MAX_WAITING = 16
"""Evolutions that may wait for their turn."""


class Evolutions:
    """Methods of the public API, by keyword, plain data out."""

    def __init__(
        self,
        genome: Genome,
        seams: Seams,
        *,
        rows: Rows,
        learning: LearningRows,
        attacks: AttackRows,
        settings: EvolutionConfig,
        workload_folders: Sequence[Path] = (),
        programs: Path | None = None,
    ) -> None:
        self.settings = settings
        self.policies = Policies(learning)
        self._genome = genome
        self._surroundings = surroundings = seams.surroundings
        self._learning = learning
        self._attacks = attacks
        self._book = Book(rows, surroundings, self._settled)
        runs = ProgramRuns(programs, rows, surroundings.publish) if programs is not None else None
        self.reports = Reports(self._book, genome, learning, runs)
        folders = [*workload_folders, shipped("data") / "workloads"]
        self.measuring = Measuring(genome, self._book, seams, folders, attacks=attacks)
        self._cycle = Cycle(genome, self._book, self.measuring, seams, attacks)
        choice = SourceChoice(genome, seams.instances, learning)
        self._sourcing = Sourcing(genome, self._book, learning, choice, surroundings)
        self._rollout = Rollout(genome, self._book, seams, self.measuring.folders, settings=lambda: self.settings)
        self._deploying = Deploying(genome, self._book, seams, self._rollout)
        self._turn = asyncio.Lock()
        self._taken_up: set[str] = set()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._superseding: set[asyncio.Task[None]] = set()
        self._acting: set[asyncio.Task[dict[str, Any]]] = set()

    # --- the public API

    async def evolve(
        self,
        gene: str,
        source: str | bytes = "",
        origin: str = "file",
        goal: str = "",
        hypothesis: str = "",
        metric: str = "any",
        candidates: int = 0,
        budget: Mapping[str, Any] | None = None,
        repair: bool = False,
        population: int = 0,
        generations: int = 0,
    ) -> dict[str, Any]:
        """Begins an evolution and returns at once: {evolution}.

        Args:
            gene: What is to be changed.
            source: The candidate, where `origin` is file.
            origin: file, llm, operators, others (earlier candidates, mixed), or auto: what has done best so far.
            goal: What should be better.
            hypothesis: Why the change should help.
            metric: What must get better: latency, errors, quality, or any of them. For quality time may be paid.
            candidates: How many are measured; 0: as many as is usual for the source.
            budget: requests, cpu_s, tokens, money; what is not named is as in the settings, 0 is without limit.
            repair: The answer to the red team: every kept attack on the gene has to be stood, those too that main
                fails at, and errors are what must get better. Without a goal the attacks are the goal.
            population: So many candidates a generation, looked at briefly; the best of all are raced and proven.
            generations: How many; where only one of the two is named, the other is 50 and 10.

        Raises:
            UsageError: No such gene, no source, no goal for a model, or no attack to be repaired.
            RefusedError: Nothing may be evolved just now, the gene is frozen, or too many wait.
        """
        if metric not in arbiter.GOALS:
            raise UsageError(f"no metric {metric[:40]!r}", hint=", ".join(arbiter.GOALS))
        more: dict[str, Any] = {"hypothesis": hypothesis, "metric": metric}
        if repair:
            kept = await self._attacks.of(gene)
            goal = goal.strip() or blue_team.goal(gene, kept)
            more |= {"metric": "errors", "why": blue_team.why(kept)}
        check_asked(origin, source, goal)
        size = size_of(origin, candidates, population, generations)
        spent = budget_of(budget or {}, self.settings)
        return await self.begin(gene, source, origin, goal, spent, size=size, **more)

    async def begin(
        self,
        gene: str,
        text: str | bytes,
        origin: str,
        goal: str,
        budget: Budget | None = None,
        *,
        size: Size = USUAL,
        supersedes: str = "",
        operator: Operator | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """`evolve` for the guardian itself. Raises the same.

        Args:
            gene, text, origin, goal, budget, size: What is asked for.
            supersedes: What `operator` wants to be rejected, once the new one waits for a decision.
            operator: See there.
            more: Further keys of the row.
        """
        gene_path(gene)
        if held := self._surroundings.held():
            raise RefusedError(f"nothing is evolved just now: {held}")
        policy = await self.policies.of(gene)
        if policy.policy == "never":
            raise RefusedError(f"{gene} is frozen by {policy.who}", hint=f"o-tui policy {gene} always")
        if len(self._tasks) >= MAX_WAITING:
            raise RefusedError(f"{MAX_WAITING} evolutions are running or waiting already")
        budget = budget or budget_of({}, self.settings)
        asked = resuming.Asked.of(text, size, supersedes, operator)
        row = await self._book.add(
            f"e{secrets.token_hex(4)}",
            gene,
            origin,
            goal,
            asked.row(),
            **{"policy": policy.policy, "budget": budget.row(), "source": {"origin": origin}} | more,
        )
        self._event("info", f"an evolution of {gene} begins ({row['id']}): {goal or _given(origin)}", row)
        self._begun(row, asked, budget)
        return {"evolution": row["id"]}

    async def accept_part(
        self, id: str, digest: str, keep: Sequence[str], operator: Operator, reason: str = ""
    ) -> dict[str, Any]:
        """Some changed lines of a candidate become one of their own, tried anew: {evolution}; see `partial.make`."""
        source, row = await partial.make(self._book, self._genome, id, digest, keep, operator)
        goal = row["goal"] or f"a part of {row['id']}"
        operators = row.get("source", {}).get("operator", "")
        origin = {"origin": "part", "operator": operators, "parents": [row["revision"][:12]]}
        hypothesis = f"{len(keep)} changed lines of {row['id']}, kept by {operator.name}"
        begun = await self.begin(row["gene"], source, "part", goal, hypothesis=hypothesis, source=origin)
        said = f"superseded by {begun['evolution']}, a part of it" + (f": {reason}" if reason else "")
        await self._act(self._deploying.reject(row["id"], said, operator))
        return begun

    async def edit(self, id: str, digest: str, text: str, operator: Operator) -> dict[str, Any]:
        """A candidate's text, edited, becomes one of its own, tried anew: {evolution}; see `partial.edited`.

        The earlier one is superseded when the new one waits for an operator: a slip costs nothing but the try.
        """
        row = await partial.edited(self._book, self._genome, id, digest, text, operator)
        origin = {"origin": "edit", "operator": "", "parents": [row["revision"][:12]]}
        goal, hypothesis = row["goal"] or f"{row['id']}, edited", f"{row['id']}, edited by {operator.name}"
        more: dict[str, Any] = {"hypothesis": hypothesis, "source": origin}
        return await self.begin(row["gene"], text, "edit", goal, supersedes=row["id"], operator=operator, **more)

    async def measure_again(self, id: str, digest: str, operator: Operator) -> dict[str, Any]:
        """Another shadow run of what waits: {evolution, again}; its evidence replaces the old one. See second_run.py.

        Raises:
            NotFoundError, RefusedError: As Deploying.reopen; or too many evolutions wait.
        """
        if len(self._tasks) >= MAX_WAITING:
            raise RefusedError(f"{MAX_WAITING} evolutions are running or waiting already")

        async def reopened() -> dict[str, Any]:
            row = await self._deploying.reopen(id, digest, operator)
            self._follow(row["id"], second_run.measure(self._book, self.measuring, row, self.settings, self._turn))
            return {"evolution": row["id"], "again": row["again"]}

        return await self._act(reopened())

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

    async def rollback(self, revision: str, operator: Operator, *, state: bool = False) -> dict[str, Any]:
        """Back to a version that was deployed, by default the one before; see Deploying.rollback."""
        return await self._act(self._deploying.rollback(revision, operator, state=state))

    def shadow_rows(self) -> list[dict[str, Any]]:
        """The rows of the shadows that run or have run last."""
        return self.measuring.rows()

    # --- for the guardian

    async def busy(self, gene: str) -> bool:
        """Whether an evolution of a gene runs, waits for its turn, for an operator, or is being deployed."""
        rows = await self._book.page(1_000, (*RUNNING, "pending", "deploying", "canary"))
        return any(row["gene"] == gene for row in rows)

    @property
    def running(self) -> bool:
        """Whether any evolution runs or waits for its turn."""
        return bool(self._tasks)

    async def recover(self) -> None:
        """At the start: what was approved is finished or undone, what else ran goes on or has failed.

        What cannot be recovered is told and stays as it is: the guardian starts all the same.
        """
        for recovered in (self._deploying.recover, self._take_up):
            try:
                await recovered()
            except OError as error:
                self._surroundings.event("error", f"evolutions could not be recovered: {error}", {})

    async def close(self) -> None:
        """Before the guardian's end: stops what runs, waits for what is being deployed."""
        tasks = [*self._superseding, *self._tasks.values()]
        for task in tasks:
            task.cancel(msg=STOPPED)
        await self._deploying.close()
        await asyncio.gather(*tasks, *self._acting, return_exceptions=True)
        await self._book.close()

    # --- inside

    async def _take_up(self) -> None:
        """What another guardian's end has interrupted goes on, waits as before, or has failed."""
        head = await asyncio.to_thread(self._genome.head)
        for row in reversed(await self._book.page(1_000, RUNNING)):  # the oldest is the first whose turn it is
            told = f"{row['id']} ({row['gene']}) was interrupted by the guardian's end"
            if row.get("again") and row["state"] == "shadow":
                await second_run.put_back(self._book, row, "the guardian ended in the middle")
                continue
            asked = await resuming.asked(self._book, row)
            why = resuming.why_not(row, head) if asked is not None else "the guardian ended in the middle"
            if asked is None or why:
                await self._book.change(row, state="failed", reason=f"interrupted: {why}")
                self._event("warning", told, row)
                continue
            self._event("warning", f"{told}, and {await resuming.note(self._book, row)}", row)
            self._taken_up.add(row["id"])
            self._begun(row, asked, Budget.of_row(row["budget"]))

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

    def _begun(self, row: dict[str, Any], asked: resuming.Asked, budget: Budget) -> None:
        self._follow(row["id"], self._run(row, asked.text, asked.size, budget))
        if asked.operator is not None:
            superseding = self._supersede(asked.supersedes, row["id"], asked.operator)
            task = asyncio.create_task(superseding, name=f"evolution {row['id']} supersedes")
            self._superseding.add(task)
            task.add_done_callback(self._superseding.discard)

    def _follow(self, evolution: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"evolution {evolution}")
        self._tasks[evolution] = task
        task.add_done_callback(lambda _task: self._tasks.pop(evolution, None))

    async def _supersede(self, old: str, new: str, operator: Operator) -> None:
        if (await self._book.settled(new))["state"] != "pending":
            return
        try:
            await self._act(self._deploying.reject(old, f"superseded by {new}, an edit of it", operator))
        except RefusedError:
            return  # decided meanwhile

    async def _run(self, row: dict[str, Any], source: str | bytes, size: Size, budget: Budget) -> None:
        try:
            async with self._turn:
                await self._cycle.unheld(row, "for its turn")
                job = await self._sourcing.job(row, source, size, budget)
                try:
                    await self._cycle.run(row, job, self.settings, lambda: self._sourcing.keep(row, job))
                finally:
                    await asyncio.shield(self._sourcing.keep(row, job))
            await self._by_policy(row)
        except RejectedError as error:
            await self._end(row, "rejected", str(error), error.verdict)
        except GenomeLoadError as error:
            await self._end(row, "rejected", str(error))
        except (OError, BudgetSpentError) as error:
            await self._end(row, "failed", str(error))
        except asyncio.CancelledError as error:
            reason = str(error.args[0]) if error.args else "it was stopped"
            if row["state"] in RUNNING:  # what waits for an operator already goes on waiting
                left = row["id"] in self._taken_up and reason == STOPPED
                ending = resuming.leave(self._book, row) if left else self._end(row, "failed", f"interrupted: {reason}")
                await asyncio.shield(ending)
            raise
        except Exception as error:  # noqa: BLE001 - the border of a task: a defect of ours ends this evolution only
            await self._end(row, "failed", f"a defect of O: {type(error).__name__}: {error}")

    async def _by_policy(self, row: dict[str, Any]) -> None:
        """Approves what an operator's policy lets through, on the same path as an operator; all else waits."""
        approver = (await self.policies.of(row["gene"])).approver(row["risk"], row["verdict"])
        if approver is None:
            return
        try:
            await self._act(self._deploying.approve(row["id"], row["diff_sha256"], row["evidence_sha256"], approver))
        except OError as error:  # the deployment's own end is in its row; what was refused still waits
            self._event("warning", f"{row['id']} ({row['gene']}) was not deployed by its policy: {error}", row)

    async def _end(self, row: dict[str, Any], state: str, reason: str, verdict: str = "reject") -> None:
        verdict = verdict if state == "rejected" else row["verdict"]
        try:
            late = await self._book.end(row, state=state, reason=reason, verdict=verdict)
        except OError as error:  # its row is damaged, or another guardian's by now
            late = str(error)
        reason += f" (not recorded yet: {late})" if late else ""
        self._event(
            "info" if state == "rejected" else "warning", f"{row['id']} ({row['gene']}): {state}: {reason}", row
        )

    async def _settled(self, row: Mapping[str, Any]) -> None:
        """How it ended teaches the choice of the next source."""
        for outcome in chronicle.outcomes(row):
            await self._learning.outcome(**outcome)

    def _event(self, level: str, text: str, row: dict[str, Any]) -> None:
        self._surroundings.event(level, text, {key: row[key] for key in ("id", "gene", "state", "verdict")})


def _given(origin: str) -> str:
    return {"file": "a given source", "part": "a part of another", "edit": "an edit of another"}.get(
        origin, f"candidates from {origin}"
    )
