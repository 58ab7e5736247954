"""Ends whoever a program has left behind: the processes below this one, which adopts them (`_native.adopt_orphans`)."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Collection, Iterable
from pathlib import Path

STOP_S = 10.0
"""Who cannot be stopped by then is killed as he is."""
DEATH_S = 1.0
"""How long a killed process may take to die, on a busy machine, before it is killed once more."""
ENDED = "ZX"
STILL = f"TD{ENDED}"
"""States of processes that are stopped, cannot be, or have ended."""


def seen(spare: Collection[int] = ()) -> bool:
    """A quick look, for who asks again and again: whether there may be somebody to `end`."""
    return any(pid not in spare for pid in _children(os.getpid())) or any(
        _state(pid) not in ENDED for kept in spare for pid in _children(kept)
    )


def end(spare: Collection[int] = ()) -> int:
    """Ends all processes below this one but `spare`, whose own children are not spared; returns how many there were.

    All are stopped before one is killed, since whoever dies makes room for those that fork without end.
    """
    found: set[int] = set()
    deadline = time.monotonic() + STOP_S
    while moving := [pid for pid, state in below(spare).items() if state not in STILL]:
        if time.monotonic() > deadline:
            break
        found.update(moving)
        _signal(moving, signal.SIGSTOP)
    while living := [pid for pid, state in below(spare).items() if state not in ENDED]:
        found.update(living)
        _signal(living, signal.SIGKILL)
        for pid in living:
            _wait(pid)
    for pid in below(spare):
        with contextlib.suppress(ChildProcessError):  # it is somebody else's to ask for
            os.waitpid(pid, os.WNOHANG)
    return len(found)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _wait(pid: int) -> None:
    """Until a killed process has died: not all are our own children."""
    with contextlib.suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        death = select.poll()
        death.register(pidfd, select.POLLIN)
        death.poll(DEATH_S * 1000)
        os.close(pidfd)


def _children(pid: int) -> list[int]:
    """As the kernel lists them at once; while somebody forks or ends one may be left out."""
    found: list[int] = []
    with contextlib.suppress(OSError):  # it has gone
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - twice as quick, and it is asked each time
            with open(f"/proc/{pid}/task/{thread}/children") as file:  # noqa: PTH123 - the same
                found += map(int, file.read().split())
    return found


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0].decode()
    except (OSError, IndexError):
        return ENDED[-1]


def below(spare: Collection[int] = ()) -> dict[int, str]:
    """The state of each process that descends from this one, without `spare`: read from all, so none is left out."""
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
    return {pid: state for pid, state in found.items() if pid not in spare}
