"""The run's end of a fork server: orders go in, answers come out, one evaluation at a time."""

from __future__ import annotations

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
        self.depth = Ready().depth
        self._spawn()

    def _spawn(self) -> None:
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
        orders.send(self._sock, self._setup)

    @property
    def pid(self) -> int:
        """The server's."""
        return self._process.pid

    @property
    def waiting(self) -> int:
        """Orders without an answer."""
        return len(self._asked)

    def fileno(self) -> int:
        """For `select`: an answer is there."""
        return self._sock.fileno()

    def ready(self, over: float = math.inf) -> bool:
        """Waits until the evaluator is loaded; False: it was not by `over` (monotonic).

        Raises:
            OError: It cannot be (`refusal`); says why.
            PeerError: The server does not start.
        """
        limit_s = START_S + self._setup.settings.timeout_s
        left_s = over - time.monotonic()
        if not select.select([self._sock], [], [], max(0.0, min(limit_s, left_s)))[0]:
            if left_s < limit_s:
                return False
            raise PeerError(f"the process that runs programs did not start within {limit_s:g} s")
        try:
            ready, _ = orders.receive(self._sock, Ready)
        except EndedError as error:
            raise PeerError(f"the process that runs programs did not start: {error}") from error
        if ready.error:
            raise self.refusal(ready.error)
        self.depth = ready.depth
        return True

    def submit(self, order: Order) -> None:
        """Asks for an evaluation; what was asked before comes first."""
        self._asked[order.number] = order
        try:
            orders.send(self._sock, order)
        except EndedError:
            pass  # `answer` sees it

    def answer(self) -> Answer | None:
        """Takes the next answer; None: none yet; where the server had died, a new one begins with what was asked for.

        Raises:
            PeerError: It dies again and again.
        """
        try:
            found = self._receive()
        except EndedError as error:
            self._again(error)
            return None
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
        self.ready()
        for order in self._asked.values():
            orders.send(self._sock, order)

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
