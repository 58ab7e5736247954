"""The guardian's hold on the broker: one process with the keys; calls to it, each ending in `done` or `error`."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from o_tui.config import BrainConfig
from o_tui.guardian.fleet.channel import Channel
from o_tui.guardian.fleet.processes import Watch, spawn
from o_tui.paths import Paths
from o_tui.protocol import frames, messages
from o_tui.protocol.errors import OError, PeerError

OnReply = Callable[[messages.BrokerReply], None]
LOST = messages.BrokerReply(
    call_id="",
    state="error",
    data={"error": "the broker ended in the middle of this call; try again", "kind": "lost", "retryable": True},
)


@dataclass(slots=True)
class _Call:
    owner: object
    on_reply: OnReply


class Broker:
    """One broker process."""

    def __init__(
        self,
        paths: Paths,
        *,
        on_brain: Callable[[messages.BrainState], None],
        on_log: Callable[[str, messages.Log], None],
        on_beat: Callable[[], object],
    ) -> None:
        self._paths = paths
        self._on_brain = on_brain
        self._on_log = on_log
        self._on_beat = on_beat
        self._calls: dict[str, _Call] = {}
        self._ready = asyncio.get_running_loop().create_future()
        self._numbers = 0
        self.watch: Watch
        self.channel: Channel

    @property
    def alive(self) -> bool:
        """It runs."""
        return self.watch.alive

    async def spawn(self) -> None:
        """Starts it with the operator's environment: the only process that may see keys."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            self.watch = spawn(
                [
                    sys.executable,
                    "-X",
                    "utf8",
                    "-P",
                    "-m",
                    "o_tui.broker.main",
                    str(theirs.fileno()),
                    str(self._paths.data),
                ],
                environment={**os.environ, "O_TUI_DATA_DIR": str(self._paths.data)},
                keep=(theirs.fileno(),),
                log=self._paths.log,
            )
        try:
            self.channel = await Channel.connect(ours, self._frame, lambda _error: self.watch.kill())
        except BaseException:
            self.watch.kill()
            raise
        self.watch.exited.add_done_callback(lambda _status: self._closed())

    async def ready(self, timeout_s: float = 20.0) -> None:
        """Waits until it serves; raises PeerError."""
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(self._ready)
        except TimeoutError as error:
            raise PeerError("the broker did not start in time") from error

    def configure(self, brain: BrainConfig) -> None:
        """Which model answers from now on."""
        self.channel.send(
            messages.Configure(
                provider=brain.provider,
                model=brain.model,
                base_url=brain.base_url,
                timeout_s=brain.timeout_s,
                embedding_model=brain.embedding_model,
            )
        )

    def call(self, kind: str, arguments: dict[str, Any], owner: object, on_reply: OnReply) -> str:
        """Asks for an effect; `on_reply` gets deltas and one end. Returns the call's id."""
        self._numbers += 1
        call_id = f"c{self._numbers}"
        self._calls[call_id] = _Call(owner, on_reply)
        request = messages.BrokerRequest(call_id=call_id, kind=kind, arguments=arguments)
        try:
            self.channel.send(request)
        except OError as error:
            del self._calls[call_id]
            on_reply(messages.BrokerReply(call_id=call_id, state="error", data={"error": str(error)}))
        return call_id

    async def ask(self, kind: str, arguments: dict[str, Any], timeout_s: float = 120.0) -> dict[str, Any]:
        """`call`, and wait for its end.

        Raises:
            PeerError: It failed; the message says how.
        """
        future: asyncio.Future[messages.BrokerReply] = asyncio.get_running_loop().create_future()

        def on_reply(reply: messages.BrokerReply) -> None:
            if reply.state != "delta" and not future.done():
                future.set_result(reply)

        call_id = self.call(kind, arguments, future, on_reply)
        try:
            async with asyncio.timeout(timeout_s):
                reply = await future
        except TimeoutError as error:
            self.cancel(call_id)
            raise PeerError(f"the broker did not answer {kind} within {timeout_s:.0f} s") from error
        except asyncio.CancelledError:
            self.cancel(call_id)  # nobody reads on, and a model would go on writing
            raise
        if reply.state == "error":
            raise PeerError(str(reply.data.get("error", "it failed")), hint=str(reply.data.get("hint", "")))
        return reply.data

    def cancel(self, call_id: str) -> None:
        """Nobody waits for this call any more."""
        if self._calls.pop(call_id, None) is not None and self.alive:
            self.channel.send(messages.BrokerCancel(call_id=call_id))

    def forget(self, owner: object) -> None:
        """An instance has ended: its calls are cancelled."""
        for call_id in [call_id for call_id, call in self._calls.items() if call.owner is owner]:
            self.cancel(call_id)

    async def stop(self, grace_s: float) -> None:
        """Ends it."""
        if self.alive:
            self.channel.send(messages.Shutdown(grace_s=grace_s))
            await self.watch.stop(grace_s)

    def _frame(self, frame: frames.Frame) -> None:
        self._on_beat()
        data = frame.data
        if isinstance(data, messages.BrokerReply):
            call = self._calls.get(data.call_id)
            if call is not None:
                if data.state != "delta":
                    del self._calls[data.call_id]
                call.on_reply(data)
        elif isinstance(data, messages.BrainState):
            self._on_brain(data)
        elif isinstance(data, messages.Log):
            self._on_log("broker", data)
        elif isinstance(data, messages.Ready) and not self._ready.done():
            self._ready.set_result(None)

    def _closed(self) -> None:
        self.channel.close()
        if not self._ready.done():
            self._ready.set_exception(PeerError("the broker ended while it started"))
            self._ready.exception()
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.on_reply(LOST)
