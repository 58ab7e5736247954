"""SIGKILL of main to the first answer of the next: 41 MB of state, 1,000 operations since the checkpoint, under load.

`python -m tests.benchmarks.bench_recovery [--quick]`. An answer counts when it is durable and was given by the next
main: to a request that the dead one had in hand, or to one that came after the kill.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, cast

from o_tui.config import Config, HealthConfig, VaultConfig
from o_tui.guardian.core import Guardian
from o_tui.guardian.dispatch import Ticket
from o_tui.paths import locate
from tests.benchmarks import report
from tests.benchmarks.report import Figure, percentile
from tests.support.guardians import ECHO, running

STATE_BYTES = 41_000_000
SINCE = 1_000
LOAD = 16
"""Requests that are under way all the time."""
ROUND_S = 15.0
"""A recovery that takes longer is one that failed."""
Case = Literal["standby", "nursery", "cold"]
ROUNDS: dict[Case, int] = {"standby": 100, "nursery": 40, "cold": 12}
QUICK: dict[Case, int] = {"standby": 20, "nursery": 10, "cold": 3}
# no checkpoint of its own comes between, so that the operations since the last one stay as many as is said
SETTINGS = Config(
    health=HealthConfig(max_restarts=1_000_000), vault=VaultConfig(interval_s=86_400.0, operations=10_000_000)
)
WORDS = [
    f"{a}{b}" for a in ("am", "be", "co", "du", "el", "fa", "gu") for b in ("ran", "tis", "lor", "mek", "vos", "pin")
]


async def fill(guardian: Guardian, since: int = SINCE) -> int:
    """Grows the state to STATE_BYTES, takes a checkpoint, adds `since` operations; returns the size in bytes."""
    chooser = random.Random(1)
    size = 0
    while size < STATE_BYTES:
        for _ in range(8):
            await add(guardian, chooser, 500)
        size = (await guardian.checkpoints.take("grow"))["uncompressed_bytes"]
    for _ in range(since // 500):
        await add(guardian, chooser, 500)
    return size


async def add(guardian: Guardian, chooser: random.Random, count: int) -> None:
    """`count` memories of some sixty words."""
    items = [{"text": " ".join(chooser.choices(WORDS, k=60)), "importance": 0.5} for _ in range(count)]
    ticket = await asyncio.wait_for(guardian.dispatch.ask(json.dumps({"items": items}), "memory.add"), 30)
    if not ticket.ok:
        raise RuntimeError(ticket.error)


async def reached(condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    """Waits for a condition that nobody announces; raises RuntimeError that names it."""
    try:
        async with asyncio.timeout(timeout_s):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError as error:
        raise RuntimeError(f"not within {timeout_s:.0f} s: {what}") from error


async def settled(guardian: Guardian) -> None:
    """Everybody runs and has the whole log."""
    fleet, wal = guardian.fleet, guardian.stores.wal
    await reached(lambda: fleet.nursery is not None and fleet.nursery.seq >= wal.seq, "a nursery with the whole log")
    await reached(lambda: fleet.main is not None and fleet.main.state == "running", "a main that runs")
    await reached(lambda: fleet.standby is not None and fleet.standby.state == "running", "a standby that runs")


class Load:
    """Requests that are always under way; notes when the next main first answered."""

    def __init__(self, guardian: Guardian) -> None:
        self._guardian = guardian
        self._stopped = False
        self.killed_ns = 0
        self.failed: list[str] = []
        self.first: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def start(self) -> None:
        """LOAD requests at once; each answer brings another one."""
        for _ in range(LOAD):
            self._submit()

    def stop(self) -> None:
        """No more."""
        self._stopped = True

    def _submit(self) -> None:
        if not self._stopped:
            self._guardian.dispatch.submit("hello", answered=self._answered)

    def _answered(self, ticket: Ticket) -> None:
        now_ns = time.monotonic_ns()
        if not ticket.ok:
            self.failed.append(ticket.error)
        elif self.killed_ns and not self.first.done() and (ticket.recovered or ticket.started_ns > self.killed_ns):
            self.first.set_result((now_ns - self.killed_ns) / 1e6)
        self._submit()


async def lose_main(guardian: Guardian, case: Case) -> float:
    """Kills, under load, and returns the milliseconds until the next main's first answer.

    Raises:
        RuntimeError: Nobody recovered in time, or a request was lost.
    """
    await settled(guardian)
    fleet = guardian.fleet
    main, standby, nursery = fleet.main, fleet.standby, fleet.nursery
    if main is None or standby is None or nursery is None:
        raise RuntimeError("somebody died between two rounds")
    load = Load(guardian)
    load.start()
    await asyncio.sleep(random.uniform(0.05, 0.15))
    load.killed_ns = time.monotonic_ns()
    if case == "cold":
        os.kill(nursery.watch.pid, signal.SIGKILL)
    if case in ("cold", "nursery"):
        os.kill(standby.pid, signal.SIGKILL)
    os.kill(main.pid, signal.SIGKILL)
    try:
        took_ms = await asyncio.wait_for(load.first, ROUND_S)
    except TimeoutError as error:
        raise RuntimeError(f"{case}: no answer within {ROUND_S:.0f} s of the kill") from error
    finally:
        load.stop()
    await reached(lambda: guardian.dispatch.in_flight == 0, "the end of all requests", 10.0)
    if load.failed:
        raise RuntimeError(f"{case}: {len(load.failed)} requests failed, first: {load.failed[0]}")
    return took_ms


@contextlib.asynccontextmanager
async def _workspace() -> contextlib.AsyncIterator[Guardian]:
    with tempfile.TemporaryDirectory(prefix="o-") as folder:
        async with running(locate(str(Path(folder) / "w")), SETTINGS, ECHO) as guardian:
            yield guardian


async def _measure(rounds: dict[Case, int]) -> tuple[dict[Case, list[float]], int]:
    async with _workspace() as guardian:
        size = await fill(guardian)
        times: dict[Case, list[float]] = {}
        for case, count in rounds.items():
            times[case] = [await lose_main(guardian, case) for _ in range(count)]
        return times, size


def figures() -> list[Figure]:
    """The table's lines."""
    rounds = QUICK if "--quick" in sys.argv else ROUNDS
    times, size = asyncio.run(asyncio.wait_for(_measure(rounds), 500))
    limits: dict[Case, tuple[str, float | None, float]] = {
        "standby": ("the standby", 10.0, 30.0),
        "nursery": ("a fork of the nursery", None, 60.0),
        "cold": ("everything started cold", None, 400.0),
    }
    found: list[Figure] = []
    for case, (name, p50_ms, p99_ms) in limits.items():
        what = f"SIGKILL of main to the first answer of {name}"
        if case == "standby":
            what += f" ({size / 1e6:.0f} MB of state, {SINCE:,} operations since the checkpoint, {LOAD} in flight)"
        values = times[cast(Case, case)]
        found.append(Figure(f"{what}, p50", round(percentile(values, 0.5), 1), "ms", p50_ms))
        found.append(Figure(f"… p99 of {len(values)}", round(percentile(values, 0.99), 1), "ms", p99_ms))
    return found


if __name__ == "__main__":
    report.main(figures)
