"""Runs a program as an ordinary user, where the tests themselves run as root.

    python -m tests.support.ordinary UID PROGRAM [ARGUMENT ...]

Some machines keep `/` closed to everybody but root; so it gets a root of its own in which every folder of the real one
stands, open to all.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

SYSTEM_PYTHON = "/usr/bin/python3"
USER = 64_123
_NEWNS, _BIND, _REC, _PRIVATE = 0x20000, 4096, 0x4000, 1 << 18
_libc = ctypes.CDLL(None, use_errno=True)


def _must(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _open_root() -> None:
    _must(_libc.unshare(_NEWNS))
    _must(_libc.mount(None, b"/", None, _REC | _PRIVATE, None))
    folders = [path for path in Path("/").iterdir() if path.is_dir()]
    place = Path("/mnt")
    _must(_libc.mount(b"o", b"/mnt", b"tmpfs", 0, b"mode=0755"))
    for folder in folders:
        target = place / folder.name
        if folder.is_symlink():
            target.symlink_to(folder.readlink())
        elif folder != place:
            target.mkdir()
            _must(_libc.mount(bytes(folder), bytes(target), None, _BIND | _REC, None))
    os.chdir(place)
    _must(_libc.pivot_root(b".", b"."))
    _must(_libc.umount2(b".", 2))
    os.chdir("/")


def become(uid: int) -> None:
    """Root becomes an ordinary user who can walk through `/`, for good."""
    os.umask(0o022)
    _open_root()
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    _must(_libc.prctl(4, 1, 0, 0, 0))  # PR_SET_DUMPABLE: as if the user had started it


if __name__ == "__main__":
    become(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
