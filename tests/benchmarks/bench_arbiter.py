"""The arbiter on the real thing: evolutions of an unchanged gene, with real forks, beside what it decides by itself.

`--record FILE` writes the paired log ratios of such evolutions, for the simulation to draw from (data/aa).
`--evolutions N --pairs N` change how many and how long; the whole of it (200 of 800 pairs) takes most of an hour.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from o_tui.evolution import workloads
from o_tui.evolution.arbiter import Arbiter, Policy
from o_tui.evolution.samples import Pair, RecordedRequest, Side, Trial
from o_tui.guardian.evolution_adapters import FleetInstances
from o_tui.guardian.evolving.shadows import Measurement
from o_tui.guardian.fleet.code import Code
from o_tui.paths import Paths, shipped
from o_tui.protocol.contracts import path_of
from tests.benchmarks import report
from tests.benchmarks.report import Figure
from tests.support.guardians import running

EVOLUTIONS, QUICK, PAIRS = 200, 6, 300
SEED = shipped("data") / "genome"


@asynccontextmanager
async def _measuring(gene: str) -> AsyncIterator[object]:
    with tempfile.TemporaryDirectory() as folder:
        place = Paths(Path(folder) / "w", Path(folder) / "c")
        Path(folder).chmod(0o755)
        place.prepare()
        async with running(place, seed=SEED) as guardian:
            files = {str(path.relative_to(SEED)): path.read_text() for path in SEED.rglob("*") if path.is_file()}
            work = workloads.load([shipped("data") / "workloads"], gene)

            async def evolution(number: int, pairs: int) -> tuple[str, Trial]:
                chosen = workloads.choose([], work, pairs, number)
                measurement = Measurement(
                    FleetInstances(guardian),
                    lambda *_: None,
                    f"e{number}",
                    main=Code(files, "a" * 40, "1", (path_of(gene),)),
                    candidate=Code(files, "b" * 40, "1", (path_of(gene),)),
                    timeout_s=5.0,
                    seed=number,
                    policy=Policy(budget=pairs),
                )
                trial = await measurement.run(chosen.requests, chosen.setup)
                return measurement.decision.verdict, trial

            yield evolution


async def unchanged(gene: str, evolutions: int, pairs: int) -> tuple[Counter[str], list[Trial]]:
    """How evolutions of an unchanged gene end: verdicts, and their trials."""
    verdicts: Counter[str] = Counter()
    trials: list[Trial] = []
    async with _measuring(gene) as evolution:
        for number in range(evolutions):
            verdict, trial = await evolution(number, pairs)  # type: ignore[operator]
            verdicts[verdict] += 1
            trials.append(trial)
    return verdicts, trials


def record(trials: list[Trial]) -> list[list[list[float]]]:
    """Fork by fork the log ratios of wall and CPU time of its pairs."""
    forks: list[list[list[float]]] = []
    for trial in trials:
        found: dict[int, list[list[float]]] = {}
        for pair in trial.pairs:
            main, candidate = pair.main, pair.candidate
            if pair.fork >= 0 and min(main.wall_ns, main.cpu_ns, candidate.wall_ns, candidate.cpu_ns) > 0:
                wall, cpu = candidate.wall_ns / main.wall_ns, candidate.cpu_ns / main.cpu_ns
                found.setdefault(pair.fork, []).append([round(math.log(wall), 3), round(math.log(cpu), 3)])
        forks += found.values()
    return forks


def _decision_us(pairs: int = 800) -> float:
    """What the guardian's loop pays for a pair."""
    arbiter = Arbiter(Policy(budget=10 * pairs))
    pair = Pair(
        RecordedRequest("r", "x"), Side("answered", "a", "", 10**6, 10**6), Side("answered", "a", "", 10**6, 10**6)
    )
    start = time.perf_counter()
    for _ in range(pairs):
        arbiter.add(pair)
        arbiter.decision()
    return (time.perf_counter() - start) / pairs * 1e6


def figures() -> list[Figure]:
    """For report.py and docs/PERFORMANCE.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--evolutions", type=int, default=EVOLUTIONS)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--gene", default="recall")
    parser.add_argument("--record", type=Path)
    asked = parser.parse_args()
    evolutions = QUICK if asked.quick else asked.evolutions
    start = time.monotonic()
    verdicts, trials = asyncio.run(unchanged(asked.gene, evolutions, asked.pairs))
    seconds = time.monotonic() - start
    if asked.record:
        asked.record.write_text(json.dumps({"gene": asked.gene, "forks": record(trials)}, separators=(",", ":")) + "\n")
    pairs = sum(len(trial.pairs) for trial in trials)
    of = f"of {evolutions} evolutions of an unchanged gene, {asked.pairs} pairs at most"
    return [
        Figure(f"promoted {of}", verdicts["promote"], "", math.floor(evolutions / 100)),
        Figure(f"rejected {of}", verdicts["reject"], "", None),
        Figure("a pair with its share of forks", seconds / max(1, pairs) * 1e3, "ms"),
        Figure("the arbiter's share of a pair", _decision_us(), "us", 1_000),
    ]


if __name__ == "__main__":
    report.main(figures)
