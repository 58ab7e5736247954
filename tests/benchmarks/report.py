"""What a benchmark says: figures, each beside its limit, and a peer's figure from the same run where there is one."""

from __future__ import annotations

import compileall
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[2]
"""The repository."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of docs/PERFORMANCE.md.

    Attributes:
        what: What was measured.
        ours: Our figure, in `unit`.
        must: Its limit; with `sense` it says whether it is met. None: no limit.
        sense: `max`: ours may be at most `must`; `min`: at least.
        peer: What else was measured in the same run, and its figure.
    """

    what: str
    ours: float
    unit: str
    must: float | None = None
    sense: Literal["max", "min"] = "max"
    peer: str = ""
    peer_value: float | None = None

    @property
    def ok(self) -> bool:
        """The limit is met."""
        return self.must is None or (self.ours <= self.must if self.sense == "max" else self.ours >= self.must)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of all lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def median(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def main(figures: Callable[[], list[Figure]]) -> None:
    """Runs one benchmark: JSON lines with --json, else a readable list; exit code 1 if a limit is not met.

    What is measured is the package as pip installs it, with its bytecode: in a checkout where Python may not write any
    (PYTHONDONTWRITEBYTECODE) each process would compile it anew.
    """
    compileall.compile_dir(ROOT / "o_tui", quiet=1)
    found = figures()
    for figure in found:
        if "--json" in sys.argv:
            print(json.dumps(asdict(figure)), flush=True)
        else:
            limit = (
                "" if figure.must is None else f" (must be {'<=' if figure.sense == 'max' else '>='} {figure.must:g})"
            )
            peer = f"   {figure.peer}: {figure.peer_value:g}" if figure.peer_value is not None else ""
            print(
                f"{'ok ' if figure.ok else 'NO '} {figure.what}: {figure.ours:g} {figure.unit}{limit}{peer}", flush=True
            )
    sys.exit(0 if all(figure.ok for figure in found) else 1)
