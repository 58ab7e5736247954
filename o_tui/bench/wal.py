"""Operations acknowledged durable, 100 in flight, beside a bare sqlite3 loop and LangGraph's AsyncSqliteSaver.

All in one run, in turns, on the same disk. The saver runs in an interpreter that has it.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from o_tui.bench.report import Report, median, percentile, progress
from o_tui.guardian.storage.database import Database
from o_tui.guardian.storage.journal import Journal, Outcome, Request
from o_tui.guardian.storage.schema import migrations
from o_tui.guardian.storage.wal import Proposed, Wal
from o_tui.paths import locate
from o_tui.protocol.errors import OError

IN_FLIGHT = 100
REQUESTS_IN_FLIGHT = 128
ENTRIES = 20_000
PEER_ENTRIES = 2_000
DATA = bytes(range(200))
BARE, SAVER = "a bare sqlite3 loop", "LangGraph's AsyncSqliteSaver"
SAVER_PACKAGE = "langgraph-checkpoint-sqlite"
_INSERT = "INSERT INTO wal VALUES (?, ?, ?, ?, ?, ?, ?, ?)"

_PEER_PROGRAM = f"""
import asyncio, sys, time
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

async def main():
    async with AsyncSqliteSaver.from_conn_string(sys.argv[1]) as saver:
        await saver.setup()
        async def worker(number):
            for step in range({PEER_ENTRIES // IN_FLIGHT}):
                checkpoint = empty_checkpoint()
                checkpoint["channel_values"] = {{"data": bytes(range(200))}}
                config = {{"configurable": {{"thread_id": str(number), "checkpoint_ns": ""}}}}
                await saver.aput(config, checkpoint, {{}}, {{}})
        start = time.perf_counter()
        await asyncio.gather(*(worker(number) for number in range({IN_FLIGHT})))
        print({PEER_ENTRIES} / (time.perf_counter() - start))

asyncio.run(main())
"""


def run(arguments: argparse.Namespace) -> Report:
    """`arguments.rounds` rounds; the saver is measured where this interpreter has it."""
    return measure(arguments.rounds, Path(sys.executable) if _has_saver() else None)


def _has_saver() -> bool:
    try:
        return importlib.util.find_spec("langgraph.checkpoint.sqlite") is not None
    except ModuleNotFoundError:
        return False


def measure(rounds: int, saver: Path | None) -> Report:
    """The report over so many rounds; `saver` is an interpreter that has LangGraph's saver, or None."""
    rates, bares, savers, times, requests, request_times = [], [], [], [], [], []
    with tempfile.TemporaryDirectory(prefix="o-bench-") as name:
        folder = Path(name)
        for number in range(rounds):
            progress(f"round {number + 1} of {rounds}")
            rate, delays, batches = asyncio.run(ours(folder / f"ours-{number}"))
            rates.append(rate)
            times += delays
            bares.append(bare(folder / f"bare-{number}", batches))
            if saver is not None:
                savers.append(peer(saver, folder / f"peer-{number}"))
            rate, delays = asyncio.run(journal(folder / f"journal-{number}"))
            requests.append(rate)
            request_times += delays
    report = Report(peers={BARE: {"operations_per_s": round(median(bares))}})
    report.results = {
        "operations_per_s": round(median(rates)),
        "operation_p50_ms": round(median(times), 3),
        "operation_p99_ms": round(percentile(times, 0.99), 3),
        "requests_per_s": round(median(requests)),
        "request_p50_ms": round(median(request_times), 3),
        "request_p99_ms": round(percentile(request_times, 0.99), 3),
    }
    report.ratios["operations_to_bare_sqlite3"] = _ratio(rates, bares)
    if savers:
        report.peers[SAVER] = {"operations_per_s": round(median(savers))}
        report.ratios["operations_to_asyncsqlitesaver"] = _ratio(rates, savers)
    else:
        report.notes.append(f"left out: {SAVER}; {SAVER_PACKAGE} is not installed here")
    report.notes.append(f"{IN_FLIGHT} operations, or {REQUESTS_IN_FLIGHT} requests journalled at both ends, in flight")
    return report


def _ratio(ours_: list[float], theirs: list[float]) -> float:
    return median([one / other for one, other in zip(ours_, theirs, strict=True)])


async def ours(folder: Path) -> tuple[float, list[float], int]:
    """Entries per second, each one's time in ms, and how many batches they went in.

    By `Wal.append`, as the guardian itself appends: a callback for each, the next one proposed as soon as it comes.
    """
    paths = locate(str(folder))
    paths.prepare()
    database = await asyncio.to_thread(Database.open, paths)
    database.start()
    wal = Wal(database)
    times: list[float] = []

    finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    left = ENTRIES

    def propose(number: int, position: int) -> None:
        nonlocal left
        left -= 1
        sent = time.perf_counter()

        def durable(result: list[bytes] | OError) -> None:
            if isinstance(result, OError):
                finished.set_exception(result)
                return
            times.append((time.perf_counter() - sent) * 1000)
            if left > 0:
                propose(number, position + 1)
            elif len(times) == ENTRIES:
                finished.set_result(None)

        wal.append([Proposed(f"request-{number}", position, "state_update", DATA)], durable)

    start = time.perf_counter()
    for number in range(IN_FLIGHT):
        propose(number, 0)
    await finished
    rate = ENTRIES / (time.perf_counter() - start)
    batches = database.batches
    await database.close()
    return rate, times, batches


async def journal(folder: Path) -> tuple[float, list[float]]:
    """Requests accepted and ended durably per second, and each one's time in ms."""
    paths = locate(str(folder))
    paths.prepare()
    database = await asyncio.to_thread(Database.open, paths)
    database.start()
    book = Journal(database, Wal(database))
    times: list[float] = []

    async def worker(number: int) -> None:
        for step in range(ENTRIES // REQUESTS_IN_FLIGHT):
            start = time.perf_counter()
            request = Request(f"{number}-{step}", "what did I say about the harbour?")
            await accept(book, request)
            await finish(book, request.request_id, text="that it is closed on Mondays")
            times.append((time.perf_counter() - start) * 1000)

    start = time.perf_counter()
    await asyncio.gather(*(worker(number) for number in range(REQUESTS_IN_FLIGHT)))
    rate = len(times) / (time.perf_counter() - start)
    await database.close()
    return rate, times


def bare(folder: Path, batches: int) -> float:
    """Rows per second of a plain loop: the same table, the same rows, as many transactions, the same durability."""
    folder.mkdir()
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.executescript(migrations()[0])
    size = -(-ENTRIES // batches)
    digest = bytes(32)
    start = time.perf_counter()
    for first in range(1, ENTRIES + 1, size):
        rows = [
            (seq, 1, 1, f"request-{seq % IN_FLIGHT}", seq // IN_FLIGHT, "state_update", DATA, digest)
            for seq in range(first, min(first + size, ENTRIES + 1))
        ]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_INSERT, rows)
        connection.execute("COMMIT")
    rate = ENTRIES / (time.perf_counter() - start)
    connection.close()
    return rate


async def accept(journal: Journal, request: Request) -> None:
    """Accepts a request; raises what it was refused with."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    journal.accept(request, future.set_result)
    if (error := await future) is not None:
        raise error


async def finish(journal: Journal, request_id: str, state: Outcome = "done", text: str = "", error: str = "") -> None:
    """Ends a request; raises what that was refused with."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    journal.finish(request_id, state, text, error, 1.5, False, future.set_result)
    if (problem := await future) is not None:
        raise problem


def peer(python: Path, folder: Path) -> float:
    """Checkpoints that AsyncSqliteSaver has put per second, as many at once."""
    folder.mkdir()
    command = [str(python), "-c", _PEER_PROGRAM, str(folder / "peer.db")]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout)
