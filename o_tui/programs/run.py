"""A run: proposals go to the lanes, answers become rows, the champion is measured again; N evaluations are N."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import select
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from o_tui.evolution import run_notes
from o_tui.evolution.population import AGAIN, ELITES, Scored
from o_tui.evolution.portfolio import Proposal
from o_tui.programs import convention, markers
from o_tui.programs.cluster.link import Cluster
from o_tui.programs.lane import Lane
from o_tui.programs.orders import Answer, Order, Setup
from o_tui.programs.search import WINDOW, Numbered, Search
from o_tui.programs.store import Row, Store
from o_tui.protocol.errors import OError

LANES = 2
COMMIT_S = 0.05
COMMIT_ROWS = 32
KEEP_EVERY = 50
"""Evaluations after which the search's own state is kept."""
TIMES = 3
"""How often a champion is measured again at the end."""
NOTHING = "between the markers there is nothing that the built-in operators can change: no number, choice or statement"
TURNS = 12
"""Proposals of the operators for one of a model's."""
MODEL_WAIT_S = 1.0
_EQUAL = 1e-12

Report = Callable[[Mapping[str, Any]], None]


class Writer(Protocol):
    """A model that writes candidates beside the operators, in its own time."""

    @property
    def busy(self) -> bool:
        """It was asked, and has not answered."""

    def wait(self, timeout_s: float) -> None:
        """Until it has answered, or so long."""

    def look(self, best: Scored, failures: list[str]) -> None:
        """Has it begin a next one, if it does nothing."""

    def take(self) -> Proposal | None:
        """What it has written, once."""

    def close(self) -> None:
        """It is not waited for."""


@dataclass(slots=True)
class Plan:
    """What a run is given.

    Attributes:
        budget: Evaluations in all, the program itself among them.
        time_s: Seconds after which nothing is begun any more, nor an evaluator waited for that is not loaded by then;
            None: however long it takes.
        cluster: The scheduler on whose workers it evaluates; "": on this machine.
    """

    setup: Setup
    parts: markers.Parts
    seed: int
    budget: int
    time_s: float | None = None
    cluster: str = ""


