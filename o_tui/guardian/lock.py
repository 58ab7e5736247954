"""Who is guardian: a POSIX record lock on one file, and the holder's name in it.

A record lock ends with its process, however that ends, so there is no stale lock to judge; and a forked child does
not keep it alive, as it would a flock. Its trap: a process that closes *any* descriptor of the file loses the lock.
So only this module opens it, and in the process that holds it questions are answered from memory.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from o_tui.paths import Paths
from o_tui.protocol.errors import BusyError, PeerError, RefusedError

Placement = Literal["process", "embedded"]
_FLOCK = struct.Struct("@hhqqi")
_held: dict[Path, GuardianLock] = {}
"""The locks of this process: record locks belong to the process, so does this."""


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds the workspace. `epoch` is 0 until the database is open."""

    pid: int
    epoch: int = 0
    placement: Placement = "process"
    since_ns: int = 0

    def __str__(self) -> str:
        where = "inside a screen" if self.placement == "embedded" else "a guardian"
        return f"pid {self.pid} ({where}, epoch {self.epoch})"


@dataclass(slots=True)
class GuardianLock:
    """The lock, held."""

    path: Path
    fd: int
    holder: Holder

    @classmethod
    def acquire(cls, paths: Paths, placement: Placement = "process") -> GuardianLock:
        """Takes the workspace for this process, without waiting.

        Raises:
            BusyError: Another guardian has it; the text names it.
            RefusedError: The lock's file cannot be opened.
            PeerError: The disk takes nothing; the lock is not held.
        """
        path = paths.lock
        if path in _held:
            raise _busy(_held[path].holder)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise RefusedError(f"cannot open {path}: {error.strerror}", hint="see who owns the folder") from error
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            other = _read(fd)
            os.close(fd)
            raise _busy(other) from error
        lock = cls(path, fd, Holder(pid=os.getpid(), placement=placement, since_ns=time.time_ns()))
        try:
            lock._write()
        except OSError as error:
            os.close(fd)
            raise PeerError(f"cannot write {path}: {error.strerror}", hint="free space or mend the disk") from error
        _held[path] = lock
        return lock

    @property
    def held(self) -> bool:
        """Not released yet."""
        return self.fd >= 0

    def set_epoch(self, epoch: int) -> None:
        """Writes the epoch into the file, for whoever asks."""
        self.holder = msgspec.structs.replace(self.holder, epoch=epoch)
        self._write()

    def release(self) -> None:
        """Gives the workspace back; the file stays, empty."""
        if self.held:
            os.ftruncate(self.fd, 0)
            os.close(self.fd)
            self.fd = -1
            _held.pop(self.path, None)

    def _write(self) -> None:
        text = msgspec.json.encode(self.holder) + b"\n"
        os.pwrite(self.fd, text, 0)
        os.ftruncate(self.fd, len(text))


def holder(paths: Paths) -> Holder | None:
    """Who holds the workspace now; None: nobody."""
    if paths.lock in _held:
        return _held[paths.lock].holder
    try:
        fd = os.open(paths.lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, question)[: _FLOCK.size])
        if kind == fcntl.F_UNLCK:
            return None
        written = _read(fd)
        # the kernel's word counts; another pid namespace shows as 0
        return msgspec.structs.replace(written, pid=pid) if pid > 0 else written
    finally:
        os.close(fd)


def _read(fd: int) -> Holder:
    try:
        return msgspec.json.decode(os.pread(fd, 4096, 0), type=Holder)
    except msgspec.DecodeError:
        return Holder(pid=0)  # taken this moment, not written yet


def _busy(other: Holder) -> BusyError:
    return BusyError(
        f"another guardian holds this workspace: {other}",
        hint="attach to it with `o-tui attach`, end it with `o-tui stop`, or choose another with --data-dir",
    )
