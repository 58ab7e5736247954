"""A guardian as a process of its own, and a view of it over its socket, for tests that kill, stop and misuse it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from o_tui.guardian.fleet.channel import Channel
from o_tui.paths import Paths
from o_tui.protocol import frames, messages
from o_tui.protocol.errors import CODES, OError
from tests.support.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
START_S = PATIENCE_S


class Process:
    """`python -m o_tui.guardian.main` on a workspace; started again as often as one likes."""

    def __init__(self, paths: Paths, prelude: str = "") -> None:
        """`prelude` is Python that runs before its main: for other constants than the real ones."""
        self.paths = paths
        self._program = ["-m", "o_tui.guardian.main"]
        if prelude:
            self._program = ["-c", f"{prelude}; import sys; from o_tui.guardian.main import main; sys.exit(main())"]
        self.process: subprocess.Popen[bytes] | None = None
        self.said: dict[str, Any] = {}

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    async def start(self, **more: Any) -> dict[str, Any]:
        """Returns what it said: {ok, pid} or {ok: false, error, code, hint}; {} if it died before a word."""
        ready, told = os.pipe()
        command = [sys.executable, "-X", "utf8", *self._program]
        command += ["--data-dir", str(self.paths.data), "--ready-fd", str(told)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(told,),
            cwd=ROOT,
            **more,
        )
        os.close(told)
        with os.fdopen(ready, "rb") as file:
            line = await asyncio.wait_for(asyncio.to_thread(file.readline), START_S)
        self.said = json.loads(line) if line else {}
        return self.said

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    async def ended(self, timeout_s: float = PATIENCE_S) -> tuple[int, str]:
        """Its exit status and what it said on stderr."""
        assert self.process is not None
        _, stderr = await asyncio.to_thread(self.process.communicate, timeout=timeout_s)
        return self.process.returncode, stderr.decode()

    async def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return (await self.ended())[0]

    def close(self) -> None:
        """Kills what is left."""
        if self.process is not None:
            if self.process.poll() is None:
                self.kill()
            if self.process.stderr is not None:
                self.process.stderr.close()


@contextlib.asynccontextmanager
async def guardian_process(paths: Paths, **more: Any) -> AsyncIterator[Process]:
    """One that serves; killed at the end if the test has not ended it."""
    process = Process(paths)
    try:
        said = await process.start(**more)
        assert said.get("ok"), said
        yield process
    finally:
        process.close()


class Link:
    """A view: calls by keyword. Every call fails with ConnectionError when the guardian goes."""

    def __init__(self) -> None:
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self.notices: list[messages.Notice] = []
        self.channel: Channel
        self.welcome: asyncio.Future[messages.Welcome] = asyncio.get_running_loop().create_future()

    @classmethod
    async def connect(cls, paths: Paths, *, follow: bool = False) -> Link:
        """Raises OSError: nobody listens."""
        link = cls()
        peer = socket.socket(socket.AF_UNIX)
        peer.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(peer, str(paths.socket))
        except OSError:
            peer.close()
            raise
        link.channel = await Channel.connect(peer, link._frame, link._closed)
        link.channel.send(messages.Hello(protocol=messages.PROTOCOL_VERSION, build="test", follow=follow))
        await asyncio.wait_for(link.welcome, PATIENCE_S)
        return link

    async def call(self, method: str, **params: Any) -> Any:
        """Raises OError (what the guardian said) and ConnectionError."""
        if self.channel.closed:
            raise ConnectionResetError("the guardian has gone")
        self._number += 1
        future = self._calls[self._number] = asyncio.get_running_loop().create_future()
        self.channel.send(messages.Call(id=self._number, method=method, params=params))
        return await future

    async def close(self) -> None:
        self.channel.close(drop=True)
        await self.channel.wait_closed()

    def _frame(self, frame: frames.Frame) -> None:
        data = frame.data
        if isinstance(data, messages.Result):
            future = self._calls.pop(data.id, None)
            if future is None or future.done():
                return
            if data.ok:
                future.set_result(data.value)
            else:
                future.set_exception(CODES.get(data.code, OError)(data.error, hint=data.hint))
        elif isinstance(data, messages.Welcome):
            self.welcome.set_result(data)
        elif isinstance(data, messages.Notice):
            self.notices.append(data)

    def _closed(self, error: OError | None) -> None:
        gone = ConnectionResetError(f"the guardian has gone: {error}")
        for future in [*self._calls.values(), self.welcome]:
            if not future.done():
                future.set_exception(gone)
                future.exception()
        self._calls.clear()


def pids(tree: dict[str, Any]) -> dict[str, int]:
    """The processes of `tree` by their name: nursery, broker, main, standby."""
    return {name: pid for name, pid in _walk(tree) if pid and pid != tree["pid"]}


def _walk(node: dict[str, Any]) -> Iterator[tuple[str, int]]:
    for child in node.get("children", ()):
        yield child["id"], child["pid"]
        yield from _walk(child)


def exists(pid: int) -> bool:
    """The process runs: there is one of the number, and it is not only waiting to be reaped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"


def settle(paths: Paths, text: str) -> None:
    """Settings of the workspace."""
    paths.config_file.write_text(text)
