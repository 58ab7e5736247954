"""What the storage found on opening or verifying: never silent, each becomes a row of the event log."""

from __future__ import annotations

import errno
import os
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

QUARANTINE = "quarantine"
"""Folder of the workspace for damaged files: they are renamed into it, never deleted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was not as it should be. `error`: something is lost or damaged; `warning`: it was repaired."""

    kind: str
    text: str
    level: Literal["info", "warning", "error"] = "warning"
    data: dict[str, Any] = field(default_factory=dict)


def quarantine(data: Path, file: Path) -> Path:
    """Renames a damaged file into the quarantine folder of the workspace `data`; returns where it is now."""
    folder = data / QUARANTINE
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / f"{file.name}.{time.time_ns()}"
    file.replace(target)
    sync_folder(folder)
    return target


def keep_bytes(data: Path, name: str, content: bytes) -> Path:
    """Keeps damaged bytes that have no file of their own; returns where."""
    folder = data / QUARANTINE
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / f"{name}.{time.time_ns()}"
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
    return target


def open_file(path: Path) -> IO[bytes]:
    """Opens a file of the workspace to be read; raises OSError also where it is no regular one.

    Nobody writes to a pipe that has got in its place, and a device there has no end.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "Not a file", str(path))
    return os.fdopen(fd, "rb")


def read_file(path: Path) -> bytes:
    """All of such a file."""
    with open_file(path) as file:
        return file.read()


def sync_folder(folder: Path) -> None:
    """Makes renames and new names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
