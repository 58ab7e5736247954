"""Hot reloads, there and back, under 1,000 requests a second (echo genome): nothing is lost, nothing fails."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from o_tui.guardian.core import Guardian
from o_tui.guardian.evolution_adapters import FleetInstances
from o_tui.guardian.fleet.code import Code
from o_tui.guardian.ticket import Ticket
from o_tui.paths import locate
from tests.benchmarks import report
from tests.benchmarks.report import Figure, percentile
from tests.support.guardians import ECHO, running, until

RATE = 1_000
SECONDS = 6
RELOADS = 8


async def _load(guardian: Guardian, ended: list[Ticket]) -> int:
    """Requests at their times, whether or not the ones before have been answered; returns how many."""
    began = time.perf_counter()
    sent = 0
    while (passed := time.perf_counter() - began) < SECONDS:
        for _ in range(int(passed * RATE) - sent):
            guardian.dispatch.submit("hello", answered=ended.append)
            sent += 1
        await asyncio.sleep(0.001)
    return sent


async def _measure() -> tuple[int, list[Ticket], list[float]]:
    with tempfile.TemporaryDirectory(prefix="o-") as folder:
        async with running(locate(str(Path(folder) / "w")), seed=ECHO) as guardian:
            await until(lambda: guardian.fleet.standby is not None and guardian.fleet.standby.state == "running")
            ended: list[Ticket] = []
            load = asyncio.create_task(_load(guardian, ended))
            took_ms: list[float] = []
            genome = guardian.fleet.code
            for number in range(RELOADS):
                await asyncio.sleep(SECONDS / (RELOADS + 1))
                files = genome.files | {"respond.py": genome.files["respond.py"] + f"\n# {number // 2}\n"}
                # every second one goes back to what is loaded already
                revision, chosen = (genome.revision, genome.files) if number % 2 else (f"{number:040x}", files)
                started = time.perf_counter()
                await FleetInstances(guardian).hot_reload(Code(chosen, revision, genome.version), "benchmark")
                took_ms.append((time.perf_counter() - started) * 1000)
            sent = await load
            await until(lambda: len(ended) == sent, 10.0)
            return sent, ended, took_ms


def figures() -> list[Figure]:
    """The table's lines."""
    sent, ended, took_ms = asyncio.run(_measure())
    times = [ticket.elapsed_ms for ticket in ended]
    half, most = (round(percentile(times, share), 2) for share in (0.5, 0.99))
    return [
        Figure(f"requests at {RATE}/s through {RELOADS} hot reloads: lost", sent - len(ended), "requests", 0),
        Figure("  answered with an error", sum(not ticket.ok for ticket in ended), "requests", 0),
        Figure("  p99 of a request meanwhile", most, "ms", None, "max", "p50", half),
        Figure("hot reload of main and standby, new code", round(percentile(took_ms[::2], 0.5), 1), "ms"),
        Figure("  back to the code before, which is loaded", round(percentile(took_ms[1::2], 0.5), 1), "ms"),
    ]


if __name__ == "__main__":
    report.main(figures)
