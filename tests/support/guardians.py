"""Starting real guardians in tests: in this process on this loop (o_tui/bench/guardians.py), and waiting for them."""

from __future__ import annotations

import asyncio

from o_tui.bench.guardians import ECHO, PATIENT, running

__all__ = ["ECHO", "PATIENT", "running", "until"]


async def until(condition: object, timeout_s: float = 20.0) -> None:
    """Waits for a plain condition that no event announces; fails after `timeout_s`."""
    assert callable(condition)
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)
