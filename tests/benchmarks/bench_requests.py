"""Requests through guardian and agent (echo genome), 128 in flight, beside a bare framed echo in the same run."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from o_tui.guardian.core import Guardian
from o_tui.guardian.ticket import Ticket
from o_tui.paths import locate
from tests.benchmarks import bench_channel, report
from tests.benchmarks.report import Figure, median, percentile
from tests.support.guardians import ECHO, running, until

IN_FLIGHT = 128
REQUESTS = 20_000
ROUNDS = 5


async def drive(guardian: Guardian, total: int, *, journalled: bool) -> tuple[float, list[float]]:
    """Requests per second, and each one's time in ms."""
    finished = asyncio.Event()
    times: list[float] = []
    left = total

    def submit() -> None:
        nonlocal left
        left -= 1
        started = time.perf_counter()

        def answered(ticket: Ticket) -> None:
            assert ticket.ok, ticket.error
            times.append((time.perf_counter() - started) * 1000)
            if left > 0:
                submit()
            elif len(times) == total:
                finished.set()

        guardian.dispatch.submit("hello", answered=answered, journalled=journalled)

    started = time.perf_counter()
    for _ in range(IN_FLIGHT):
        submit()
    await finished.wait()
    return total / (time.perf_counter() - started), times


async def _measure() -> tuple[list[float], list[float], list[float], list[float]]:
    with tempfile.TemporaryDirectory(prefix="o-") as folder:
        async with running(locate(str(Path(folder) / "w")), seed=ECHO) as guardian:
            await until(lambda: guardian.fleet.standby is not None and guardian.fleet.standby.state == "running")
            plain: list[float] = []
            durable: list[float] = []
            bare: list[float] = []
            times: list[float] = []
            for _ in range(ROUNDS):
                plain.append((await drive(guardian, REQUESTS, journalled=False))[0])
                rate, some = await drive(guardian, REQUESTS, journalled=True)
                durable.append(rate)
                times += some
                bare.append((await asyncio.to_thread(bench_channel.measure))["per_s"])
            return plain, durable, bare, times


def figures() -> list[Figure]:
    """The table's lines."""
    plain, durable, bare, times = asyncio.run(_measure())
    share = median(plain) / median(bare) * 100
    return [
        Figure(
            "requests through guardian and agent, 128 in flight",
            round(median(plain)),
            "/s",
            15_000,
            "min",
            "bare framed echo",
            round(median(bare)),
        ),
        Figure("the same, share of a bare framed echo", round(share, 1), "%", 30, "min"),
        Figure("requests journalled and durable, 128 in flight", round(median(durable)), "/s", 10_000, "min"),
        Figure("their time, p50", round(percentile(times, 0.5), 2), "ms", 15),
        Figure("their time, p99", round(percentile(times, 0.99), 2), "ms", 50),
    ]


if __name__ == "__main__":
    report.main(figures)
