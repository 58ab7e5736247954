"""How late the guardian's loop is while three views follow and an answer streams at 50 chunks/s.

The guardian runs on this process' loop, alone in it; views, broker and the (scripted) model are processes of their
own, and the chunks go the whole way: model, broker, guardian, agent, guardian, views. Lateness is that of a timer
every 20 ms. Then the same while checkpoints of 41 MB are taken one after another.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import time

from o_tui.config import BrainConfig, Config, HealthConfig, VaultConfig
from o_tui.guardian.core import Guardian
from o_tui.guardian.telemetry import Histogram, LoopMonitor
from tests.benchmarks import programs, report
from tests.benchmarks.bench_recovery import fill, reached
from tests.benchmarks.report import Figure
from tests.support.guardians import running

RATE = 50
VIEWS = 3
MEASURE_S = 20.0
ANSWER_CHUNKS = 500


async def stream(guardian: Guardian, seconds: float, histogram: Histogram) -> float:
    """Streams answers one after another; the lateness of the loop is recorded, the chunks per second returned."""
    count = 0
    publish = guardian.sink

    def counted(topic: str, data: dict[str, object]) -> None:
        nonlocal count
        count += topic == "chat.event" and data["kind"] == "text"
        publish(topic, data)

    async def ask() -> None:
        while True:
            ticket = await guardian.dispatch.ask("tell me a story")
            if not ticket.ok:
                raise RuntimeError(ticket.error)

    guardian.sink = counted
    asking = asyncio.create_task(ask())
    try:
        await reached(lambda: count > 0 or asking.done(), "the first chunk", 30.0)
        monitor = LoopMonitor(histogram)
        monitor.start()
        before, started = count, time.monotonic()
        await asyncio.wait({asking}, timeout=seconds)
        rate = (count - before) / (time.monotonic() - started)
        monitor.stop()
        if asking.done():
            asking.result()
        return rate
    finally:
        guardian.sink = publish
        asking.cancel()
        await asyncio.wait({asking})


async def _checkpoints(guardian: Guardian) -> None:
    while True:
        await guardian.checkpoints.take("benchmark")


async def _measure(seconds: float) -> list[Figure]:
    with contextlib.ExitStack() as stack:
        paths = stack.enter_context(programs.workspace())
        url = programs.first_line(stack.enter_context(programs.program("model", str(RATE), str(ANSWER_CHUNKS))))
        settings = Config(
            brain=BrainConfig(provider="openai", model="fake-1", base_url=f"{url}/v1", onboarded=True),
            health=HealthConfig(max_restarts=1_000),
            vault=VaultConfig(interval_s=86_400.0, operations=10_000_000),
        )
        async with running(paths, settings) as guardian:
            await reached(lambda: guardian.fleet.standby is not None, "a standby")
            for _ in range(VIEWS):
                view = stack.enter_context(programs.program("view", str(paths.data)))
                await asyncio.wait_for(asyncio.to_thread(programs.first_line, view), 30)
            gc.collect()
            plain = Histogram()
            rate = await stream(guardian, seconds, plain)
            size = await fill(guardian)
            busy = Histogram()
            taking = asyncio.create_task(_checkpoints(guardian))
            await stream(guardian, seconds, busy)
            taking.cancel()
            await asyncio.wait({taking})
    if rate < RATE * 0.7:
        raise RuntimeError(f"only {rate:.0f} chunks/s came")
    what = f"guardian's loop delay, {VIEWS} views follow, {rate:.0f} chunks/s"
    while_taken = f"the same while checkpoints of {size / 1e6:.0f} MB are taken"
    return [
        Figure(f"{what}, p99", plain.summary()["p99_ms"], "ms", 10),
        Figure("… max", plain.summary()["max_ms"], "ms", 50),
        Figure(f"{while_taken}, p99", busy.summary()["p99_ms"], "ms", 10),
        Figure("… max", busy.summary()["max_ms"], "ms", 50),
    ]


def figures() -> list[Figure]:
    """The table's lines."""
    seconds = 5.0 if "--quick" in sys.argv else MEASURE_S
    return asyncio.run(asyncio.wait_for(_measure(seconds), 200))


if __name__ == "__main__":
    report.main(figures)
