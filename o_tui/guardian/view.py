"""One connected view, as the guardian sees it: its greeting, its calls, and the notices that it follows.

The guardian never waits for a view. Notices to a view whose buffer has passed 256 KiB are dropped (it is *stale*);
when it has drained it gets a fresh snapshot. Calls are answered even then, but while answers pile up nothing more is
read from it.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol

from o_tui.guardian.fleet.channel import Channel
from o_tui.protocol import chunks, frames, messages
from o_tui.protocol.errors import FrameError, OError, RefusedError, UsageError, did_you_mean

STALE_BYTES = 256 * 1024
"""What may wait for a view before it is stale."""
ANSWERS_BYTES = 1024 * 1024
"""Answers that may wait for a view before no more calls are read from it."""
CALLS_LIMIT = 256
"""Calls of one view that run at once; more wait."""
SNAPSHOT_PAUSE_S = 0.5
"""Shortest time between two snapshots for one view."""
METRICS_HZ_LIMIT = 30.0
GREETING_S = 10.0
_ALWAYS = frozenset({"status", "stop"})
"""What a view of another protocol may still call."""

Level = Literal["debug", "info", "warning", "error"]


class Api(Protocol):
    """What the guardian offers its views."""

    @property
    def methods(self) -> Mapping[str, Callable[..., Awaitable[Any]]]:
        """The public API; parameters by keyword, values plain data."""

    @property
    def acting(self) -> frozenset[str]:
        """Methods that a viewer may not call. They run to their end even if the view has gone."""

    def snapshot(self) -> Awaitable[dict[str, Any]]:
        """Everything that a view shows when it comes."""


class Host(Protocol):
    """What a view needs of its server."""

    api: Api
    seq: int

    def welcome(self) -> messages.Welcome:
        """Who answers."""

    def telemetry(self) -> bytes:
        """The latest telemetry notice, packed; empty before the first."""

    def left(self, view: View, error: OError | None) -> None:
        """The view has gone."""

    def note(self, level: Level, text: str) -> None:
        """For the event log."""


class View:
    """One connection."""

    def __init__(self, host: Host, peer_pid: int) -> None:
        self.peer_pid = peer_pid
        self.following = False
        self.viewer = False
        self.stale = False
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._hello: messages.Hello | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self._acting_calls: set[asyncio.Task[None]] = set()
        self._queue: deque[messages.Call] = deque()
        self._paused = False
        self._room = asyncio.Event()
        self._allowance = 0
        self._snapshot: asyncio.Task[None] | None = None
        self._snapshot_due_s = 0.0
        self._since: list[bytes] = []
        self._metrics_due_s = 0.0
        self._metrics_timer: asyncio.TimerHandle | None = None
        self._greeting = self._loop.call_later(GREETING_S, self._not_greeted)
        self.channel = Channel(self._frame, self._closed, on_drained=self._drained)

    async def connect(self, peer: socket.socket) -> None:
        """Takes the accepted socket."""
        await self._loop.create_unix_connection(lambda: self.channel, sock=peer)

    def close(self, *, drop: bool = False) -> None:
        """Ends the connection; what was sent is delivered, unless `drop`."""
        self.channel.close(drop=drop)

    def row(self) -> dict[str, Any]:
        """Plain data for the status."""
        return {
            "pid": self.peer_pid,
            "viewer": self.viewer,
            "following": self.following,
            "stale": self.stale,
            "waiting_bytes": self.channel.waiting_bytes,
        }

    # --- notices

    def notice(self, packed: bytes) -> None:
        """A notice, packed once for all views."""
        if not self.following or self.stale:
            return
        if self._snapshot is not None:
            self._since.append(packed)
            if sum(map(len, self._since)) > STALE_BYTES:
                self._since.clear()
                self.stale = True
        elif self._has_room():
            self.channel.send_bytes(packed)
        else:
            self.stale = True

    def metrics(self) -> None:
        """There is newer telemetry: sent now, or at the view's own rate."""
        if not self.following or self._hello is None or self._metrics_timer is not None:
            return
        hz = min(self._hello.metrics_hz, METRICS_HZ_LIMIT)
        if hz <= 0:
            return
        now_s = self._loop.time()
        if now_s >= self._metrics_due_s:
            self._metrics_due_s = now_s + 1 / hz
            self.notice(self._host.telemetry())
        else:
            self._metrics_timer = self._loop.call_at(self._metrics_due_s, self._metrics_later)

    def _metrics_later(self) -> None:
        self._metrics_timer = None
        self.metrics()

    def _has_room(self) -> bool:
        channel = self.channel
        if channel.waiting_bytes > STALE_BYTES:
            # what this turn has sent is perhaps taken by the socket at once
            channel.flush()
        waiting = channel.waiting_bytes
        if waiting <= STALE_BYTES:
            self._allowance = 0
        return waiting <= STALE_BYTES + self._allowance

    def _drained(self) -> None:
        self._room.set()
        self._resume()
        if self.stale and self._snapshot is None:
            self._begin_snapshot()

    def _begin_snapshot(self) -> None:
        self.stale = False
        self._since.clear()
        self._snapshot = self._loop.create_task(self._take_snapshot())

    async def _take_snapshot(self) -> None:
        try:
            await asyncio.sleep(max(0.0, self._snapshot_due_s - self._loop.time()))
            self._snapshot_due_s = self._loop.time() + SNAPSHOT_PAUSE_S
            # what happens while it is made is sent again after it: twice is harmless, never is not
            self._since.clear()
            self.stale = False
            seq = self._host.seq
            data = await self._host.api.snapshot()
            packed = chunks.encode(messages.StateSnapshot(seq=seq, data=data))
        except Exception as error:  # noqa: BLE001 - the border to the API: its failure ends this view, with its reason
            failed = error if isinstance(error, OError) else OError(f"no snapshot: {type(error).__name__}: {error}")
            self._snapshot = None
            self.channel.close(failed)
            return
        self._snapshot = None
        self._allowance = len(packed) + STALE_BYTES
        self.channel.send_bytes(packed)
        for notice in self._since:
            self.channel.send_bytes(notice)
        self._since.clear()
        self.channel.flush()
        if self.stale and not self.channel.waiting_bytes:
            self._begin_snapshot()

    # --- what it says

    def _frame(self, frame: frames.Frame) -> None:
        match frame.data:
            case messages.Hello() if self._hello is None:
                self._greet(frame.data)
            case messages.Call() if self._hello is not None:
                self._call(frame.data)
            case _:
                raise FrameError(f"a view may not send {frame.type!r} here")

    def _not_greeted(self) -> None:
        self.channel.close(FrameError("a view that says no hello"))

    def _greet(self, hello: messages.Hello) -> None:
        self._greeting.cancel()
        self._hello = hello
        self.viewer = hello.viewer
        self.channel.send(self._host.welcome())
        if hello.follow and hello.protocol == messages.PROTOCOL_VERSION:
            self.following = True
            self._begin_snapshot()

    def _call(self, call: messages.Call) -> None:
        if len(self._calls) >= CALLS_LIMIT:
            self._queue.append(call)
            self._pause()
            return
        task = self._loop.create_task(self._run(call))
        self._calls.add(task)
        if call.method in self._host.api.acting:
            self._acting_calls.add(task)
        task.add_done_callback(self._called)

    def _called(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        self._acting_calls.discard(task)
        if self._queue and not self.channel.closed:
            self._call(self._queue.popleft())
        self._resume()

    async def _run(self, call: messages.Call) -> None:
        result = await self._answer(call)
        while self.channel.waiting_bytes > ANSWERS_BYTES and not self.channel.closed:
            # its earlier answers first: this one waits here, unpacked, and no more calls are read
            self._pause()
            self._room.clear()
            await self._room.wait()
        if self.channel.closed:
            return
        try:
            packed = chunks.encode(result)
        except FrameError as error:
            packed = chunks.encode(_failed(call, error, "ask for less at once"))
        except (TypeError, ValueError, OverflowError) as error:
            self._host.note("error", f"{call.method} answered with what cannot be sent: {error}")
            packed = chunks.encode(messages.Result(id=call.id, ok=False, error=f"internal: {error}", code=1))
        self.channel.send_bytes(packed)
        if self.channel.waiting_bytes > ANSWERS_BYTES:
            # what the socket takes at once does not wait; if something does, `_drained` will be called
            self.channel.flush()

    async def _answer(self, call: messages.Call) -> messages.Result:
        try:
            method = self._method(call.method)
            _check_params(call, method)
            return messages.Result(id=call.id, ok=True, value=await method(**call.params))
        except OError as error:
            return _failed(call, error)
        except Exception as error:  # noqa: BLE001 - the border to the API: a defect there is this call's error
            text = f"{call.method} failed: {type(error).__name__}: {error}"
            self._host.note("error", text)
            self._loop.call_exception_handler({"message": text, "exception": error})
            return messages.Result(id=call.id, ok=False, error=f"internal: {text}", code=1)

    def _method(self, name: str) -> Callable[..., Awaitable[Any]]:
        api = self._host.api
        method = api.methods.get(name)
        if method is None:
            raise UsageError(f"there is no method {name!r}", hint=did_you_mean(name, api.methods, ""))
        if self._hello is not None and self._hello.protocol != messages.PROTOCOL_VERSION and name not in _ALWAYS:
            raise RefusedError(
                f"this guardian speaks protocol {messages.PROTOCOL_VERSION}, the view {self._hello.protocol}",
                hint="end the guardian with `o-tui stop` and start it again",
            )
        if self.viewer and name in api.acting:
            raise RefusedError(f"a viewer may not call {name}", hint="connect as an operator")
        return method

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self.channel.pause_reading()

    def _resume(self) -> None:
        if self._paused and not self._queue and self.channel.waiting_bytes <= ANSWERS_BYTES:
            self._paused = False
            self.channel.resume_reading()

    def _closed(self, error: OError | None) -> None:
        self.following = False
        self._room.set()
        self._greeting.cancel()
        self._queue.clear()
        self._since.clear()
        if self._metrics_timer is not None:
            self._metrics_timer.cancel()
        if self._snapshot is not None:
            self._snapshot.cancel()
        # nobody waits for these answers; what acts is carried to its end
        for task in self._calls - self._acting_calls:
            task.cancel()
        self._host.left(self, error)


def _failed(call: messages.Call, error: OError, hint: str = "") -> messages.Result:
    return messages.Result(id=call.id, ok=False, error=str(error), code=error.code, hint=hint or error.hint)


def _check_params(call: messages.Call, method: Callable[..., Awaitable[Any]]) -> None:
    signature = inspect.signature(method)
    try:
        signature.bind(**call.params)
    except TypeError as error:
        wanted = ", ".join(signature.parameters) or "none"
        raise UsageError(f"{call.method}: {error}", hint=f"parameters: {wanted}") from error
