"""The run's end of a fork server: orders go in, answers come out, one evaluation at a time."""

from __future__ import annotations

import contextlib
import math
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import ClassVar

from o_tui.programs import orders
from o_tui.programs.orders import Answer, EndedError, Order, Ready, Setup
from o_tui.protocol.errors import OError, PeerError, UsageError

ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "TZ": os.environ.get("TZ") or ":/etc/localtime",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "PYTHONHASHSEED": "0",
}
"""All that a server, a candidate and an evaluator know of the environment; no key is ever in their memory."""
START_S = 120.0
"""What a server's start may take beside the load of its evaluator."""
DEATHS = 3


class Lane:
    """One server and what it was asked for."""

    module = "o_tui.programs.server"
    environment: ClassVar[Mapping[str, str]] = ENVIRONMENT
    refusal: type[OError] = UsageError
    """What it is when the server will not serve."""

    def __init__(self, setup: Setup, *words: str) -> None:
        self._setup = setup
        self._words = words
        self._asked: dict[int, Order] = {}
        self._deaths = 0
        self.serves = False
        self.depth = Ready().depth
        self._spawn()

    def _spawn(self) -> None:
        self.serves = False
        self._heard_s = time.monotonic()
        self._sock, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                # no -E or -I: they would leave PYTHONHASHSEED out; -P keeps the folder out, the environment is ours
                [sys.executable, "-P", "-s", "-X", "utf8", "-m", self.module, str(theirs.fileno()), *self._words],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                cwd="/",
                start_new_session=True,
            )
        with contextlib.suppress(EndedError):  # seen by whoever waits for it
            orders.send(self._sock, self._setup)

    @property
    def pid(self) -> int:
        """The server's."""
        return self._process.pid

    @property
    def waiting(self) -> int:
        """Orders without an answer."""
        return len(self._asked)

    @property
    def due(self) -> float:
        """By when it must have said something (monotonic, s): else it is frozen."""
        if not self.serves:
            return self._heard_s + self._start_s
        return self._heard_s + self._start_s + self._setup.settings.timeout_s if self._asked else math.inf

    @property
    def _start_s(self) -> float:
        return START_S + self._setup.settings.timeout_s

    def fileno(self) -> int:
        """For `select`: an answer is there."""
        return self._sock.fileno()

    def ready(self, over: float = math.inf) -> bool:
        """Waits until the evaluator is loaded; False: it was not by `over` (monotonic).

        Raises:
            OError: It cannot be (`refusal`); says why.
            PeerError: The server does not start.
        """
        if not self._speaks(min(over, self.due)):
            if over <= self.due:
                return False
            raise PeerError(f"the process that runs programs did not start within {self._start_s:g} s")
        try:
            self._begin()
        except EndedError as error:
            raise PeerError(f"the process that runs programs did not start: {error}") from error
        return True

    def _begin(self) -> None:
        """The server is ready, and is given what was asked for by now."""
        ready, _ = orders.receive(self._sock, Ready)
        if ready.error:
            raise self.refusal(ready.error)
        self.depth, self.serves, self._heard_s = ready.depth, True, time.monotonic()
        for order in self._asked.values():
            orders.send(self._sock, order)

    def _speaks(self, until: float) -> bool:
        left_s = None if until == math.inf else max(0.0, until - time.monotonic())
        return bool(select.select([self._sock], [], [], left_s)[0])

    def submit(self, order: Order) -> None:
        """Asks for an evaluation; what was asked before comes first."""
        if self.serves and not self._asked:
            self._heard_s = time.monotonic()
        self._asked[order.number] = order
        if self.serves:
            with contextlib.suppress(EndedError):  # `answer` sees it
                orders.send(self._sock, order)

    def answer(self) -> Answer | None:
        """Takes what the server says next, and waits for it; None: it is no answer.

        Where the server has died, or is frozen, a new one is started: it gets what was asked for once it is ready.

        Raises:
            OError: The new one does not load the evaluator (`refusal`).
            PeerError: It dies again and again.
        """
        if not self._speaks(self.due):
            self._process.kill()  # the socket's end is seen at once
        try:
            if not self.serves:
                self._begin()
                return None
            found = self._receive()
        except EndedError as error:
            self._again(error)
            return None
        self._heard_s = time.monotonic()
        if found is not None:
            self._deaths = 0
            self._asked.pop(found.number, None)
        return found

    def _receive(self) -> Answer | None:
        return orders.receive(self._sock, Answer)[0]

    def _again(self, error: EndedError) -> None:
        self._deaths += 1
        if self._deaths > DEATHS:
            raise PeerError(f"the process that runs programs has died {self._deaths} times: {error}")
        self.close()
        self._spawn()

    def close(self) -> None:
        """Ends the server, which ends all of its own; it is killed if it does not."""
        self._sock.close()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def modules_of(sources: Sequence[bytes]) -> tuple[str, ...]:
    """What sources import at the top: to be imported once, before all forks."""
    import ast

    found: dict[str, None] = {}
    for source in sources:
        for node in ast.parse(source).body:
            if isinstance(node, ast.Import):
                found |= dict.fromkeys(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                found[node.module] = None
    return tuple(found)
