"""What a benchmark says: its figures, those of peers from the same run, and how they compare."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from o_tui.protocol.safe_text import safe


@dataclass(slots=True)
class Report:
    """The result of one benchmark.

    Attributes:
        results: Our figures by name; the name ends in the unit (`p50_ms`, `recall_at_5`).
        peers: Figures of others from the same run, by the other's name.
        ratios: Ours beside a peer's; the name says which.
        notes: What a reader has to know, one sentence each.
    """

    results: dict[str, float] = field(default_factory=dict)
    peers: dict[str, dict[str, float]] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """As plain data, with the machine that it was measured on."""
        return {
            "results": self.results,
            "peers": self.peers,
            "ratios": self.ratios,
            "notes": self.notes,
            "machine": machine(),
        }


def progress(text: str) -> None:
    """What is being done, on stderr: stdout is the result's."""
    print(safe(text), file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    """What it was measured on: processor, cores, memory, kernel, Python."""
    return {
        "cpu": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
    }


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of all lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def median(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    found = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(found, platform.processor() or "unknown")
