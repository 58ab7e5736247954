"""The fork server of a run: a clean process that forks the evaluator's process and, for each evaluation, a candidate's.

    python -P -s -X utf8 -m o_tui.programs.server CONTROL_FD

It executes neither program nor evaluator, has no key in its environment and one thread. It says when time is over,
reaps, and leaves nobody behind. When its control socket ends, it ends with all of its own.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple, NoReturn

from o_tui import _native
from o_tui.agent import confinement, fork_hooks, orphans
from o_tui.programs import bundle, candidate, evaluator, orders
from o_tui.programs.candidate import UNCONFINED_STATUS
from o_tui.programs.convention import Result
from o_tui.programs.orders import Answer, EndedError, Order, Ready, Setup
from o_tui.protocol import refusals

GRACE_S = 0.02
"""How long an evaluator has to notice that its candidate was killed."""
LOAD_S = 5.0
"""What an evaluator has at least to be loaded in: a busy machine takes its time to confine a process."""


class Process(NamedTuple):
    """A child, its end of a socket pair here, and a pidfd."""

    pid: int
    pidfd: int
    sock: socket.socket


class Server:
    """The evaluator's process, and one candidate's after the other.

    While one is evaluated the next candidate's process is forked and confined already, before anybody knows what it
    will run: the kernel lets a process wait for some milliseconds while its namespaces are made.
    """

    def __init__(self, control: socket.socket, setup: Setup, folder: str) -> None:
        self._control = control
        self._setup = setup
        self._folder = folder
        self._readable = confinement.readable()
        self._ring = _native.ViolationRing()
        self._seen = 0
        self._host: Process | None = None
        self._next: Process | None = None

    def run(self) -> None:
        """Serves orders until the control socket ends."""
        error = self._start()
        orders.send(self._control, Ready(error=error))
        while not error:
            order, _ = orders.receive(self._control, Order)
            orders.send(self._control, self._evaluate(order))

    def close(self) -> None:
        """Ends all processes."""
        for process in (self._host, self._next):
            if process is not None:
                self._end(process)
        self._sweep()

    # --- the evaluator

    def _start(self) -> str:
        """Forks the evaluator's process; what is wrong with the evaluator, or ""."""
        self._host = host = self._forked(lambda sock: evaluator.become(sock, self._setup, self._folder))
        limit_s = max(self._setup.settings.timeout_s, LOAD_S)
        try:
            if not self._waits(host, time.monotonic() + limit_s):
                self._end(host)
                self._host = None
                return f"the evaluator was not loaded within {limit_s:g} s: it hangs, or its timeout is too short"
            return orders.receive(host.sock, Ready)[0].error
        except EndedError as error:
            status = self._end(host)
            self._host = None
            if status == UNCONFINED_STATUS:
                return "the evaluator cannot be confined on this machine"
            return f"the evaluator's process ended while it was loaded ({error}; status {status})"

    # --- one evaluation

    def _evaluate(self, order: Order) -> Answer:
        started = time.monotonic()
        if self._host is None and (problem := self._start()):
            return Answer(number=order.number, result=Result(error=problem))
        assert self._host is not None
        child = self._ready()
        with child.sock, contextlib.suppress(EndedError):  # it is seen below
            orders.send(child.sock, order)
            orders.send(self._host.sock, order, [child.sock.fileno()])
        self._next = self._candidate()
        result = self._result(self._host, child, started + self._setup.settings.timeout_s)
        status = self._end(child)
        wall_ms = (time.monotonic() - started) * 1000
        if status == UNCONFINED_STATUS:
            result = Result(error="the program cannot be confined on this machine")
        rows = self._ring.read(self._seen)
        self._seen = self._ring.count
        return Answer(
            number=order.number,
            result=result,
            wall_ms=round(wall_ms, 3),
            exit=status,
            refused=tuple(refusals.refusals((row for row in rows if row[4] != self._setup.program), status)),
            left=self._sweep(),
        )

    def _ready(self) -> Process:
        """The candidate's process that waits, or a new one where that has ended."""
        waiting, self._next = self._next, None
        if waiting is not None and select.select([waiting.pidfd], [], [], 0)[0]:
            self._end(waiting)
            waiting = None
        return waiting or self._candidate()

    def _candidate(self) -> Process:
        cpu_s = (int(self._setup.settings.timeout_s) + 2) * (os.cpu_count() or 1)  # it may have threads
        return self._forked(lambda sock: candidate.become(sock, self._setup.program, cpu_s, self._readable, self._ring))

    def _result(self, host: Process, child: Process, deadline: float) -> Result:
        over = Result(error=f"it took more than {self._setup.settings.timeout_s:g} s")
        try:
            if self._waits(host, deadline):
                return orders.receive(host.sock, Result)[0]
            _kill(child.pidfd)
            if self._waits(host, time.monotonic() + GRACE_S):
                orders.receive(host.sock, Result)
                return over
        except EndedError:
            over = Result(error="the evaluator's process ended")
        # also when only time is over: it does not come back from where it is
        status = self._end(host)
        self._host = None
        return over if status == -signal.SIGKILL else Result(error=f"the evaluator's process ended with {status}")

    def _waits(self, host: Process, deadline: float) -> bool:
        """Whether the evaluator speaks (or ends) before a time. Raises EndedError: the run has gone."""
        poll = select.poll()
        poll.register(host.sock, select.POLLIN)
        poll.register(self._control, select.POLLRDHUP)
        while (left := deadline - time.monotonic()) > 0:
            for descriptor, events in poll.poll(left * 1000):
                if descriptor == host.sock.fileno():
                    return True
                if events & (select.POLLRDHUP | select.POLLHUP | select.POLLERR):
                    raise _RunEndedError
        return False

    # --- processes

    def _forked(self, become: object) -> Process:
        ours, theirs = socket.socketpair()
        gc.freeze()
        pid = os.fork()
        if pid == 0:
            try:
                become(theirs)  # type: ignore[operator]
            finally:
                os._exit(1)
        theirs.close()
        return Process(pid, os.pidfd_open(pid), ours)

    def _end(self, process: Process) -> int:
        _kill(process.pidfd)
        _pid, raw = os.waitpid(process.pid, 0)
        os.close(process.pidfd)
        process.sock.close()
        return os.waitstatus_to_exitcode(raw)

    def _sweep(self) -> int:
        """Ends what the evaluator has started and left behind; how many."""
        ours = {process.pid for process in (self._host, self._next) if process is not None}
        return orphans.end(ours) if orphans.seen(ours) else 0


