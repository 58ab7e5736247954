"""A guardian on the loop of a benchmark, with an agent that says what it is told, and a state of a known size."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from o_tui.bench.codec import WORDS
from o_tui.config import Config, HealthConfig
from o_tui.guardian.core import Guardian
from o_tui.guardian.main import run
from o_tui.paths import Paths, locate, shipped
from o_tui.protocol.errors import PeerError

ECHO = shipped("data") / "bench" / "echo"
"""A genome whose agent says what it was told."""
PATIENT = Config(health=HealthConfig(max_restarts=1_000_000))
"""Settings for those who kill more often than a sound system dies."""
STATE_BYTES = 41_000_000
BLOCKS_AT_ONCE = 500


@contextlib.contextmanager
def workspace() -> Iterator[Paths]:
    """A folder with a short name, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="o-", ignore_cleanup_errors=True) as folder:
        paths = locate(str(Path(folder) / "w"))
        paths.prepare()
        yield paths


@contextlib.asynccontextmanager
async def running(place: Paths, settings: Config = PATIENT, seed: Path | None = None) -> AsyncIterator[Guardian]:
    """A guardian on this loop, stopped at the end."""
    ready: asyncio.Future[Guardian] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(run(place, settings, "process", ready.set_result, seed))
    waited: list[asyncio.Future[Guardian] | asyncio.Future[None]] = [task, ready]
    await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    guardian = ready.result()
    try:
        yield guardian
    finally:
        guardian.request_stop("what it was started for is over")
        await task


async def reached(condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    """Waits for a condition that nobody announces; raises PeerError that names it."""
    try:
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110 - nobody sets an event
                await asyncio.sleep(0.005)
    except TimeoutError as error:
        raise PeerError(f"not within {timeout_s:.0f} s: {what}") from error


async def settled(guardian: Guardian) -> None:
    """Everybody runs and has the whole log."""
    fleet, wal = guardian.fleet, guardian.stores.wal
    await reached(lambda: fleet.nursery is not None and fleet.nursery.seq >= wal.seq, "a nursery with the whole log")
    await reached(lambda: fleet.main is not None and fleet.main.state == "running", "a main that runs")
    await reached(lambda: fleet.standby is not None and fleet.standby.state == "running", "a standby that runs")


async def fill(guardian: Guardian, since: int) -> int:
    """Grows the state to STATE_BYTES, takes a checkpoint, adds `since` operations; returns the size in bytes."""
    chooser = random.Random(1)
    size = 0
    while size < STATE_BYTES:
        for _ in range(8):
            await add(guardian, chooser, BLOCKS_AT_ONCE)
        size = (await guardian.checkpoints.take("grow"))["uncompressed_bytes"]
    for _ in range(since // BLOCKS_AT_ONCE):
        await add(guardian, chooser, BLOCKS_AT_ONCE)
    return size


async def add(guardian: Guardian, chooser: random.Random, count: int) -> None:
    """`count` memories of some sixty words."""
    items = [{"text": " ".join(chooser.choices(WORDS, k=60)), "importance": 0.5} for _ in range(count)]
    ticket = await asyncio.wait_for(guardian.dispatch.ask(json.dumps({"items": items}), "memory.add"), 30)
    if not ticket.ok:
        raise PeerError(ticket.error)
