"""The broker: takes calls, runs each in a task of its own, answers, and can be told to stop one."""

from __future__ import annotations

import asyncio
import os
from typing import Any, Literal

from o_tui.broker.brain import Brain
from o_tui.broker.calls import Call, CallError
from o_tui.broker.keys import Keys
from o_tui.broker.kinds import KINDS
from o_tui.broker.link import Link
from o_tui.broker.redact import Redactor
from o_tui.protocol import messages
from o_tui.protocol.errors import FrameError
from o_tui.protocol.frames import Frame, Metadata
from o_tui.protocol.safe_text import Untrusted

HEARTBEAT_S = 1.0
CALLS = 256
"""Calls at once; more are refused as `busy`."""
_FLUSH_S = 1.0

Level = Literal["debug", "info", "warning", "error"]


class Broker:
    """One broker process' work. `run` lasts until the guardian hangs up or `stop` is called."""

    def __init__(self, keys: Keys, redactor: Redactor) -> None:
        self._redactor = redactor
        self._brain = Brain(keys, redactor, self._send_now)
        self._link: Link | None = None
        self._calls: dict[str, asyncio.Task[None]] = {}
        self._served = 0
        self._failed = 0
        self._stop = asyncio.Event()
        self._grace_s = 0.0

    def stop(self, grace_s: float = 0.0) -> None:
        """Ends `run`; calls that are done within `grace_s` are still answered."""
        self._grace_s = grace_s
        self._stop.set()

    async def run(self, descriptor: int) -> int:
        """Serves the guardian at the other end of this socket; returns the exit code."""
        self._link = link = await Link.open(descriptor, self._take)
        self._send_now(messages.Ready(pid=os.getpid()))
        self._send_now(self._brain.state)
        beat = asyncio.create_task(self._beat(link))
        stop = asyncio.create_task(self._stop.wait())
        ends: list[asyncio.Future[Any]] = [link.closed, stop]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if self._calls and self._grace_s and not link.closed.done():
            await asyncio.wait(list(self._calls.values()), timeout=self._grace_s)
        beat.cancel()
        self._brain.cancel()
        for task in self._calls.values():
            task.cancel()
        error = link.closed.result() if link.closed.done() else None
        await link.flush(_FLUSH_S)
        return 1 if isinstance(error, FrameError) else 0

    def broken(self) -> FrameError | None:
        """What the guardian sent that was not a frame, if that ended `run`."""
        return self._link.closed.result() if self._link is not None and self._link.closed.done() else None

    def _take(self, frame: Frame) -> None:
        data = frame.data
        if isinstance(data, messages.BrokerRequest):
            self._start(data, frame.metadata)
        elif isinstance(data, messages.BrokerCancel):
            self._cancel(data.call_id)
        elif isinstance(data, messages.Configure):
            self._brain.configure(data)
        elif isinstance(data, messages.Shutdown):
            self.stop(data.grace_s)
        else:
            self._log("warning", f"a message of type {frame.type!r} is not for the broker")

    def _start(self, request: messages.BrokerRequest, metadata: Metadata) -> None:
        # A caller that asks again under the same id has lost its first call (an instance died): the new one counts.
        self._cancel(request.call_id)
        if len(self._calls) >= CALLS:
            error = CallError(f"more than {CALLS} calls at once", "busy", retryable=True)
            self._send_now(messages.BrokerReply(call_id=request.call_id, state="error", data=error.data()), metadata)
            return
        task = asyncio.create_task(self._serve(request, metadata))
        self._calls[request.call_id] = task
        task.add_done_callback(lambda done: self._forget(request.call_id, done))

    def _cancel(self, call_id: str) -> None:
        if (task := self._calls.pop(call_id, None)) is not None:
            task.cancel()

    def _forget(self, call_id: str, task: asyncio.Task[None]) -> None:
        if self._calls.get(call_id) is task:
            del self._calls[call_id]

    async def _serve(self, request: messages.BrokerRequest, metadata: Metadata) -> None:
        async def reply(state: messages.ReplyState, data: dict[str, Any]) -> None:
            assert self._link is not None
            await self._link.send(messages.BrokerReply(call_id=request.call_id, state=state, data=data), metadata)

        self._served += 1
        call = Call(request.arguments, lambda data: reply("delta", data), self._log, self._brain)
        try:
            handler = KINDS.get(request.kind)
            if handler is None:
                raise CallError(f"there is no effect {request.kind[:40]!r}", "arguments")
            await reply("done", await handler(call))
        except CallError as error:
            self._failed += 1
            await reply("error", error.data() | {"error": self._redactor.line(str(error))})
        except Exception as error:  # noqa: BLE001 - the border of a call: a defect ends this one, not the broker
            self._failed += 1
            text = self._redactor.line(f"{type(error).__name__}: {error}")
            self._log("error", f"{request.kind} failed in the broker: {text}")
            await reply("error", CallError(f"the broker failed: {text}", "internal").data())

    async def _beat(self, link: Link) -> None:
        while True:
            if not link.slow:
                beat = messages.Heartbeat(busy=len(self._calls), requests=self._served, errors=self._failed)
                link.send_now(beat)
            await asyncio.sleep(HEARTBEAT_S)

    def _log(self, level: Level, text: str) -> None:
        if self._link is not None and not self._link.slow:
            self._link.send_now(
                messages.Log(level=level, text=Untrusted(self._redactor.line(text)), data={"process": "broker"})
            )

    def _send_now(self, message: messages.Message, metadata: Metadata | None = None) -> None:
        if self._link is not None:
            self._link.send_now(message, metadata)
