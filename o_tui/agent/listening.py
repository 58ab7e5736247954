"""Who listens to the refusals of a tool or a build: the kernel asks, this records the call and has it fail.

An instance records its own refusals in a handler of SIGSYS; a program that is exec'd has no handler
(rust/core/src/sandbox/listener.rs).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Iterable

from o_tui import _native

STOP_S = 10.0
"""Who cannot be stopped by then is killed as he is."""
STILL = "TDZX"
"""States of processes that are stopped, cannot be, or have ended."""


class Listener:
    """The supervisor's end. `fd` has something to read when `read` is to be called."""

    def __init__(self, ring: _native.ViolationRing) -> None:
        """Records into `ring`; `theirs` is for the process that is confined."""
        self._ring = ring
        self._ours, self.theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._asks = -1
        self._in_force = False
        self._poll = select.epoll()
        self._poll.register(self._ours, select.EPOLLIN)
        self.fd = self._poll.fileno()

    @property
    def heard(self) -> bool:
        """The kernel asks; False: nobody may listen on this machine, and refusals have no record."""
        return self._asks >= 0

    def read(self) -> bool:
        """Takes what is there. There may always be more."""
        for descriptor, event in self._poll.poll(0):
            if descriptor != self._asks:
                self._news()
            elif event & select.EPOLLIN:
                # while it was being confined the sandbox tested itself; what is asked now may be later than its end
                self._news()
                self._ring.answer(self._asks, self._in_force)
            else:
                self._poll.unregister(descriptor)  # nobody is left
        return True

    def _news(self) -> None:
        """What the confined process says: the descriptor on which the kernel asks, then that all is put on."""
        if self._in_force:
            return
        try:
            data, descriptors, _flags, _address = socket.recv_fds(self._ours, 1, 1)
        except BlockingIOError:
            return
        for descriptor in descriptors:
            self._asks = descriptor
            self._poll.register(descriptor, select.EPOLLIN)
        if not data:
            self._in_force = True
            self._poll.unregister(self._ours)

    def close(self) -> None:
        """What is still asked is refused by the kernel from here on."""
        self._poll.close()
        self._ours.close()
        self.theirs.close()
        if self.heard:
            os.close(self._asks)


def end_orphans() -> None:
    """Ends whoever a program has left behind: they are below this process (`adopt_orphans`).

    All are stopped before one is killed, since whoever dies makes room for those that fork without end.
    """
    deadline = time.monotonic() + STOP_S
    while (moving := [pid for pid, state in _below().items() if state not in STILL]) and time.monotonic() < deadline:
        _signal(moving, signal.SIGSTOP)
    while found := _below():
        _signal(found, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _below() -> dict[int, str]:
    """The state of every process that descends from this one."""
    children: dict[int, list[tuple[int, str]]] = {}
    for place in os.listdir("/proc"):  # noqa: PTH208 - there may be hundreds, and little time
        if place.isdecimal():
            with contextlib.suppress(OSError), open(f"/proc/{place}/stat", "rb") as stat:  # noqa: PTH123 - the same
                state, parent, *_ = stat.read().rpartition(b")")[2].split()
                children.setdefault(int(parent), []).append((int(place), state.decode()))
    found: dict[int, str] = {}
    parents = [os.getpid()]
    while parents:
        some = children.get(parents.pop(), [])
        found.update(some)
        parents += [pid for pid, _state in some]
    return found
