"""Where an instance gives up what it does not need, before it reads a byte of a genome (rust/core/src/sandbox)."""

from __future__ import annotations

import _thread
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from o_tui import _native
from o_tui.protocol.verdict import Profile

Tier = Literal["A", "B", "C", "X"]
"""A: namespaces and base, B: base (Landlock and seccomp), C: without Landlock, X: not confined."""

PROGRAMS = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/alternatives")
"""What a tool or a build may run, beside what an instance may read."""
NOWHERE = "/dev/null"
"""The one device that a tool or a build may open."""
NOBODY = 65_534
"""Whom root becomes."""
MEMORY_BYTES = 1 << 30
"""What an instance may need beyond what it has when it is forked."""
_MACHINE = platform.machine()
_SHARED = (
    f"/lib/{_MACHINE}-linux-gnu",
    f"/usr/lib/{_MACHINE}-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/usr/share/zoneinfo",
    "/etc/localtime",
    "/etc/ld.so.cache",
)
_START_THREAD = _thread.start_new_thread


def readable() -> tuple[str, ...]:
    """What an instance may read: Python, installed packages, the agent's own modules, shared libraries, time zones.

    Not the rest of O, nor the folder in which it was installed for editing.
    """
    package = Path(__file__).parent.parent
    installed = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    ours = [package / "__init__.py", package / "agent", package / "protocol", _native.__file__]
    found = [os.path.dirname(os.__file__), *installed, *map(str, ours), *_SHARED]  # noqa: PTH120 - a string is wanted
    real = [os.path.realpath(path) for path in found]  # where a module says that it is may go through links
    return tuple(dict.fromkeys(path for path in [*found, *real] if os.path.exists(path)))  # noqa: PTH110 - the same


def tell_of_threads() -> None:
    """Has Python say that a thread is about to be started, as it does by itself from 3.12 on.

    The kernel cannot: around a thread's start all signals are blocked. Where it is said before a fork, each child does
    without pages of its own for it.
    """
    if sys.version_info >= (3, 12) or _thread.start_new_thread is not _START_THREAD:  # it is said already
        return

    def told(function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> int:
        sys.audit("_thread.start_new_thread", function, args, kwargs)
        return _START_THREAD(function, args, kwargs or {})

    _thread.start_new_thread = told
    if (threading := sys.modules.get("threading")) is not None:
        threading._start_new_thread = told  # type: ignore[attr-defined]


def import_only_from(read: tuple[str, ...]) -> None:
    """Importing does not try any more what confinement will refuse.

    Apart from `confine`, so that a process that forks does it once: it writes to a page for each path.
    """
    sys.path[:] = [path for path in sys.path if path.startswith(read)]


def confine(
    profile: Profile,
    read: tuple[str, ...] = (),
    *,
    socket: int | None = None,
    listener: int | None = None,
    write: tuple[str, ...] = (),
    room_bytes: int = 0,
    apart: bool = False,
    files: tuple[str, ...] = (),
    file_bytes: int = 0,
    cpu_s: int = 0,
    concurrent: bool = False,
    parent: int = 0,
    death_signal: int = 0,
    ring: _native.ViolationRing | None = None,
) -> Tier:
    """Confines this process for good; returns the tier that it is under now.

    Args:
        profile: What it is going to be.
        read: What it may read; empty: what `readable` says.
        socket: The descriptor that becomes number 3; all others close. None: 0 to 2 stay.
        listener: A socket to who records the refusals of a tool or a build; closed when all is put on.
        write: Folders that it may write.
        room_bytes: Under tier A their size: they are memory, and gone with the process. 0: they are the machine's.
        apart: Under tier A it is to go on by `apart.run`.
        files: Existing files that it may write.
        file_bytes: Their largest size.
        cpu_s: CPU time; 0: no limit.
        concurrent: An instance that may start threads, and have pairs of sockets.
        parent: The process that must still be its parent; 0: whoever.
        death_signal: What it gets when that one ends.
        ring: Where refusals are recorded.

    Raises:
        ConfinementError: The process must end without having read a genome.
    """
    read = read or readable()
    if ring is not None and not concurrent:
        tell_of_threads()
    return _native.confine(
        profile,
        read=read,
        write=write,
        room_bytes=room_bytes,
        apart=apart,
        files=files,
        socket=socket,
        listener=listener,
        memory_bytes=MEMORY_BYTES,
        cpu_s=cpu_s,
        concurrent=concurrent,
        file_bytes=file_bytes,
        parent=parent,
        death_signal=death_signal,
        ring=ring,
    )
