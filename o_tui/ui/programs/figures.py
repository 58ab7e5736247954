"""What a run's events add up to. Pure: events in, figures out; the page only draws them."""

from __future__ import annotations

import difflib
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

EVENTS = 200
"""Events that are remembered."""
_RATE_S = 10.0
KIND_LETTERS = 48


class Figures:
    """One run, as far as it has been told."""

    def __init__(self) -> None:
        self.name = ""
        self.begun: Mapping[str, Any] = {}
        self.done = self.failed = 0
        self.workers: int | None = None
        """Of a cluster; None: it evaluates on this machine."""
        self.initial: float | None = None
        self.best: Mapping[str, Any] = {}
        self.tried: Counter[str] = Counter()
        self.helped: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.events: deque[str] = deque(maxlen=EVENTS)
        self.outcome: Mapping[str, Any] = {}
        self._sources: dict[str, str] = {}
        self._recent: deque[tuple[float, int]] = deque()

    def take(self, event: Mapping[str, Any], now_s: float) -> None:
        """One event of the run, as `evolve --json` prints it."""
        kind = event.get("event", "")
        if kind == "begun":
            self._begin(event)
        elif kind == "evaluation":
            self._evaluated(event, now_s)
        elif kind == "measured_again":
            held = figure(event.get("measured_again"))
            self.events.append(f"number {event.get('number')} measured again: {held}")
        elif kind == "workers":
            self.workers = int(event.get("workers") or 0)
            self.events.append(f"evaluations run on {self.workers} workers of {event.get('cluster')}")
        elif "outcome" in event:
            self.outcome = event

    def rate(self, now_s: float) -> float:
        """Evaluations a second, over the last ten seconds."""
        while self._recent and self._recent[0][0] < now_s - _RATE_S:
            self._recent.popleft()
        if not self._recent:
            return 0.0
        return len(self._recent) / max(1.0, min(_RATE_S, now_s - self._recent[0][0]))

    def diff(self) -> str:
        """From the program as it was to the best one, as git writes it; empty: they are the same."""
        old, new = (self._sources.get(key, "").splitlines(keepends=True) for key in ("initial", "best"))
        lines = list(difflib.unified_diff(old, new, "a/program.py", "b/program.py"))
        ended = [line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines]
        return "diff --git a/program.py b/program.py\n" + "".join(ended) if lines else ""

    def _begin(self, event: Mapping[str, Any]) -> None:
        self.begun, self.name = event, str(event.get("run") or "")
        self.done, self.failed = int(event.get("done") or 0), int(event.get("failed") or 0)
        # a run that goes on: its tables are about all of it, as the numbers above them are
        self.tried, self.helped = Counter(event.get("tried") or {}), Counter(event.get("helped") or {})
        self.failures = Counter(event.get("failures") or {})
        self._recent.clear()
        self.workers = None
        if best := event.get("best"):
            self._better(best)
        if "initial_source" in event:
            self._sources["initial"] = str(event["initial_source"])
            self.initial = event.get("initial")
        self.events.append("goes on" if self.done else "begun")

    def _evaluated(self, event: Mapping[str, Any], now_s: float) -> None:
        operator = str(event.get("operator"))
        self.done += 1
        self._recent.append((now_s, self.done))
        self.tried[operator] += 1
        if event.get("number") == 1:
            self.initial = event.get("score")
        if event.get("score") is None:
            self.failed += 1
            self.failures[failure_of(event)] += 1
        if event.get("best"):
            self.helped[operator] += 1
            self._better(event)
            self.events.append(f"{event['number']:>6}  {figure(event['score'])}  {operator}: {event['detail']}")
        elif event.get("score") is None:
            self.events.append(f"{event['number']:>6}  failed  {operator}: {failure_of(event)}")

    def _better(self, event: Mapping[str, Any]) -> None:
        self.best = event
        if "source" in event:
            self._sources["best"] = str(event["source"])


def failure_of(event: Mapping[str, Any]) -> str:
    """Which kind of failure an evaluation without a score was: what was refused, else the error up to its details."""
    if refused := event.get("refused"):
        return f"refused: {refused[0]}"[:KIND_LETTERS]
    error = str(event.get("error") or "no score")
    last = error.strip().splitlines()[-1] if error.strip() else "no score"
    return last.partition(":")[0][:KIND_LETTERS]


def figure(number: float | None) -> str:
    """A score; none is said."""
    return "none" if number is None else f"{number:.6g}"
