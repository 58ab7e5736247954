"""A guardian that only plays a script: real frames over a real Unix socket, so that a view's real link is exercised.

`python -m tests.support.scripted_link SOCKET [chunks-per-second]` serves the demonstration data until it is ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from o_tui.protocol import chunks, frames, messages
from o_tui.protocol.errors import NotFoundError, OError
from tests.support import scripted_data
from tests.support.patience import PATIENCE_S

Handler = Callable[..., Any]


class ScriptedGuardian:
    """Answers calls from `handlers`, records them in `calls`, and sends what a test tells it to."""

    def __init__(self, path: Path, snapshot: dict[str, Any] | None = None) -> None:
        self.path = path
        self.snapshot = scripted_data.snapshot() if snapshot is None else snapshot
        self.handlers: dict[str, Handler] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.protocol = 1
        self.connected = asyncio.Event()
        self._called: dict[str, asyncio.Event] = {}
        self._seq = itertools.count(1)
        self._requests = itertools.count(1)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.handlers["say"] = self._say
        self.handlers["cancel"] = self._cancel
        self._running: dict[str, asyncio.Task[Any]] = {}
        self.answer = "You said: {text}"
        self.chunk_s = 0.0

    async def start(self) -> None:
        """Listens."""
        self._server = await asyncio.start_unix_server(self._serve, str(self.path))

    async def stop(self) -> None:
        """Drops every connection and the socket, like a guardian that died."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        for task in [*self._tasks, *self._running.values()]:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._running.values(), return_exceptions=True)
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()

    async def __aenter__(self) -> ScriptedGuardian:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    # --- what tests use

    def notify(self, topic: str, data: dict[str, Any]) -> None:
        """One notice to every view."""
        self._broadcast(messages.Notice(seq=next(self._seq), topic=topic, data=data))

    def send_snapshot(self) -> None:
        """A fresh snapshot to every view, as after a stall."""
        self._broadcast(messages.StateSnapshot(seq=next(self._seq), data=self.snapshot))

    def send_raw(self, data: bytes) -> None:
        """Bytes that need not be frames."""
        for writer in self._writers:
            writer.write(data)

    async def called(self, method: str) -> dict[str, Any]:
        """Waits until a method has been called; its latest parameters."""
        await asyncio.wait_for(self._called.setdefault(method, asyncio.Event()).wait(), PATIENCE_S)
        return next(params for name, params in reversed(self.calls) if name == method)

    def _broadcast(self, message: messages.Message) -> None:
        data = chunks.encode(message)
        for writer in self._writers:
            writer.write(data)

    # --- serving

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        cutter, joiner = frames.FrameReader(), chunks.Joiner()
        try:
            while data := await reader.read(65536):
                for payload in cutter.feed(data):
                    whole = joiner.add(frames.decode(payload))
                    if whole is not None:
                        self._take(whole.data, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    def _take(self, message: Any, writer: asyncio.StreamWriter) -> None:
        if isinstance(message, messages.Hello):
            welcome = messages.Welcome(
                protocol=self.protocol, build="test", instance="g-test", epoch=1, pid=os.getpid(), placement="process"
            )
            writer.write(frames.encode(welcome))
            if message.follow:
                writer.write(chunks.encode(messages.StateSnapshot(seq=next(self._seq), data=self.snapshot)))
                self._writers.add(writer)
                self.connected.set()
        elif isinstance(message, messages.Call):
            self.calls.append((message.method, message.params))
            self._called.setdefault(message.method, asyncio.Event()).set()
            answering = asyncio.create_task(self._answer(message, writer))
            self._tasks.add(answering)
            answering.add_done_callback(self._tasks.discard)

    async def _answer(self, call: messages.Call, writer: asyncio.StreamWriter) -> None:
        try:
            handler = self.handlers.get(call.method)
            if handler is None:
                raise NotFoundError(f"no method {call.method}")
            value = handler(**call.params)
            if isinstance(value, Awaitable):
                value = await value
            result = messages.Result(id=call.id, ok=True, value=value)
        except OError as error:
            result = messages.Result(id=call.id, ok=False, error=str(error), code=error.code, hint=error.hint)
        if not writer.is_closing():
            writer.write(chunks.encode(result))

    # --- the agent's part

    async def _say(self, text: str, session: str = "main", kind: str = "chat") -> dict[str, Any]:
        number = next(self._requests)
        request_id = f"rq-{number}"
        row = scripted_data.request(request_id, text, time_ns=scripted_data.NOW + number * 10**9)
        row |= {"answer": "", "state": "running"}
        self.notify("chat.request", row)
        task = asyncio.create_task(self._stream(request_id, self.answer.format(text=text)))
        self._running[request_id] = task
        try:
            await task
            row |= {"state": "done", "answer": self.answer.format(text=text), "elapsed_ms": 120.0}
        except asyncio.CancelledError:
            row |= {"state": "failed", "error": "cancelled by the operator"}
        self.notify("chat.done", row)
        return {"request_id": request_id, "text": row["answer"], "elapsed_ms": 120.0, "recovered": False, "ok": True}

    async def _stream(self, request_id: str, answer: str) -> None:
        for start in range(0, len(answer), 12):
            self.notify(
                "chat.event", {"request_id": request_id, "kind": "text", "data": {"text": answer[start : start + 12]}}
            )
            await asyncio.sleep(self.chunk_s)

    def _cancel(self, request_id: str) -> dict[str, Any]:
        task = self._running.get(request_id)
        if task is not None:
            task.cancel()
        return {}


async def main() -> None:
    """Serves the demonstration, streaming slowly, with telemetry twice a second."""
    path = Path(sys.argv[1])
    path.unlink(missing_ok=True)
    guardian = ScriptedGuardian(path)
    guardian.chunk_s = 1 / float(sys.argv[2]) if len(sys.argv) > 2 else 0.02
    guardian.answer = scripted_data.MARKDOWN
    for method in ("checkpoint.create", "checkpoint.pin", "evolve", "stop", "rollback", "kill"):
        guardian.handlers[method] = lambda **params: dict(params)
    async with guardian:
        print("listening", flush=True)
        while True:
            await asyncio.sleep(0.5)
            guardian.notify("telemetry", scripted_data.telemetry())


if __name__ == "__main__":
    asyncio.run(main())
