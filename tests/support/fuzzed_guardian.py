"""A real guardian with a back door: `python -m tests.support.fuzzed_guardian DATA_DIR`.

Whoever connects to `door.sock` in its run folder is an instance to it: a process is started, which the guardian watches
and kills like any instance, and what it hears from it is what comes through the door.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path

from o_tui import _native, paths
from o_tui.config import Config, EvolutionConfig, HealthConfig
from o_tui.guardian.core import Guardian
from o_tui.guardian.fleet.nursery import Fork
from o_tui.guardian.fleet.processes import spawn
from o_tui.guardian.main import run
from o_tui.protocol.errors import PeerError

PATIENT = Config(health=HealthConfig(max_restarts=1_000_000), evolution=EvolutionConfig(pairs=12))


async def serve(place: paths.Paths, guardian: Guardian) -> None:
    """Lets everybody in."""
    loop = asyncio.get_running_loop()
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(place.socket.with_name("door.sock")))
    door.listen(16)
    door.setblocking(False)
    print("ready", flush=True)
    for number in itertools.count(1):
        peer, _ = await loop.sock_accept(door)
        peer.setblocking(False)
        watch = spawn(["sleep", "600"], environment={"PATH": "/usr/bin:/bin"}, keep=(), log=Path("/dev/null"))
        name = f"impostor-{number}"
        watch.exited.add_done_callback(partial(reaped, guardian, name))
        with contextlib.suppress(PeerError):
            fork = Fork(name, peer, watch, guardian.stores.wal.seq, counters())
            await guardian.fleet.adopt(fork, "shadow")


def counters() -> _native.SharedReader:
    """Of somebody who counts nothing."""
    shared = _native.SharedCounters().detach_fd()
    try:
        return _native.SharedReader(shared)
    finally:
        os.close(shared)


def reaped(guardian: Guardian, name: str, status: asyncio.Future[int]) -> None:
    """What the nursery says of its children."""
    guardian.fleet._reaped(name, status.result())


async def main(place: paths.Paths) -> None:
    """Until SIGTERM."""
    tasks: list[asyncio.Task[None]] = []

    def ready(guardian: Guardian) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, guardian.request_stop, "the test is over")
        tasks.append(asyncio.create_task(serve(place, guardian)))

    await run(place, PATIENT, "process", ready)
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main(paths.locate(sys.argv[1])))
