"""What a program of many processes uses together: no limit of the kernel's is of more than one process or one file.

Its memory always; where its folder is the machine's (tier B) that too. Both are counted while it runs, so it may be
over for as long as a look takes to come.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from secrets import token_hex

from o_tui.agent import orphans
from o_tui.protocol import refusals
from o_tui.protocol.refusals import Refusal

ROOM_BYTES = 512 << 20
"""What a program's folder holds."""
ROOM_FILES = 65_536
"""And how many files and folders; where the folder is memory, the kernel knows the same number."""
TOGETHER_BYTES = 4 << 30
"""Memory of all its processes, where each may have a gigabyte."""
LOST_BYTES = 4 * ROOM_BYTES
"""A file that has no name any more is not found in the folder: this much less room on the disk ends the program too."""
LOOK_S = 0.1
"""Between two looks; longer where a look takes long."""
_PAGE_BYTES = os.sysconf("SC_PAGESIZE")


class Tally:
    """Counts; `due` is when to ask for `over` again, by the monotonic clock."""

    def __init__(self, folder: str) -> None:
        """`folder` is the program's, and empty."""
        self._folder = folder
        self._free = _free(folder)
        self.due = time.monotonic() + LOOK_S

    def over(self, *, folder: bool) -> Refusal | None:
        """The limit that it is over; `folder`: what it writes is on the machine's disk."""
        started = time.monotonic()
        found = _of_memory() or (self._of_the_disk() if folder else None)
        now = time.monotonic()
        self.due = now + max(LOOK_S, 4 * (now - started))
        return found

    def _of_the_disk(self) -> Refusal | None:
        if self._free - _free(self._folder) > LOST_BYTES:
            return refusals.disk(LOST_BYTES)
        used, files, folders = 0, 0, [self._folder]
        while folders:
            try:
                for entry in os.scandir(folders.pop()):
                    files += 1
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    used += entry.stat(follow_symlinks=False).st_blocks * 512
                    if used > ROOM_BYTES or files > ROOM_FILES:
                        return refusals.disk(ROOM_BYTES, ROOM_FILES)
            except FileNotFoundError:
                continue  # meanwhile
            except OSError:
                return refusals.disk(ROOM_BYTES, ROOM_FILES)  # so deep, or so closed, that it cannot be counted
        return None


def _free(folder: str) -> int:
    about = os.statvfs(folder)
    return about.f_bavail * about.f_frsize


def _of_memory() -> Refusal | None:
    used = 0
    for pid in orphans.below():
        with contextlib.suppress(OSError):  # it has gone
            _all, resident, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_text().split())
            used += max(0, resident - shared) * _PAGE_BYTES
    return refusals.memory(TOGETHER_BYTES, together=True) if used > TOGETHER_BYTES else None


def remove(folder: str) -> None:
    """Removes a folder, whatever was made in it by somebody who has ended: trees of any depth, and closed to us."""
    while entries := list(os.scandir(folder)):
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)  # noqa: PTH108 - there may be thousands
                continue
            os.chmod(entry.path, 0o700)  # noqa: PTH101 - the same
            for inner in os.scandir(entry.path):
                if inner.is_dir(follow_symlinks=False):
                    os.chmod(inner.path, 0o700)  # noqa: PTH101 - else it cannot be moved
                    os.rename(inner.path, os.path.join(folder, token_hex(8)))  # noqa: PTH104, PTH118 - the same
                else:
                    os.unlink(inner.path)  # noqa: PTH108 - the same
            os.rmdir(entry.path)  # noqa: PTH106 - the same
    os.rmdir(folder)  # noqa: PTH106 - the same
