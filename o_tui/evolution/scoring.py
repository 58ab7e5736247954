"""One number for a candidate in a race: how much better than main's code it is; 0: as good, below: worse."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

QUALITY_WEIGHT = 10.0
"""A hundredth of quality counts like ten per cent of time."""
ERRORS_WEIGHT = 10.0


def score(evidence: Mapping[str, Any], metric: str = "any") -> float:
    """From the figures of the evidence: what answers are worth, errors saved, the logarithm of the ratio of times.

    Where the metric is quality, time does not count.
    """
    latency, errors = evidence.get("latency") or {}, evidence.get("errors") or {}
    ratio = float(latency.get("ratio_median") or 1.0)
    found = -math.log(ratio) if 0 < ratio < math.inf and metric != "quality" else 0.0
    pairs = int(evidence.get("pairs") or 0)
    if pairs:
        found += ERRORS_WEIGHT * (int(errors.get("main") or 0) - int(errors.get("candidate") or 0)) / pairs
    return found + QUALITY_WEIGHT * quality_gain(evidence)


def quality_gain(evidence: Mapping[str, Any]) -> float:
    """How much better the answers are, 0 to 1, where that was measured."""
    quality = evidence.get("quality")
    if not isinstance(quality, Mapping):
        return 0.0
    gain = float(quality.get("difference") or quality.get("gain") or 0.0)
    return gain if math.isfinite(gain) else 0.0


SPEED, ACCURACY, RESOURCES = 0.5, 0.3, 0.2
"""What counts how much in a population where no metric is named."""
_LEAST = 0.01
"""A ratio counts as no less: who answers nothing right is as bad as can be, and still a number."""


def fitness(evidence: Mapping[str, Any], metric: str = "any") -> float:
    """One number for a candidate in a population; 0: as good as main, below: worse.

    The weighted mean of the logarithms of three ratios to main: speed (CPU time, else the time that passed), accuracy
    (the share of requests that were answered, and what the answers are worth where that is known) and memory. Where the
    evolution names a metric, that alone leads, as in a race.
    """
    if metric != "any":
        return score(evidence, metric)
    cpu, latency = evidence.get("cpu") or {}, evidence.get("latency") or {}
    times = cpu if cpu.get("pairs") else latency
    speed = 1.0 / max(_LEAST, float(times.get("ratio_median") or 1.0))
    memory = evidence.get("memory") or {}
    bytes_, ours = float(memory.get("candidate_bytes") or 0), float(memory.get("main_bytes") or 0)
    resources = ours / bytes_ if bytes_ and ours else 1.0
    parts = ((SPEED, speed), (ACCURACY, _accuracy(evidence)), (RESOURCES, resources))
    return sum(weight * math.log(max(_LEAST, ratio)) for weight, ratio in parts)


def _accuracy(evidence: Mapping[str, Any]) -> float:
    """Candidate over main: of the shares of requests answered, times that of the answers' quality."""
    pairs = int(evidence.get("pairs") or 0)
    errors, quality = evidence.get("errors") or {}, evidence.get("quality") or {}
    ours, theirs = (pairs - int(errors.get(side) or 0) for side in ("main", "candidate"))
    ratio = theirs / ours if ours > 0 else 1.0
    if quality.get("requests"):
        good = float(quality["main"])
        ratio *= float(quality["candidate"]) / good if good > 0 else 1.0 + float(quality["candidate"])
    return ratio
