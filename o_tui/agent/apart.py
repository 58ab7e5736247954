"""Processes of a program that see none but one another, and all end when it does, or when its supervisor does.

`confine(apart=True)` gives the next process that is made a process namespace, whose first process it is. That one is
ours: the program is its child, so that signals act on the program as on any other, and nothing that the program does
(a death signal undone, a session of its own, forks without end) keeps a process of it alive.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import NoReturn

from o_tui import _native

FAILED_STATUS = 70
_STATUS_BYTES = 4


def run(work: Callable[[], int]) -> NoReturn:
    """Does `work`, whose result is an exit code, in a process of the new namespace; then ends as that one ended."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            _be_first(theirs, work)
        except OSError as error:  # one process more than there may be
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(FAILED_STATUS)
    theirs.close()
    said = ours.recv(_STATUS_BYTES)
    os.waitpid(pid, 0)  # the kernel lets it go when all the others have ended
    status = os.waitstatus_to_exitcode(int.from_bytes(said, "little")) if said else -signal.SIGKILL
    if status < 0:
        if status != -signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


def _be_first(ours: socket.socket, work: Callable[[], int]) -> None:
    """The first process: it starts the program, and waits for whoever ends until that one has."""
    _native.set_parent_death_signal(signal.SIGKILL)
    ours.setblocking(False)
    try:
        ours.recv(1)
    except BlockingIOError:
        pass
    else:
        return  # its parent had ended before
    program = os.fork()
    if program == 0:
        ours.close()
        os._exit(work())
    ended, status = os.wait()
    while ended != program:
        ended, status = os.wait()
    ours.send(status.to_bytes(_STATUS_BYTES, "little"))
