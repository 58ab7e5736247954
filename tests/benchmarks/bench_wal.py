"""Operations acknowledged durable, 100 in flight, beside LangGraph's AsyncSqliteSaver and a bare sqlite3 loop.

All three in one run, in turns, on the same disk. The peer lives in a virtual environment of its own, made in the
cache folder; where it cannot be installed its line is left out by name.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from o_tui.guardian.database import Database
from o_tui.guardian.journal import Journal, Request
from o_tui.guardian.schema import migrations
from o_tui.guardian.wal import Proposed, Wal
from o_tui.paths import locate
from o_tui.protocol.errors import OError
from tests.benchmarks import report
from tests.benchmarks.report import Figure, median, percentile
from tests.support.storage import accept, finish

IN_FLIGHT = 100
REQUESTS_IN_FLIGHT = 128
ENTRIES = 20_000
PEER_ENTRIES = 2_000
ROUNDS = 5
DATA = bytes(range(200))
PEER = "langgraph-checkpoint-sqlite==3.1.2"
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
            assert isinstance(result, list), result
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


def peer_python() -> Path | None:
    """The interpreter of the peer's virtual environment; None if it cannot be installed."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "o-tui-bench" / PEER.replace("==", "-")
    python = cache / "bin" / "python"
    try:
        if not (cache / "installed").exists():
            subprocess.run([sys.executable, "-m", "venv", str(cache)], check=True, capture_output=True, timeout=120)
            install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", PEER]
            subprocess.run(install, check=True, capture_output=True, timeout=300)
            (cache / "installed").touch()
    except (OSError, subprocess.SubprocessError) as error:
        print(f"skipped: {PEER} could not be installed ({error})", file=sys.stderr)
        return None
    return python


def peer(python: Path, folder: Path) -> float:
    """Checkpoints that AsyncSqliteSaver has put per second, as many at once."""
    folder.mkdir()
    command = [str(python), "-c", _PEER_PROGRAM, str(folder / "peer.db")]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout)


def figures() -> list[Figure]:
    """Everything, in turns."""
    python = peer_python()
    rates, bares, peers, times, requests, request_times = [], [], [], [], [], []
    with tempfile.TemporaryDirectory(prefix="o-bench-") as name:
        folder = Path(name)
        for number in range(ROUNDS):
            rate, delays, batches = asyncio.run(ours(folder / f"ours-{number}"))
            rates.append(rate)
            times += delays
            bares.append(bare(folder / f"bare-{number}", batches))
            if python is not None:
                peers.append(peer(python, folder / f"peer-{number}"))
            rate, delays = asyncio.run(journal(folder / f"journal-{number}"))
            requests.append(rate)
            request_times += delays
    found = [
        Figure("operations acknowledged durable, 100 in flight", median(rates), "/s"),
        Figure("… p50", median(times), "ms"),
        Figure("… p99", percentile(times, 0.99), "ms"),
    ]
    share = median([ours_ / bare_ for ours_, bare_ in zip(rates, bares, strict=True)])
    found.append(Figure("… beside a bare sqlite3 loop", share * 100, "%", 50, "min", "bare loop, /s", median(bares)))
    if peers:
        times_as_many = median([ours_ / peer_ for ours_, peer_ in zip(rates, peers, strict=True)])
        label = "AsyncSqliteSaver, /s"
        found.append(Figure("… beside LangGraph's saver", times_as_many, "times", 30, "min", label, median(peers)))
    found.append(Figure("requests journalled at both ends, 128 in flight", median(requests), "/s", 10_000, "min"))
    found.append(Figure("… p50", median(request_times), "ms", 15))
    found.append(Figure("… p99", percentile(request_times, 0.99), "ms", 50))
    return found


if __name__ == "__main__":
    report.main(figures)
