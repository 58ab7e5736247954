"""The processes around a measured one: a guardian, views that follow it, a model that streams; all end by `with`.

`python -m tests.benchmarks.programs view FOLDER` and `… model RATE CHUNKS` are the programs themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from o_tui import client
from o_tui.paths import Paths, locate
from o_tui.protocol.errors import OError, UnreachableError
from tests.support import fake_llm

ROOT = Path(__file__).resolve().parents[2]
WORDS = "the guardian holds **what** the agent `changes` "


@contextlib.contextmanager
def workspace() -> Iterator[Paths]:
    """A folder with a short name, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="o-", ignore_cleanup_errors=True) as folder:
        paths = locate(str(Path(folder) / "w"))
        paths.prepare()
        yield paths


@contextlib.contextmanager
def guardian(paths: Paths) -> Iterator[int]:
    """A guardian in a process of its own; its pid."""
    pid = client.start_guardian(paths, 60.0)
    try:
        yield pid
    finally:
        try:
            with client.connect(paths) as link:
                client.stop_guardian(link, 20.0)
        except OError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def until_served(link: client.Client, timeout_s: float = 30.0) -> dict[str, Any]:
    """The status once main and standby run; raises UnreachableError."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        status: dict[str, Any] = link.call("status", wait_s=10.0)
        if {row["role"] for row in status["instances"] if row["state"] == "running"} >= {"main", "standby"}:
            return status
        if time.monotonic() > deadline_s:
            raise UnreachableError("main and standby do not run")
        time.sleep(0.05)


@contextlib.contextmanager
def program(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A program of this module; killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.programs", *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def first_line(process: subprocess.Popen[str]) -> str:
    """What a program says when it is ready; raises RuntimeError if it ends before."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise RuntimeError(f"a program of the benchmark has ended: {process.args}")
    return line


def _view(folder: str) -> None:
    """Follows as a screen does, until it is killed or the guardian ends."""
    with (
        contextlib.suppress(UnreachableError),
        client.connect(locate(folder), follow=True, viewer=True, metrics_hz=2.0) as link,
    ):
        print("follows", flush=True)
        for _ in link.notices():
            pass


async def _model(rate: float, chunks: int) -> None:
    """Each answer is `chunks` pieces, `rate` a second."""
    steps: list[Any] = [fake_llm.HEAD]
    for _ in range(chunks):
        steps += [fake_llm.chunk(fake_llm.event(fake_llm.delta(WORDS))), 1 / rate]
    ends = (fake_llm.delta(finish="stop"), fake_llm.usage(7, chunks), "[DONE]")
    steps += [*(fake_llm.chunk(fake_llm.event(end)) for end in ends), fake_llm.LAST]
    async with fake_llm.fake_server() as server:
        server.say(steps)
        print(server.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    if sys.argv[1] == "view":
        _view(sys.argv[2])
    else:
        asyncio.run(_model(float(sys.argv[2]), int(sys.argv[3])))
