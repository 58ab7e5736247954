"""Names a candidate that behaved on trial and turns bad in service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SLOWER = 1.10
"""A trial that shows this much more time, whatever chance did to it, has shown that the candidate is slow."""


def in_words(evidence: Mapping[str, Any], harm: str) -> str:
    """`harm`, shown in service, beside what the trial showed: "two-faced: ..." where that had shown none of it."""
    pairs = int(evidence.get("pairs") or 0)
    if not pairs:
        return harm
    errors = evidence.get("errors") or {}
    failed, of_main = int(errors.get("candidate") or 0), int(errors.get("main") or 0)
    latency = evidence.get("latency") or {}
    ratio, least = float(latency.get("ratio_median") or 1.0), float(latency.get("ci_low") or 0.0)
    trial = f"on trial it took {ratio:.2f} times main's time and failed {failed} of {pairs} requests (main {of_main})"
    behaved = least <= _SLOWER and failed <= of_main
    return f"two-faced: {trial}; in service: {harm}" if behaved else f"{harm}; {trial}"
