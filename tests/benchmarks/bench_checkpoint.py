"""A checkpoint of 41 MB alone: how late the guardian's loop is meanwhile, how long it takes, how many bytes it writes.

`python -m tests.benchmarks.bench_checkpoint [--quick]`. Lateness is that of a timer every 20 ms while nothing else
happens but the checkpoints: fork, packing, digest, sync, and the copy into the database.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import tempfile
import time
from pathlib import Path

from o_tui.bench.guardians import add, fill, settled
from o_tui.bench.recovery import SETTINGS
from o_tui.guardian.core import Guardian
from o_tui.guardian.storage import vault_bases
from o_tui.guardian.telemetry import Histogram, LoopMonitor
from o_tui.paths import locate
from tests.benchmarks import report
from tests.benchmarks.report import Figure, median
from tests.support.guardians import ECHO, running

ROUNDS = 12
QUICK = 4
EDITS = 20
"""Memories that are added between two checkpoints."""


async def take(guardian: Guardian, rounds: int) -> tuple[Histogram, float, int]:
    """The loop's lateness, a checkpoint's median in ms, and the bytes of the last one."""
    chooser = random.Random(3)
    histogram, times, size = Histogram(), [], 0
    gc.collect()
    gc.freeze()  # as a guardian does when it has started: else what else this process imported is collected here
    for _ in range(rounds):
        await add(guardian, chooser, EDITS)
        await settled(guardian)
        monitor = LoopMonitor(histogram)
        monitor.start()
        started = time.perf_counter()
        row = await guardian.checkpoints.take("benchmark")
        times.append((time.perf_counter() - started) * 1000)
        monitor.stop()
        size = row["size_bytes"]
    return histogram, median(times), size


async def idle(seconds: float) -> float:
    """The loop's 99th percentile while nothing at all happens: what the machine itself adds."""
    histogram = Histogram()
    monitor = LoopMonitor(histogram)
    monitor.start()
    await asyncio.sleep(seconds)
    monitor.stop()
    return histogram.summary()["p99_ms"]


async def _measure(rounds: int) -> list[Figure]:
    found: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="o-bench-") as folder:
        async with running(locate(str(Path(folder) / "w")), SETTINGS, ECHO) as guardian:
            whole = await fill(guardian, 0)
            deltas = vault_bases.DELTAS
            try:
                for kind, limit in (("full", 0), ("delta", deltas)):
                    vault_bases.DELTAS = limit
                    histogram, took_ms, size = await take(guardian, rounds)
                    late, nothing_ms = histogram.summary(), await idle(rounds * took_ms / 1000)
                    what = f"a {kind} checkpoint of {whole / 1e6:.0f} MB ({size / 1e6:.2f} MB written)"
                    found += [
                        Figure(
                            f"guardian's loop delay while {what} is taken, p99",
                            late["p99_ms"],
                            "ms",
                            5,
                            "max",
                            "idle",
                            nothing_ms,
                        ),
                        Figure("… max", late["max_ms"], "ms", 5),
                        Figure("… taken, durable twice", took_ms, "ms"),
                    ]
            finally:
                vault_bases.DELTAS = deltas
    return found


def figures() -> list[Figure]:
    """The table's lines."""
    return asyncio.run(asyncio.wait_for(_measure(QUICK if "--quick" in sys.argv else ROUNDS), 200))


if __name__ == "__main__":
    report.main(figures)
