"""The prober's process (probing.py), as who asks it has it: started before it is needed, killed where it is not."""

from __future__ import annotations

import subprocess

import msgspec

from o_tui.guardian.evolving.own_program import ENVIRONMENT, command_of
from o_tui.guardian.evolving.probe_orders import Order, Report
from o_tui.protocol.errors import OError
from o_tui.protocol.safe_text import safe

_SAID_CHARS = 200


class Prober:
    """One process for one order. To be left by `with`: then it has ended."""

    def __init__(self) -> None:
        command = command_of("o_tui.guardian.evolving.probing")
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=ENVIRONMENT)
        self._killed = False

    def __enter__(self) -> Prober:
        return self

    def __exit__(self, *_error: object) -> None:
        self.kill()
        self._process.communicate()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def kill(self) -> None:
        """Ends it; from any thread. Who waits for its report is told."""
        self._killed = True
        self._process.kill()

    def ask(self, order: Order, timeout_s: float) -> Report | None:
        """Its report; None: it was killed. Waits, so not on a loop.

        Raises:
            TimeoutError: It did not end in time; it is killed.
            OError: It failed; the text is its last word.
        """
        try:
            out, said = self._process.communicate(msgspec.msgpack.encode(order), timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            self._process.kill()
            raise TimeoutError("the prober did not end in time") from error
        if self._killed:
            return None
        try:
            return msgspec.msgpack.decode(out, type=Report)
        except msgspec.DecodeError as error:
            last = said.decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise OError(f"the prober failed: {safe(last[:_SAID_CHARS])}") from error
