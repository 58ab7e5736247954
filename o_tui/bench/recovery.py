"""SIGKILL of main to the first answer of the next: 41 MB of state, 1,000 operations since the checkpoint, under load.

An answer counts when it is durable and was given by the next main: to a request that the dead one had in hand, or to
one that came after the kill.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import time
from typing import Literal

from o_tui.bench.guardians import ECHO, fill, reached, running, settled, workspace
from o_tui.bench.report import Report, percentile, progress
from o_tui.config import Config, HealthConfig, VaultConfig
from o_tui.guardian.core import Guardian
from o_tui.guardian.ticket import Ticket
from o_tui.protocol.errors import PeerError

SINCE = 1_000
LOAD = 16
"""Requests that are under way all the time."""
ROUND_S = 15.0
"""A recovery that takes longer is one that failed."""
LIMIT_S = 500.0
Case = Literal["standby", "nursery", "cold"]
"""Who answers next: the standby; a fork of the nursery; everything started cold."""
# no checkpoint of its own comes between, so that the operations since the last one stay as many as is said
SETTINGS = Config(
    health=HealthConfig(max_restarts=1_000_000), vault=VaultConfig(interval_s=86_400.0, operations=10_000_000)
)


def run(arguments: argparse.Namespace) -> Report:
    """`arguments.rounds` kills of each case."""
    return measure(dict.fromkeys(("standby", "nursery", "cold"), arguments.rounds))


def measure(rounds: dict[Case, int]) -> Report:
    """The report over so many kills of each case."""
    times, size = asyncio.run(asyncio.wait_for(_measure(rounds), LIMIT_S))
    report = Report(results={"state_bytes": size, "operations_since_checkpoint": SINCE, "in_flight": LOAD})
    for case, values in times.items():
        report.results[f"{case}_p50_ms"] = round(percentile(values, 0.5), 1)
        report.results[f"{case}_p99_ms"] = round(percentile(values, 0.99), 1)
        report.results[f"{case}_kills"] = len(values)
    for case in ("standby", "nursery"):
        report.ratios[f"{case}_to_cold"] = report.results[f"{case}_p50_ms"] / report.results["cold_p50_ms"]
    report.notes.append("from SIGKILL of main to the first answer of the next; cold: standby and nursery killed too")
    return report


async def _measure(rounds: dict[Case, int]) -> tuple[dict[Case, list[float]], int]:
    with workspace() as paths:
        async with running(paths, SETTINGS, ECHO) as guardian:
            progress("the state grows to 41 MB")
            size = await fill(guardian, SINCE)
            times: dict[Case, list[float]] = {}
            for case, count in rounds.items():
                progress(f"{case}: {count} kills")
                times[case] = [await lose_main(guardian, case) for _ in range(count)]
            return times, size


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
        PeerError: Nobody recovered in time, or a request was lost.
    """
    await settled(guardian)
    fleet = guardian.fleet
    main, standby, nursery = fleet.main, fleet.standby, fleet.nursery
    if main is None or standby is None or nursery is None:
        raise PeerError("somebody died between two rounds")
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
        raise PeerError(f"{case}: no answer within {ROUND_S:.0f} s of the kill") from error
    finally:
        load.stop()
    await reached(lambda: guardian.dispatch.in_flight == 0, "the end of all requests", 10.0)
    if load.failed:
        raise PeerError(f"{case}: {len(load.failed)} requests failed, first: {load.failed[0]}")
    return took_ms
