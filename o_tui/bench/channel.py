"""Framed echo over a socketpair to another process: both ends are channels, 128 frames in flight."""

from __future__ import annotations

import asyncio
import os
import socket
import time

from o_tui.guardian.fleet.channel import Channel
from o_tui.guardian.telemetry import Histogram
from o_tui.protocol import frames, messages

IN_FLIGHT = 128
FRAMES = 60_000
TEXT = "x" * 200


async def _echo(peer: socket.socket) -> None:
    channel = await Channel.connect(peer, lambda frame: channel.send(frame.data, frame.metadata), lambda _: None)
    await channel.wait_closed()


async def _drive(peer: socket.socket, total: int, in_flight: int) -> tuple[float, Histogram]:
    done = asyncio.get_running_loop().create_future()
    sent_ns: dict[str, int] = {}
    delays = Histogram()
    count = 0

    def send(number: int) -> None:
        sent_ns[str(number)] = time.perf_counter_ns()
        channel.send(messages.ProcessRequest(text=TEXT), frames.Metadata(request_id=str(number)))

    def on_frame(frame: frames.Frame) -> None:
        nonlocal count
        delays.record(time.perf_counter_ns() - sent_ns.pop(frame.metadata.request_id))
        count += 1
        if count + in_flight <= total:
            send(count + in_flight)
        elif count == total:
            done.set_result(None)

    channel = await Channel.connect(peer, on_frame, lambda _: None)
    start = time.perf_counter()
    for number in range(in_flight):
        send(number)
    await done
    elapsed_s = time.perf_counter() - start
    channel.close()
    await channel.wait_closed()
    return total / elapsed_s, delays


def measure(total: int = FRAMES, in_flight: int = IN_FLIGHT) -> dict[str, float]:
    """Round trips per second, and p50 and p99 of one in ms."""
    here, there = socket.socketpair()
    child = os.fork()
    if not child:
        here.close()
        asyncio.run(_echo(there))
        os._exit(0)
    there.close()
    rate, delays = asyncio.run(_drive(here, total, in_flight))
    os.waitpid(child, 0)
    summary = delays.summary()
    return {"per_s": round(rate), "p50_ms": summary["p50_ms"], "p99_ms": summary["p99_ms"]}
