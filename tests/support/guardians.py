"""Starting real guardians in tests: in this process on this loop, or as a process of their own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from o_tui.config import Config, HealthConfig
from o_tui.guardian.core import Guardian
from o_tui.guardian.main import run
from o_tui.paths import Paths

ECHO = Path(__file__).parent.parent / "data" / "genomes" / "echo"
"""A genome whose agent says what it was told."""
PATIENT = Config(health=HealthConfig(max_restarts=1_000_000))
"""Settings for tests that kill more often than a sound system dies."""


@contextlib.asynccontextmanager
async def running(place: Paths, settings: Config = PATIENT, seed: Path | None = None) -> AsyncIterator[Guardian]:
    """A guardian on this loop, stopped at the end."""
    ready: asyncio.Future[Guardian] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(run(place, settings, "process", ready.set_result, seed))
    done, _ = await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
    if task in done:
        task.result()
    guardian = ready.result()
    try:
        yield guardian
    finally:
        guardian.request_stop("the test is over")
        await task


async def until(condition: object, timeout_s: float = 20.0) -> None:
    """Waits for a plain condition that no event announces; fails after `timeout_s`."""
    assert callable(condition)
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)
