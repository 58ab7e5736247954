"""SIGKILL of main to the first answer of the next: 41 MB of state, 1,000 operations since the checkpoint, under load."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import tempfile
import time
from pathlib import Path
from typing import Literal

from o_tui.guardian.core import Guardian
from o_tui.guardian.ticket import Ticket
from o_tui.paths import locate
from tests.benchmarks import report
from tests.benchmarks.report import Figure, percentile
from tests.support.guardians import ECHO, running, until

STATE_BYTES = 41_000_000
SINCE = 1_000
LOAD = 16
"""Requests that are under way all the time."""
Case = Literal["standby", "nursery", "cold"]
ROUNDS: dict[Case, int] = {"standby": 100, "nursery": 40, "cold": 12}
WORDS = [
    f"{a}{b}" for a in ("am", "be", "co", "du", "el", "fa", "gu") for b in ("ran", "tis", "lor", "mek", "vos", "pin")
]


async def fill(guardian: Guardian) -> int:
    """Grows the state to STATE_BYTES, takes a checkpoint, adds SINCE operations; returns the size in bytes."""
    chooser = random.Random(1)
    size = 0
    while size < STATE_BYTES:
        for _ in range(8):
            await add(guardian, chooser, 500)
        size = (await guardian.checkpoints.take("grow"))["uncompressed_bytes"]
    await add(guardian, chooser, SINCE)
    return size


async def add(guardian: Guardian, chooser: random.Random, count: int) -> None:
    """`count` memories of some sixty words."""
    items = [{"text": " ".join(chooser.choices(WORDS, k=60)), "importance": 0.5} for _ in range(count)]
    ticket = await guardian.dispatch.ask(json.dumps({"items": items}), "memory.add")
    assert ticket.ok, ticket.error


async def settled(guardian: Guardian) -> None:
    """Everybody runs and has the whole log."""
    fleet = guardian.fleet
    await until(lambda: fleet.nursery is not None and fleet.main is not None)
    await until(lambda: fleet.standby is not None and fleet.standby.state == "running", 60)
    await until(lambda: fleet.nursery is not None and fleet.nursery.seq >= guardian.stores.wal.seq, 60)


async def lose_main(guardian: Guardian, case: Case) -> float:
    """Kills, under load, and returns the milliseconds until the next main's first answer."""
    await settled(guardian)
    fleet = guardian.fleet
    main, standby, nursery = fleet.main, fleet.standby, fleet.nursery
    assert main and standby and nursery
    answered_at = asyncio.get_running_loop().create_future()
    stop = False
    started = 0.0

    def submit() -> None:
        guardian.dispatch.submit("hello", answered=answered)

    def answered(ticket: Ticket) -> None:
        assert ticket.ok, ticket.error
        if started and fleet.main is not main and not answered_at.done():
            answered_at.set_result(time.perf_counter())
        if not stop:
            submit()

    for _ in range(LOAD):
        submit()
    await asyncio.sleep(random.uniform(0.05, 0.15))
    started = time.perf_counter()
    if case == "cold":
        os.kill(nursery.watch.pid, signal.SIGKILL)
    if case in ("cold", "nursery"):
        os.kill(standby.pid, signal.SIGKILL)
    os.kill(main.pid, signal.SIGKILL)
    took = (await answered_at - started) * 1000
    stop = True
    await guardian.dispatch.drain(5.0)
    return float(took)


async def _measure() -> tuple[dict[Case, list[float]], int]:
    with tempfile.TemporaryDirectory(prefix="o-") as folder:
        async with running(locate(str(Path(folder) / "w")), seed=ECHO) as guardian:
            size = await fill(guardian)
            times: dict[Case, list[float]] = {}
            for case, rounds in ROUNDS.items():
                times[case] = [await lose_main(guardian, case) for _ in range(rounds)]
            return times, size


def figures() -> list[Figure]:
    """The table's lines."""
    times, size = asyncio.run(_measure())
    state = f"{size / 1e6:.0f} MB of state"
    standby = times["standby"]
    return [
        Figure(
            f"SIGKILL of main to the first answer of the standby, {state}, p50",
            round(percentile(standby, 0.5), 1),
            "ms",
            10,
        ),
        Figure("the same, p99", round(percentile(standby, 0.99), 1), "ms", 30),
        Figure("from the nursery alone, p99", round(percentile(times["nursery"], 0.99), 1), "ms", 60),
        Figure("everything cold, p99", round(percentile(times["cold"], 0.99), 1), "ms", 400),
    ]


if __name__ == "__main__":
    report.main(figures)
