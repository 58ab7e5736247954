"""The view's link to its guardian: hello, snapshot, notices, calls, and coming back after a loss."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal, Protocol

from o_tui.protocol import messages
from o_tui.protocol.errors import CODES, OError, RefusedError, UnreachableError
from o_tui.ui.link.wire import Wire, connect

PROTOCOL = 1
"""What this view speaks; a guardian of another number is left alone."""
FIRST_WAIT_S = 0.05
LONGEST_WAIT_S = 2.0
HELLO_TIMEOUT_S = 8.0
QUIET_S = 4.0
"""A guardian that has said nothing for so long is asked for its status; for twice as long, it does not answer."""

LinkState = Literal["starting", "connecting", "connected", "silent", "lost", "refused", "closed"]


class Listener(Protocol):
    """Who hears what the link hears. All are called on the link's event loop and must not block."""

    def link_changed(self, state: LinkState, detail: str) -> None:
        """The connection's state is another one."""

    def link_snapshot(self, snapshot: messages.StateSnapshot) -> None:
        """Everything, anew: what was known before is void."""

    def link_notices(self, notices: list[messages.Notice]) -> None:
        """Things that happened since, in order; all that one read brought."""


class Link:
    """An asynchronous client of the guardian.

    Attributes:
        state: Where the connection stands.
        welcome: Who answered last; None before the first time.
        stopping: The guardian has said that it stops, so a loss is no accident.
    """

    def __init__(
        self,
        path: Path,
        listener: Listener,
        *,
        build: str = "",
        metrics_hz: float = 2.0,
        start: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._path = path
        self._listener = listener
        self._hello = messages.Hello(protocol=PROTOCOL, build=build, follow=True, metrics_hz=metrics_hz)
        self._start = start
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._wire: Wire | None = None
        self._gone = asyncio.Event()
        self._ready = asyncio.Event()
        self._hurry = asyncio.Event()
        self._closing = False
        self._detail = ""
        self._refusal = ""
        self._again = False
        self._heard = 0
        self.state: LinkState = "starting"
        self.welcome: messages.Welcome | None = None
        self.stopping = ""

    # --- life

    async def run(self) -> None:
        """Connects, and connects again after every loss, until `close`."""
        wait_s = FIRST_WAIT_S
        started = False
        while not self._closing:
            try:
                await self._session()
                wait_s, started, self._refusal = FIRST_WAIT_S, False, ""
            except OSError as error:
                # nobody listens: whoever owns us may start a guardian, once a loss
                if self._start is not None and not self.stopping and (not started or self._again):
                    started, self._again = True, False
                    started_well = await self._start_guardian()
                    if started_well:
                        continue
                elif self._refusal:
                    self._change("refused", self._refusal)
                else:
                    self._change("lost" if self.welcome else "connecting", error.strerror or str(error))
            except OError as error:
                self._change("refused", str(error))
                wait_s = LONGEST_WAIT_S
            await self._pause(wait_s * random.uniform(0.8, 1.2))
            wait_s = min(LONGEST_WAIT_S, wait_s * 1.7)
        self._change("closed", "")

    async def close(self) -> None:
        """Ends `run`; calls that wait fail."""
        self._closing = True
        self._hurry.set()
        if self._wire is not None:
            self._wire.close()
        self._fail_calls("the view is closing")

    def start_now(self) -> None:
        """Connects at once instead of after the back-off, and starts a guardian that was stopped."""
        self.stopping = ""
        self._again = True
        self._hurry.set()

    async def _start_guardian(self) -> bool:
        """Whether it runs; why it does not stays told until a start succeeds or somebody else starts one."""
        assert self._start is not None
        self._change("starting", "the guardian ended" if self.welcome else "")
        try:
            await self._start()
        except OError as error:
            self._refusal = f"{error}" + (f" ({error.hint})" if error.hint else "")
            self._change("refused", self._refusal)
            return False
        self._refusal = ""
        return True

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._hurry.wait(), seconds)
        except TimeoutError:
            pass
        self._hurry.clear()

    async def _session(self) -> None:
        """One connection, from hello to its loss."""
        self._gone.clear()
        self._ready.clear()
        wire = Wire(self._received, self._lost)
        await connect(self._path, wire)
        self._wire = wire
        wire.send(self._hello)
        self._detail = "the guardian closed the connection"
        try:
            await asyncio.wait_for(self._ready.wait(), HELLO_TIMEOUT_S)
        except TimeoutError as error:
            wire.close()
            raise UnreachableError("the guardian does not answer") from error
        else:
            await self._watch(wire)
        finally:
            self._wire = None
            self._fail_calls("the connection to the guardian was lost")
        if self.state != "refused":
            self._change("lost", self.stopping or self._detail)
        else:
            raise RefusedError(self._detail)

    async def _watch(self, wire: Wire) -> None:
        """Until the connection is gone: one to which nothing comes is no loss, but has to be told."""
        quiet, heard = 0, self._heard
        while not self._gone.is_set():
            try:
                await asyncio.wait_for(self._gone.wait(), QUIET_S)
            except TimeoutError:
                quiet = quiet + 1 if self._heard == heard else 0
                heard = self._heard
            if quiet == 1:
                wire.send(messages.Call(id=next(self._ids), method="status", params={}))
            elif quiet > 1 and self.state == "connected":
                self._change("silent", "")

    def _change(self, state: LinkState, detail: str) -> None:
        if (state, detail) != (self.state, self._detail) or state == "connected":
            self.state, self._detail = state, detail
            self._listener.link_changed(state, detail)

    # --- calls

    async def call(self, method: str, /, **params: Any) -> Any:
        """Calls a method of the guardian's public API (docs/PROTOCOL.md).

        Raises:
            OError: What the guardian answered, by its exit code; UnreachableError if the connection is down or ends.
        """
        if self._wire is not None and self.state == "silent":
            raise UnreachableError("the guardian does not answer", hint="the screen goes on when it does")
        if self._wire is None or self.state != "connected":
            raise UnreachableError("there is no guardian at the moment", hint="it is being looked for")
        number = next(self._ids)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self._wire.send(messages.Call(id=number, method=method, params=params))
            return await future
        except ConnectionError as error:
            raise UnreachableError(str(error)) from error
        finally:
            self._waiting.pop(number, None)

    def _fail_calls(self, why: str) -> None:
        for future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(UnreachableError(why))
        self._waiting.clear()

    # --- what arrives

    def _received(self, found: list[messages.Message]) -> None:
        self._heard += 1
        if self.state == "silent":
            self._change("connected", "")
        notices: list[messages.Notice] = []
        for message in found:
            if isinstance(message, messages.Notice):
                if message.topic == "stopping":
                    self.stopping = str(message.data.get("reason") or "the guardian stops")
                notices.append(message)
                continue
            if notices:
                self._listener.link_notices(notices)
                notices = []
            self._one(message)
        if notices:
            self._listener.link_notices(notices)

    def _one(self, message: messages.Message) -> None:
        match message:
            case messages.Welcome():
                self._welcomed(message)
            case messages.StateSnapshot():
                self._listener.link_snapshot(message)
                if self.state != "connected":
                    self._change("connected", "")
                self._ready.set()
            case messages.Result():
                self._answered(message)
            case _:
                # a guardian newer than this view may say more than it knows: that is no reason to fall silent
                return

    def _welcomed(self, welcome: messages.Welcome) -> None:
        if welcome.protocol != PROTOCOL:
            self._change(
                "refused",
                f"the guardian speaks protocol {welcome.protocol}, this view {PROTOCOL}: end it with o-tui stop",
            )
            if self._wire is not None:
                self._wire.close()
            return
        self.welcome = welcome
        self.stopping = ""

    def _answered(self, result: messages.Result) -> None:
        future = self._waiting.get(result.id)
        if future is None or future.done():
            return
        if result.ok:
            future.set_result(result.value)
        else:
            future.set_exception(CODES.get(result.code, OError)(result.error, hint=result.hint))

    def _lost(self, error: Exception | None) -> None:
        if error is not None and self.state != "refused":
            self._detail = str(error)
        self._gone.set()
        self._ready.set()
