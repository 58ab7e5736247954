"""How late the guardian's loop is while three views follow and an answer streams at 50 chunks/s.

The guardian runs on this process' loop, alone in it; views, broker and the (scripted) model are processes of their
own, and the chunks go the whole way: model, broker, guardian, agent, guardian, views. Lateness is that of a timer
every 20 ms. Then the same while checkpoints of 41 MB are taken one after another.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import time
from typing import Any

from o_tui.bench import around
from o_tui.bench.guardians import fill, reached, running, workspace
from o_tui.bench.report import Report, progress
from o_tui.config import BrainConfig, Config, HealthConfig, VaultConfig
from o_tui.guardian.audience import Nobody
from o_tui.guardian.core import Guardian
from o_tui.guardian.telemetry import Histogram, LoopMonitor
from o_tui.protocol.errors import PeerError

RATE = 50
VIEWS = 3
ANSWER_CHUNKS = 500
LIMIT_S = 200.0
IDLE = "a loop with nothing to do, before"
IDLE_S = 2.0


def run(arguments: argparse.Namespace) -> Report:
    """Each part for `arguments.seconds`."""
    return measure(arguments.seconds)


def measure(seconds: float) -> Report:
    """The report over two parts of so many seconds."""
    return asyncio.run(asyncio.wait_for(_measure(seconds), LIMIT_S))


async def stream(guardian: Guardian, seconds: float, histogram: Histogram) -> float:
    """Streams answers one after another; the lateness of the loop is recorded, the chunks per second returned."""
    count = 0
    views = guardian.audience

    class Counted(Nobody):
        followers = 1

        def publish(self, topic: str, data: dict[str, Any]) -> None:
            nonlocal count
            count += topic == "chat.event" and data["kind"] == "text"
            views.publish(topic, data)

    async def ask() -> None:
        while True:
            ticket = await guardian.dispatch.ask("tell me a story")
            if not ticket.ok:
                raise PeerError(ticket.error)

    guardian.audience = Counted()
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
        guardian.audience = views
        asking.cancel()
        await asyncio.wait({asking})


async def _checkpoints(guardian: Guardian) -> None:
    while True:
        await guardian.checkpoints.take("benchmark")


def settings(url: str) -> Config:
    """A brain that is the scripted model, and no checkpoint but those that are asked for."""
    return Config(
        brain=BrainConfig(provider="openai", model=around.MODEL, base_url=f"{url}/v1", onboarded=True),
        health=HealthConfig(max_restarts=1_000),
        vault=VaultConfig(interval_s=86_400.0, operations=10_000_000),
    )


async def _measure(seconds: float) -> Report:
    idle, plain, busy = Histogram(), Histogram(), Histogram()
    progress("an idle loop")
    monitor = LoopMonitor(idle)
    monitor.start()
    await asyncio.sleep(IDLE_S)
    monitor.stop()
    with contextlib.ExitStack() as stack:
        paths = stack.enter_context(workspace())
        url = around.first_line(stack.enter_context(around.program("model", str(RATE), str(ANSWER_CHUNKS))))
        async with running(paths, settings(url)) as guardian:
            await reached(lambda: guardian.fleet.standby is not None, "a standby")
            for _ in range(VIEWS):
                view = stack.enter_context(around.program("view", str(paths.data)))
                await asyncio.wait_for(asyncio.to_thread(around.first_line, view), 30)
            gc.collect()
            progress(f"an answer streams for {seconds:g} s")
            rate = await stream(guardian, seconds, plain)
            progress("the state grows to 41 MB")
            size = await fill(guardian, 0)
            progress(f"an answer streams for {seconds:g} s while checkpoints are taken")
            taking = asyncio.create_task(_checkpoints(guardian))
            await stream(guardian, seconds, busy)
            taking.cancel()
            await asyncio.wait({taking})
    if rate < RATE * 0.7:
        raise PeerError(f"only {rate:.0f} chunks/s came; the machine is too busy")
    report = Report(results={"chunks_per_s": round(rate, 1), "views": VIEWS, "state_bytes": size})
    report.results |= _figures("delay", plain) | _figures("delay_during_checkpoints", busy)
    report.peers[IDLE] = _figures("delay", idle)
    for name in ("delay_p99_ms", "delay_during_checkpoints_p99_ms"):
        report.ratios[f"{name.removesuffix('_ms')}_to_idle"] = report.results[name] / idle.summary()["p99_ms"]
    report.notes.append("how late a timer of 20 ms is on the guardian's loop")
    return report


def _figures(name: str, found: Histogram) -> dict[str, float]:
    summary = found.summary()
    return {f"{name}_p99_ms": summary["p99_ms"], f"{name}_max_ms": summary["max_ms"]}
