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
