"""A real broker process at the other end of a socketpair, and the guardian's side of the talk."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from o_tui.protocol import chunks, frames, messages
from tests.support.patience import PATIENCE_S

M = TypeVar("M", bound=messages.Message)
KEY = "sk-test-0123456789abcdefghijklmnop"


class BrokerProcess:
    """Sends frames, keeps what comes, and can be waited on."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        stderr: Path,
    ) -> None:
        self.process = process
        self.writer = writer
        self.stderr = stderr
        self.frames: list[frames.Frame] = []
        self.ended = asyncio.Event()
        self._reader = reader
        self._news = asyncio.Condition()
        self._task = asyncio.create_task(self._receive())

    async def _receive(self) -> None:
        cut, joiner = frames.FrameReader(), chunks.Joiner()
        while data := await self._read():
            for payload in cut.feed(data):
                frame = joiner.add(frames.decode(payload))
                if frame is not None:
                    async with self._news:
                        self.frames.append(frame)
                        self._news.notify_all()
        self.ended.set()
        async with self._news:
            self._news.notify_all()

    async def _read(self) -> bytes:
        try:
            return await self._reader.read(65536)
        except ConnectionError:
            return b""

    def send(self, message: messages.Message, request_id: str = "") -> None:
        self.writer.write(chunks.encode(message, frames.Metadata(request_id=request_id)))

    def configure(self, provider: str = "openai", model: str = "fake-1", base_url: str = "", timeout_s: float = 600.0):
        self.send(messages.Configure(provider=provider, model=model, base_url=base_url, timeout_s=timeout_s))

    def call(self, call_id: str, kind: str, request_id: str = "", **arguments: Any) -> None:
        self.send(messages.BrokerRequest(call_id=call_id, kind=kind, arguments=arguments), request_id)

    def chat(self, call_id: str, text: str = "hello", **more: Any) -> None:
        self.call(call_id, "llm.chat", messages=[{"role": "user", "content": text}], **more)

    def all(self, kind: type[M]) -> list[M]:
        return [frame.data for frame in self.frames if isinstance(frame.data, kind)]

    def replies(self, call_id: str) -> list[messages.BrokerReply]:
        return [reply for reply in self.all(messages.BrokerReply) if reply.call_id == call_id]

    def deltas(self, call_id: str) -> list[str]:
        return [reply.data["text"] for reply in self.replies(call_id) if reply.state == "delta"]

    async def until(self, check: Any) -> Any:
        """Waits until `check()` is true; returns its value."""
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(lambda: check() or self.ended.is_set())
        value = check()
        assert value, f"the broker ended with {self.process.poll()}"
        return value

    async def end_of(self, call_id: str) -> messages.BrokerReply:
        """The reply that ends a call."""
        ends = await self.until(lambda: [r for r in self.replies(call_id) if r.state != "delta"])
        return ends[0]

    async def state(self, **wanted: Any) -> messages.BrainState:
        """The first state of the brain, the last seen included, in which all this holds."""

        def check() -> list[messages.BrainState]:
            return [s for s in self.all(messages.BrainState)[-1:] if all(getattr(s, k) == v for k, v in wanted.items())]

        return (await self.until(check))[0]

    async def exit_code(self) -> int:
        async with asyncio.timeout(PATIENCE_S):
            return await asyncio.to_thread(self.process.wait)

    async def close(self) -> None:
        self.writer.close()
        self._task.cancel()
        if self.process.poll() is None:
            self.process.kill()
        await asyncio.to_thread(self.process.wait)


def environment(**more: str) -> dict[str, str]:
    """A broker's environment: nothing of the operator's own, no keyring, no Ollama."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "VIRTUAL_ENV")}
    base = {"OLLAMA_HOST": "127.0.0.1:9", "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
    return kept | base | more


def _start(command: list[str], descriptor: int, variables: dict[str, str], stderr: Path) -> subprocess.Popen[bytes]:
    with stderr.open("wb") as log:
        return subprocess.Popen(command, pass_fds=[descriptor], env=variables, stderr=log)


@asynccontextmanager
async def broker_process(data_dir: Path, stderr: Path, **variables: str) -> AsyncIterator[BrokerProcess]:
    """Starts a broker; what it writes to stderr goes to a file."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-X", "utf8", "-m", "o_tui.broker.main", str(theirs.fileno()), str(data_dir)]
    process = _start(command, theirs.fileno(), environment(**variables), stderr)
    theirs.close()
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    broker = BrokerProcess(process, reader, writer, stderr)
    try:
        yield broker
    finally:
        await broker.close()


async def never_shown(broker: BrokerProcess, folder: Path) -> None:
    """The key is in nothing that left the process."""
    everything = repr([frame.data for frame in broker.frames]) + (folder / "err").read_text()
    assert KEY not in everything
    assert KEY[:16] not in everything
