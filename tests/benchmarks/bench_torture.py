"""1,000 SIGKILLs at random moments under load: what was acknowledged and is not there, or is there twice."""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
from pathlib import Path

from o_tui.paths import locate
from tests.benchmarks import report
from tests.benchmarks.report import Figure, median
from tests.support.torture import Report, Torture

KILLS = 1_000
LONGEST_S = 1_200.0


def measure(kills: int = KILLS) -> Report:
    """One run, with a seed that is printed."""
    with tempfile.TemporaryDirectory(prefix="o-") as folder:
        paths = locate(str(Path(folder) / "w"))
        paths.prepare()
        found = asyncio.run(Torture(paths, random.randrange(1_000_000)).run(LONGEST_S, kills))
    print(found, *found.wrong[:20], *found.refused[:20], sep="\n", file=sys.stderr, flush=True)
    return found


def figures() -> list[Figure]:
    """The table's lines."""
    found = measure()
    return [
        Figure("SIGKILLs of main, standby, nursery, broker and guardian", found.total, "", KILLS, "min"),
        Figure("acknowledged or accepted in that time and lost, or done twice", len(found.wrong), "", 0),
        Figure("refused in that time", len(found.refused), "", 0),
        Figure("acknowledged in that time", found.acknowledged, ""),
        Figure("a killed guardian started again, median", round(median(found.starts_s) * 1000), "ms"),
    ]


if __name__ == "__main__":
    report.main(figures)
