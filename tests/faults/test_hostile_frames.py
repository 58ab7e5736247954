"""Fuzzed frames against a running guardian, on an instance's socket and on the views'.

Who sends them is killed or closed, with a row; the guardian does not grow, and goes on answering.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from o_tui._native import process_rss
from o_tui.paths import Paths
from o_tui.protocol import frames, messages
from tests.support import fuzz
from tests.support.guardian_process import ROOT, Link
from tests.support.patience import PATIENCE_S

MEMORY_LIMIT_BYTES = 8 * 2**20
HELLO = frames.encode(messages.Hello(protocol=messages.PROTOCOL_VERSION, build="fuzz"))


class Target:
    """The guardian's process, and how it does."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        command = [sys.executable, "-m", "tests.support.fuzzed_guardian", str(paths.data)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"
        self.before = self.peak = 0

    def send(self, path: Path, batch: list[bytes], first: bytes = b"") -> None:
        """A connection that sends all of it, and then waits until the guardian has ended it."""
        with socket.socket(socket.AF_UNIX) as peer, contextlib.suppress(ConnectionError):
            peer.settimeout(PATIENCE_S)
            peer.connect(str(path))
            peer.sendall(first + b"".join(batch))
            while peer.recv(65536):
                pass

    def instance(self, batch: list[bytes]) -> None:
        """Sends as an instance."""
        self.send(self.paths.socket.with_name("door.sock"), batch)

    def view(self, batch: list[bytes]) -> None:
        """Sends as a view."""
        self.send(self.paths.socket, batch, HELLO)

    def watch(self) -> None:
        """Looks at its memory; the first time is what later ones are compared with."""
        now = process_rss(self.process.pid)
        self.before = self.before or now
        self.peak = max(self.peak, now)

    @property
    def grown(self) -> int:
        """Bytes."""
        return self.peak - self.before

    def senders(self) -> int:
        """Impostors that still run."""
        listed = subprocess.run(["ps", "-o", "comm=", "--ppid", str(self.process.pid)], capture_output=True, text=True)
        return listed.stdout.split().count("sleep")

    async def rows(self, text: str) -> int:
        """Rows of the event log that have a text."""
        link = await Link.connect(self.paths)
        try:
            answer = await link.call("say", text="are you there")
            assert answer["ok"], "it still answers"
            found, before = 0, 0
            while page := await link.call("events.list", before=before, limit=1000, filter=text):
                found, before = found + len(page), page[-1]["id"]
                assert all("\n" not in row["text"] for row in page)
            return found
        finally:
            await link.close()


@pytest.fixture
def target(workspace: Paths) -> Iterator[Target]:
    found = Target(workspace)
    yield found
    found.process.send_signal(signal.SIGTERM)
    assert found.process.wait(PATIENCE_S) == 0, "it lived to the end"


async def until_no_senders(target: Target) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while target.senders():
            await asyncio.sleep(0.02)


async def bombard(target: Target, count: int, sender: str) -> None:
    """Sends `count` frames; then all that is promised must be true."""
    send, words = (target.instance, "impostor-") if sender == "instance" else (target.view, "was closed")
    warm_up = list(itertools.islice(fuzz.connections(fuzz.fuzzed(0, 200), sender), 100))
    for batch in warm_up:
        send(batch)
    target.watch()
    sent = len(warm_up)
    for batch in fuzz.connections(fuzz.fuzzed(1, count), sender):
        send(batch)
        sent += 1
        if sent % 50 == 0:
            target.watch()
    target.watch()
    await until_no_senders(target)
    assert await target.rows(words) == sent, "a row for each"
    assert target.grown < MEMORY_LIMIT_BYTES, f"it grew by {target.grown} bytes"


async def test_frames_that_are_too_large_cost_nothing(target: Target) -> None:
    large = [fuzz.LAST + bytes(1000), fuzz.framed(bytes(300 * 1024)), fuzz.framed(b"\x91" * 100_000 + b"\xc0")]
    for send in (target.instance, target.view):
        for frame in large * 3:
            send([frame])
    target.watch()
    for send in (target.instance, target.view):
        for frame in large * 10:
            send([frame])
            target.watch()
    assert target.grown < 2**20, f"it grew by {target.grown} bytes"
    await until_no_senders(target)
    assert await target.rows("announces") == 2 * 2 * 13
    assert await target.rows("too deep") == 2 * 13


@pytest.mark.parametrize("sender", ["instance", "view"])
async def test_fuzzed_frames(target: Target, sender: str) -> None:
    await bombard(target, 2_000, sender)


@pytest.mark.torture
@pytest.mark.parametrize("sender", ["instance", "view"])
async def test_a_hundred_thousand_fuzzed_frames(target: Target, sender: str) -> None:
    await bombard(target, 100_000, sender)
