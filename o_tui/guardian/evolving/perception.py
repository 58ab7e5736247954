"""What may call for a change of a gene: its latency, errors, CPU time, memory, recall that finds nothing, feedback.

Each figure of each gene has a detector with a stated rate of false alarms (evolution/drift.py). Time is the guardian's,
CPU time and memory are the kernel's; what recall found is what the instance says. Under load only some requests are
looked at.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from o_tui.evolution.arbiter import Goal
from o_tui.evolution.drift import Alarm, Detector, Kind
from o_tui.protocol import contracts

MISS_SCORE = 0.1
"""A recall whose best hit scores less has found nothing."""
LOOK_S = 0.02
"""Least time between two requests that are looked at: a detector costs some microseconds."""
_REMEMBERED = 512
_FILE = re.compile(r"\b(respond|recall|remember|strategy|tools/[a-z][a-z0-9_]{0,39})\.py\b")


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure: how it is compared, from which change on it matters, its unit, and what would be better.

    `measured` is what of a candidate must be shown better then.
    """

    kind: Kind
    least: float
    unit: str
    goal: str
    measured: Goal = "any"


METRICS: Mapping[str, Metric] = {
    "latency": Metric("ratio", 0.2, "ms", "Answer faster, with the same answers.", "latency"),
    "cpu": Metric("ratio", 0.3, "ms of CPU", "Use less CPU time, with the same answers.", "latency"),
    "memory": Metric("difference", 64.0, "KiB more after each request", "Keep less in memory."),
    "errors": Metric("difference", 0.05, "of the requests", "Fail less often.", "errors"),
    "misses": Metric("difference", 0.15, "of the recalls", "Find more of what is asked for.", "quality"),
    "feedback": Metric("difference", 0.05, "of the answers", "Give better answers."),
}


@dataclass(frozen=True, slots=True)
class Intent:
    """A gene should perhaps be changed: why, in words and in figures; `measured`: what must be shown better."""

    gene: str
    metric: str
    text: str
    goal: str
    figures: Mapping[str, Any]
    measured: Goal | None = None


class Perception:
    """Watches; `raised` is told of each intent."""

    def __init__(self, raised: Callable[[Intent], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._raised = raised
        self._clock = clock
        self._detectors: dict[tuple[str, str], Detector] = {}
        self._changed: set[tuple[str, str]] = set()
        self._revision = ""
        self._looked_s = 0.0
        self._recalls: OrderedDict[str, bool] = OrderedDict()
        self._resources: tuple[int, int, int, int] | None = None

    def recalled(self, request_id: str, data: Mapping[str, Any]) -> None:
        """An instance says what recall found for a request."""
        hits = data.get("hits")
        scores = [hit.get("score") for hit in hits if isinstance(hit, dict)] if isinstance(hits, list) else []
        found = any(isinstance(score, int | float) and score >= MISS_SCORE for score in scores)
        self._recalls[request_id] = not found and self._recalls.get(request_id, True)
        while len(self._recalls) > _REMEMBERED:
            self._recalls.popitem(last=False)

    def answered(
        self, request_id: str, revision: str, elapsed_ms: float, error: str | None, *, timed: bool = True
    ) -> None:
        """A chat request has ended.

        Args:
            request_id: Which.
            revision: What main runs; where that is another one than before, everything is learned anew.
            elapsed_ms: From its acceptance to its end.
            error: None where it went well.
            timed: Its time is the agent's own, not that of a model.
        """
        now_s = self._clock()
        if now_s - self._looked_s < LOOK_S:
            return
        self._looked_s = now_s
        if revision != self._revision:
            self.forget(revision)
        if timed and error is None:
            self._add("respond", "latency", elapsed_ms)
        blamed = blame(error) if error else ""
        miss = self._recalls.get(request_id)
        for gene in dict.fromkeys(("respond", "recall", blamed)):
            if gene and (gene != "recall" or miss is not None or blamed == "recall"):
                self._add(gene, "errors", 1.0 if gene == blamed else 0.0)
        if miss is not None:
            self._add("recall", "misses", float(miss))
        self._add("respond", "feedback", 0.0)

    def judged(self, request_id: str, verdict: str, text: str) -> None:
        """An operator has said that an answer was good or bad."""
        bad = float(verdict == "bad")
        self._add("respond", "feedback", bad, text)
        if bad and request_id in self._recalls:
            self._add("recall", "misses", 1.0, text)

    def used(self, pid: int, requests: int, cpu_ns: int, resident_bytes: int) -> None:
        """What main has used so far; figures are per request since the last time."""
        last, self._resources = self._resources, (pid, requests, cpu_ns, resident_bytes)
        if last is None or last[0] != pid or requests <= last[1]:
            return
        count = requests - last[1]
        self._add("respond", "cpu", (cpu_ns - last[2]) / 1e6 / count)
        self._add("respond", "memory", (resident_bytes - last[3]) / 1024 / count)

    def forget(self, revision: str) -> None:
        """Another genome runs: what was learned was about the one before."""
        self._revision = revision
        self._detectors.clear()
        self._changed.clear()

    def changed(self) -> tuple[str, dict[str, bytes]]:
        """The genome that runs, and what has been learned of it since the last call: `gene metric` and its state."""
        changed, self._changed = self._changed, set()
        return self._revision, {f"{gene} {metric}": self._detectors[gene, metric].state() for gene, metric in changed}

    def unkept(self, names: Iterable[str]) -> None:
        """These could not be kept: they count as changed."""
        self._changed |= {key for key in self._detectors if " ".join(key) in names}

    def restore(self, revision: str, states: Mapping[str, bytes]) -> None:
        """What another guardian's has learned of this genome; what cannot be read is learned anew."""
        self.forget(revision)
        for name, state in states.items():
            gene, _, metric = name.partition(" ")
            if metric in METRICS:
                detector = self._detector(gene, metric)
                detector.restore(state)

    def _detector(self, gene: str, metric: str) -> Detector:
        about = METRICS[metric]
        return self._detectors.setdefault((gene, metric), Detector(about.kind, about.least))

    def _add(self, gene: str, metric: str, value: float, said: str = "") -> None:
        about = METRICS[metric]
        self._changed.add((gene, metric))
        detector = self._detectors.get((gene, metric)) or self._detector(gene, metric)
        if alarm := detector.add(value):
            goal = f"{about.goal} An operator said: {said[:200]}" if said else about.goal
            self._raised(Intent(gene, metric, sentence(gene, metric, alarm), goal, alarm.figures()))


def blame(error: str) -> str:
    """The gene that an error's text names last (the deepest line); `respond` where it names none."""
    found = _FILE.findall(error)
    return found[-1] if found and contracts.is_gene(found[-1]) else "respond"


def sentence(gene: str, metric: str, alarm: Alarm) -> str:
    """What was seen, with its figures."""
    about = METRICS[metric]
    share = f" ({100 * (alarm.now / alarm.before - 1):+.0f} %)" if about.kind == "ratio" and alarm.before else ""
    before, now = (f"{value:.3g}" for value in (alarm.before, alarm.now))
    return f"{metric} of {gene}: {before} -> {now} {about.unit}{share}, seen after {alarm.values} values"
