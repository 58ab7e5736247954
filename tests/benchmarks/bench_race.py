"""A race of a hundred real shadows in one go: its time, its memory, and who is left. One of them is faster.

The candidates answer alike; the slow ones take more processor time by a loop, so that the race has something to find.
`--candidates N` changes how many.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from o_tui.evolution.genome import Genome
from o_tui.guardian.core import Guardian
from o_tui.guardian.evolution_adapters import seams_of
from o_tui.guardian.evolving.evolution_book import Book
from o_tui.guardian.evolving.measuring import Measured, Measuring
from o_tui.paths import Paths
from tests.benchmarks import report
from tests.benchmarks.report import Figure
from tests.support.guardians import ECHO, running, until

CANDIDATES, QUICK, BEST = 100, 12, 5
PAIRS = 40


def _source(number: int) -> str:
    """The loop's length; the best has none."""
    loop = "" if number == BEST else f"    sum(range({20_000 + number}))\n"
    return (
        "from __future__ import annotations\n\nfrom o_tui.agent.dsl import Context, Request, Say, Steps\n\n\n"
        f"def respond(request: Request, context: Context) -> Steps:\n{loop}    yield Say(request.text)\n"
    )


async def _race(guardian: Guardian, place: Paths, count: int) -> tuple[str, Mapping[str, Any], float]:
    """Whether the best won, what each showed, and how long it took in seconds."""
    for number in range(10):
        await guardian.dispatch.ask(f"hello number {number}")
    genome = Genome.open(place.genome, ECHO)
    seams = seams_of(guardian)

    async def settled(_row: Mapping[str, Any]) -> None:
        """Nobody waits."""

    book = Book(guardian.stores.evolutions, seams.surroundings, settled)
    base = genome.head()
    row = await book.add("race", "respond", "operators", "", {}, base=base, metric="latency")
    revisions = [
        genome.candidate(
            "respond", _source(number), base, "race", f"candidate {number}", number + 1, branch=f"race.{number}"
        )
        for number in range(count)
    ]
    measuring = Measuring(genome, book, seams, ())

    async def told(_at: int, _of: int, _number: int) -> None:
        """Nobody watches."""

    began_s = time.perf_counter()
    raced = await measuring.race(row, revisions, guardian.config.evolution, pairs=PAIRS, told=told)
    return ("yes" if list(raced)[-1] == revisions[BEST] else "no"), raced, time.perf_counter() - began_s


async def _measure(count: int) -> tuple[str, int, float, int]:
    with tempfile.TemporaryDirectory(prefix="o-") as folder:
        place = Paths(Path(folder) / "w", Path(folder) / "c")
        Path(folder).chmod(0o755)
        place.prepare()
        async with running(place, seed=ECHO) as guardian:
            won, raced, seconds = await _race(guardian, place, count)
            pairs = sum(found.evidence["pairs"] for found in raced.values() if isinstance(found, Measured))
            await until(lambda: all(row["role"] in ("main", "standby") for row in guardian.instance_rows()))
            return won, pairs, seconds, len(raced)


def figures() -> list[Figure]:
    """For report.py and docs/PERFORMANCE.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--candidates", type=int, default=CANDIDATES)
    asked = parser.parse_args()
    count = QUICK if asked.quick else asked.candidates
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    won, pairs, seconds, raced = asyncio.run(_measure(count))
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) / 1024
    return [
        Figure(f"race of {count} real shadows: not measured", count - raced, "shadows", 0),
        Figure("  lost by the best", int(won != "yes"), "", 0),
        Figure("  in all", round(seconds, 1), "s"),
        Figure("  pairs", pairs, "pairs"),
        Figure("  memory of the guardian with it", round(grown_mib, 1), "MiB"),
    ]


if __name__ == "__main__":
    report.main(figures)