class _RunEndedError(Exception):
    """Nobody waits for an answer any more."""


def _kill(pidfd: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)


def _preload(modules: tuple[str, ...], readable: tuple[str, ...]) -> None:
    """Imports what is installed: once here, for all candidates."""
    for name in modules:
        with contextlib.suppress(Exception):  # what cannot be imported fails where it is used
            spec = importlib.util.find_spec(name.partition(".")[0])
            origin = spec.origin if spec is not None else None
            if origin in ("built-in", "frozen") or (origin or "").startswith(readable):
                importlib.import_module(name)


def main(arguments: list[str]) -> NoReturn:
    """The program."""
    control = socket.socket(fileno=int(arguments[0]))
    control.set_inheritable(False)
    _native.adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    base = Path(tempfile.mkdtemp(prefix="o-run-"))
    base.chmod(0o711)  # the evaluator's process may be another user
    folder = _made(base / "work", 0o700)
    if os.geteuid() == 0:
        os.chown(folder, confinement.NOBODY, confinement.NOBODY)
    server: Server | None = None
    try:
        setup, _ = orders.receive(control, Setup)
        if setup.beside is not None:
            setup = bundle.unpacked(setup, _made(base / "evaluator", 0o755))
        _preload(setup.modules, confinement.readable())
        fork_hooks.lighten()
        gc.collect()
        gc.disable()
        server = Server(control, setup, str(folder))
        server.run()
    except (EndedError, _RunEndedError):
        pass
    finally:
        if server is not None:
            server.close()
        shutil.rmtree(base, ignore_errors=True)
    os._exit(0)


def _made(folder: Path, mode: int) -> Path:
    folder.mkdir()
    folder.chmod(mode)  # whatever the umask
    return folder


if __name__ == "__main__":
    main(sys.argv[1:])
