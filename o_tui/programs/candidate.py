"""A candidate's process: confined before it reads a byte of the candidate, then it does what it is asked."""

from __future__ import annotations

import gc
import io
import linecache
import os
import random
import signal
import socket
import sys
import traceback
import types
from typing import NoReturn

from o_tui import _native
from o_tui.agent import confinement
from o_tui.programs import orders
from o_tui.programs.calls import Peer
from o_tui.programs.orders import Order

UNCONFINED_STATUS = 70
NAME = "program"
OUTPUT_CHARS = 64 * 1024
_SOCKET_FD = 3


class Sink(io.TextIOBase):
    """What a program prints: the first 64 K characters, the rest goes nowhere."""

    def __init__(self) -> None:
        self._kept: list[str] = []
        self._room = OUTPUT_CHARS

    def write(self, text: str) -> int:
        """Takes a piece."""
        if self._room > 0:
            self._kept.append(text[: self._room])
            self._room -= len(text)
        return len(text)

    def writable(self) -> bool:
        """Always."""
        return True

    def text(self) -> str:
        """What was kept."""
        return "".join(self._kept)


class Program:
    """The candidate's module: loaded once, at the first word."""

    def __init__(self, source: bytes, name: str) -> None:
        self.module = types.ModuleType(NAME)
        self._source = source
        self._name = name
        self._error: BaseException | None = None
        self._loaded = False

    def load(self) -> None:
        """Executes the module, once; raises what it raises, each time."""
        if not self._loaded:
            self._loaded = True
            self.module.__file__ = self._name
            sys.modules[NAME] = self.module
            try:
                self._execute(self.module)
            except Exception as error:  # noqa: BLE001 - a program may raise anything
                self._error = error
        if self._error is not None:
            raise self._error

    def run(self, arguments: list[str], text: str) -> tuple[int, str, str]:
        """Executes it as a script; exit status and what it printed."""
        out, err = Sink(), Sink()
        sys.argv, sys.stdin, sys.stdout, sys.stderr = [self._name, *arguments], io.StringIO(text), out, err
        module = types.ModuleType("__main__")
        module.__file__ = self._name
        sys.modules["__main__"] = module
        status = 0
        try:
            self._execute(module)
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else int(error.code is not None)
        except Exception:  # noqa: BLE001 - a program may raise anything
            err.write(traceback.format_exc())
            status = 1
        return status & 0xFF, out.text(), err.text()

    def _execute(self, module: types.ModuleType) -> None:
        exec(compile(self._source, self._name, "exec", dont_inherit=True), module.__dict__)


def become(
    sock: socket.socket, name: str, cpu_s: int, readable: tuple[str, ...], ring: _native.ViolationRing
) -> NoReturn:
    """Makes this fork a candidate's process: what it runs is the first that it is sent, when it is confined."""
    try:
        confinement.import_only_from(readable)
        tier = confinement.confine(
            "agent",
            readable,
            socket=sock.fileno(),
            cpu_s=cpu_s,
            concurrent=True,
            parent=os.getppid(),
            death_signal=signal.SIGKILL,
            ring=ring,
        )
        if tier == "X":
            os._exit(UNCONFINED_STATUS)
        sock.detach()
        control = socket.socket(fileno=_SOCKET_FD)
        order = orders.receive_alone(control, Order)
        _serve(control, order.source, name, order.seed)
    except BaseException:  # noqa: BLE001 - the process must not go back into the server's frames
        os._exit(1)
    os._exit(0)


def _serve(control: socket.socket, source: bytes, name: str, seed: int) -> None:
    gc.enable()
    sys.stdin, sys.stdout, sys.stderr = io.StringIO(), Sink(), Sink()
    seed_all(seed)
    # what a traceback shows; to look for the file would be to try what is refused
    lines = source.decode("utf-8", "replace").splitlines(keepends=True)
    linecache.cache[name] = (len(source), None, lines, name)
    program = Program(source, name)
    peer = Peer(control, opened=True)
    for given in (program.module, program.load, program.run):
        peer.keep(given)
    peer.serve()


def seed_all(seed: int) -> None:
    """Chance comes out the same for the same seed, in Python and in numpy where it is there."""
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed % (1 << 32))
