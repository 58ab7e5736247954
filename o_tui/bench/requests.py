"""Requests through guardian and agent (an echo), 128 in flight, beside a bare framed echo in the same run."""

from __future__ import annotations

import argparse
import asyncio
import time

from o_tui.bench import channel
from o_tui.bench.guardians import ECHO, running, settled, workspace
from o_tui.bench.report import Report, median, percentile, progress
from o_tui.guardian.core import Guardian
from o_tui.guardian.ticket import Ticket
from o_tui.protocol.errors import PeerError

IN_FLIGHT = 128
REQUESTS = 20_000
BARE = "a bare framed echo"


def run(arguments: argparse.Namespace) -> Report:
    """`arguments.rounds` rounds."""
    return measure(arguments.rounds)


def measure(rounds: int, requests: int = REQUESTS) -> Report:
    """The report over so many rounds of so many requests, without a journal and durable, and the peer in turns."""
    plain, durable, bare, times = asyncio.run(_measure(rounds, requests))
    report = Report(peers={BARE: {"per_s": round(median(bare))}})
    report.results = {
        "per_s": round(median(plain)),
        "durable_per_s": round(median(durable)),
        "durable_p50_ms": round(percentile(times, 0.5), 2),
        "durable_p99_ms": round(percentile(times, 0.99), 2),
    }
    report.ratios = {"to_bare_echo": median(plain) / median(bare), "durable_to_plain": median(durable) / median(plain)}
    report.notes.append(f"{IN_FLIGHT} in flight; durable: journalled before the agent sees it and when it has answered")
    return report


async def _measure(rounds: int, requests: int) -> tuple[list[float], list[float], list[float], list[float]]:
    plain: list[float] = []
    durable: list[float] = []
    bare: list[float] = []
    times: list[float] = []
    with workspace() as paths:
        async with running(paths, seed=ECHO) as guardian:
            await settled(guardian)
            for number in range(rounds):
                progress(f"round {number + 1} of {rounds}")
                plain.append((await drive(guardian, requests, journalled=False))[0])
                rate, some = await drive(guardian, requests, journalled=True)
                durable.append(rate)
                times += some
                bare.append((await asyncio.to_thread(channel.measure))["per_s"])
    return plain, durable, bare, times


async def drive(guardian: Guardian, total: int, *, journalled: bool) -> tuple[float, list[float]]:
    """Requests per second, and each one's time in ms."""
    finished = asyncio.Event()
    times: list[float] = []
    failed: list[str] = []
    left = total

    def submit() -> None:
        nonlocal left
        left -= 1
        started = time.perf_counter()

        def answered(ticket: Ticket) -> None:
            if not ticket.ok:
                failed.append(ticket.error)
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
    if failed:
        raise PeerError(f"{len(failed)} requests failed, first: {failed[0]}")
    return total / (time.perf_counter() - started), times