@dataclass(slots=True)
class Run:
    """One run, from the first evaluation or from where it stopped."""

    store: Store
    plan: Plan
    search: Search
    report: Report
    writer: Writer | None = None
    best: Row | None = None
    failures: int = 0
    _lanes: list[Lane] = field(default_factory=list)
    _flying: dict[int, Numbered] = field(default_factory=dict)
    _fresh: list[Row] = field(default_factory=list)
    _fresh_since: float = 0.0
    _kept_at: int = 0
    _problems: list[str] = field(default_factory=list)
    _turns: int = 0
    done: int = 0

    def go(self) -> None:
        """Evaluates until the budget, the time or the ideas are at an end, then measures the champion again.

        Raises:
            OError: It cannot go on; why is in the run's file, where that can be written.
        """
        try:
            self._go()
        except OError as error:
            with contextlib.suppress(OError):
                self.store.set(outcome="failed", error=str(error))
                self.store.commit()
            with contextlib.suppress(OError):
                ended = {"outcome": "failed", "reason": str(error), "ended_ns": time.time_ns()}
                run_notes.change(self.store.folder, **ended, evaluations=self.done, failed=self.failures)
            raise

    def _go(self) -> None:
        started = time.monotonic()
        over = math.inf if self.plan.time_s is None else started + self.plan.time_s
        waiting = self._restore()
        with self._open_lanes(over) as loaded:
            self.store.set(unloaded=not loaded)
            if not loaded:
                return
            self._widen()
            for each in waiting[: max(0, self.plan.budget - self.done)]:
                self._submit(each)
            while self.done < self.plan.budget and time.monotonic() < over:
                self._feed()
                if self._flying or self._fresh:
                    self._collect(over)
                elif self.writer is not None and self.writer.busy:
                    self.writer.wait(MODEL_WAIT_S)
                elif self.search.exhausted:
                    break
            self._settle()
            self.store.set(reason=NOTHING if self.search.exhausted and self.done < self.plan.budget else "")
            if self.writer is not None:
                self.writer.close()
            self._measure_again(over)

    # --- beginning

    def _restore(self) -> list[Numbered]:
        self.search.window = self.store.fact("window", WINDOW)
        rows = list(self.store.rows())
        for row in rows:
            self._count(row)
        known = [
            Scored(
                str(row.number),
                self.store.source(row.sha256).decode("utf-8", "replace"),
                -math.inf if row.score is None else row.score,
                row.parents[0] if row.parents else "",
                row.operator,
            )
            for row in rows
        ]
        waiting = self.search.restore(self.store.fact("search"), known)
        self._kept_at = self.done
        return waiting

    @contextlib.contextmanager
    def _open_lanes(self, over: float) -> Iterator[bool]:
        """Lanes that are ready; False: time was over before they were."""
        try:
            if self.plan.cluster:
                self._lanes.append(Cluster(self.plan.setup, self.plan.cluster, self._workers))
            else:
                self._lanes.extend(Lane(self.plan.setup) for _ in range(min(LANES, os.cpu_count() or 1)))
            yield all(lane.ready(over) for lane in self._lanes)
        finally:
            for lane in self._lanes:
                lane.close()
            self._lanes.clear()

    def _widen(self) -> None:
        """A run that begins where more is evaluated at once looks back less far; what it is given then, it keeps."""
        depth = sum(lane.depth for lane in self._lanes)
        if not self.done and depth > WINDOW:
            self.search.window = depth
            self.store.set(window=depth)

    def _workers(self, count: int) -> None:
        self.report({"event": "workers", "cluster": self.plan.cluster, "workers": count})

    # --- proposals out

    def _feed(self) -> None:
        while len(self._flying) < sum(lane.depth for lane in self._lanes) and self.search.next <= self.plan.budget:
            if self._model_is_due() or not self.search.ready():
                return
            written = self.writer.take() if self.writer is not None else None
            if self.search.exhausted and written is None:
                return
            self._turns = 0 if written is not None else self._turns + 1
            found = self.search.propose(written)
            if found is not None:
                self._submit(found)

    def _model_is_due(self) -> bool:
        """The operators have had their turns: without that they would be through before a model has said a word."""
        return self.writer is not None and self.writer.busy and self._turns >= TURNS

    def _submit(self, found: Numbered) -> None:
        source = found.proposal.source.encode()
        problem = markers.objection(self.plan.parts, source)
        if problem:
            self._finished(found, convention.Result(error=problem), Answer(number=found.number, result=_NOTHING))
            return
        self._flying[found.number] = found
        lane = min(self._lanes, key=lambda each: each.waiting)
        turn = found.number + TIMES if found.proposal.operator == AGAIN else 0
        lane.submit(Order(number=found.number, source=source, seed=_seed(self.plan.seed, turn)))

    # --- answers in

    def _collect(self, over: float) -> None:
        due = min(over, self._fresh_since + COMMIT_S if self._fresh else math.inf, *(lane.due for lane in self._lanes))
        wait_s = None if due == math.inf else max(0.0, due - time.monotonic())
        speaking = select.select(self._lanes, [], [], wait_s)[0] if self._flying else []
        for lane in self._lanes:
            answer = lane.answer() if lane in speaking or lane.due <= time.monotonic() else None
            if answer is not None and answer.number in self._flying:
                self._finished(self._flying.pop(answer.number), answer.result, answer)
        full = len(self._fresh) >= COMMIT_ROWS or not self._flying
        if self._fresh and (full or time.monotonic() - self._fresh_since >= COMMIT_S):
            self._feed()  # the disk is waited for while the lanes work
            self._commit()

    def _finished(self, found: Numbered, result: convention.Result, answer: Answer) -> None:
        score, problem = convention.score(result, self.plan.setup.settings)
        proposal = found.proposal
        row = Row(
            number=found.number,
            sha256=self.store.put(proposal.source.encode()),
            operator=proposal.operator,
            parents=proposal.parents,
            detail=proposal.detail,
            score=None if problem else score,
            metrics=result.metrics,
            artifacts=result.artifacts,
            error=problem,
            refused=tuple(each.what for each in answer.refused),
            wall_ms=answer.wall_ms,
        )
        self.store.add(row)
        self.search.result(found.number, score)
        if not self._fresh:
            self._fresh_since = time.monotonic()
        self._fresh.append(row)

    def _commit(self) -> None:
        """What has come is durable; only then it counts and is said."""
        if self.done + len(self._fresh) - self._kept_at >= KEEP_EVERY:
            self._kept_at = self.done + len(self._fresh)
            self.store.set(search=self.search.state())
        self.store.commit()
        fresh, self._fresh = self._fresh, []
        for row in fresh:
            better = self._count(row)
            self.report({"event": "evaluation", **shown(row), "best": better})
            if row.number == 1 and row.error:
                raise OError(
                    f"the program itself gets no score: {row.error}", hint="it must have one before it evolves"
                )
        if self.writer is not None and self.best is not None:
            source = self.store.source(self.best.sha256).decode()
            member = Scored(str(self.best.number), source, self.best.score or 0.0)
            self.writer.look(member, self._problems[-5:])

    def _count(self, row: Row) -> bool:
        self.done += 1
        if row.score is None:
            self.failures += 1
            self._problems.append(f"{row.detail}: {row.error}")
            return False
        if row.operator == AGAIN:
            return False
        if self.best is not None and self.best.score is not None and row.score <= self.best.score:
            return False
        self.best = row
        return True

    def _settle(self) -> None:
        """Everything that has come is kept; what still flies is let go."""
        self._kept_at = -KEEP_EVERY  # so that what is kept now is all, and a resumed run begins at once
        self._commit()
        self._flying.clear()
        self.search.finish()

    # --- the champion

    def _measure_again(self, over: float) -> None:
        """The best one, on seeds that no candidate has seen; if it fails there, the next one.

        The program as it was is measured on the same seeds: only that is a fair comparison. Who lost his evaluator, and
        has not loaded it again when time is over, is not waited for.
        """
        if not any(lane.serves or lane.ready(over) for lane in self._lanes):
            self.store.set(unloaded=True)
            return
        found = None
        for member in self.search.best(ELITES):
            held = self._held(member)
            found = {"number": int(member.id), "claimed": member.score, "measured_again": held}
            self.report({"event": "measured_again", **found})
            if held is not None:
                found["initial_again"] = held if member.id == "1" else self._held(self.search.archive[0])
                break
            found = None
        self.store.set(champion=found)
        self.store.commit()

    def _held(self, member: Scored) -> float | None:
        """The middle of its scores on fresh seeds; None: it failed on one of them."""
        scores = [self._once_more(member, turn) for turn in range(1, TIMES + 1)]
        self.store.commit()
        known = [score for score in scores if score is not None]
        return statistics.median(known) if len(known) == TIMES else None

    def _once_more(self, member: Scored, turn: int) -> float | None:
        seed = _seed(self.plan.seed, turn)
        lane = min(self._lanes, key=lambda each: (not each.serves, each.waiting))
        lane.submit(Order(number=-turn, source=member.source.encode(), seed=seed))
        answer = None
        while answer is None or answer.number != -turn:  # what still flew comes first
            answer = lane.answer()
        score, problem = convention.score(answer.result, self.plan.setup.settings)
        found = None if problem else score
        self.store.add_again(int(member.id), seed, found, answer.result.metrics, problem)
        return found


_NOTHING = convention.Result()


def _seed(seed: int, turn: int) -> int:
    """Of one measuring: the same for all candidates, others when a champion is measured again."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{turn}".encode()).digest()[:4], "big")


def shown(row: Row) -> dict[str, Any]:
    """A row as it is printed."""
    return {
        "number": row.number,
        "operator": row.operator,
        "detail": row.detail,
        "score": row.score,
        "metrics": row.metrics,
        "error": row.error,
        "refused": list(row.refused),
        "wall_ms": row.wall_ms,
    }


def improved(before: float | None, after: float | None) -> bool:
    """Whether a score is better than that of the program as it was."""
    if after is None:
        return False
    return before is None or after > before + _EQUAL * max(abs(before), abs(after))


def history(store: Store) -> Iterator[str]:
    """All evaluations, one JSON object a line."""
    for row in store.rows():
        yield (
            json.dumps({**shown(row), "sha256": row.sha256, "parents": row.parents, "artifacts": row.artifacts}) + "\n"
        )
