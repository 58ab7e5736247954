"""A kernel without Landlock, seccomp, user namespaces or rights in them, for tests: who asks gets an error."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Sequence

_MOUNTING = {"open_tree": 428, "move_mount": 429, "mount_setattr": 442}
NUMBERS = {
    "x86_64": {
        "landlock_create_ruleset": 444, "landlock_restrict_self": 446, "seccomp": 317, "unshare": 272, "mount": 165,
        "pivot_root": 155, "umount2": 166, "setresuid": 117, "capset": 126, "close_range": 436, **_MOUNTING,
    },
    "aarch64": {
        "landlock_create_ruleset": 444, "landlock_restrict_self": 446, "seccomp": 277, "unshare": 97, "mount": 40,
        "pivot_root": 41, "umount2": 39, "setresuid": 147, "capset": 91, "close_range": 436, **_MOUNTING,
    },
}  # fmt: skip
ABSENT = ("landlock_create_ruleset", "seccomp", "close_range")
"""Calls that an older kernel does not have; the others are refused, as by AppArmor or a container."""
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NEW_LISTENER = 8
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2


def hide(calls: Sequence[str]) -> None:
    """From here on these system calls fail, for good; with a `!` behind it one does nothing, and says that it did."""
    numbers = NUMBERS[os.uname().machine]
    steps = [(_LOAD, 0, 0, 0)]
    for call in calls:
        number = 0 if call.endswith("!") else errno.ENOSYS if call in ABSENT else errno.EPERM
        steps += [(_EQUAL, 0, 1, numbers[call.rstrip("!")]), (_RETURN, 0, 0, _ERRNO | number)]
    steps.append((_RETURN, 0, 0, _ALLOW))
    libc = ctypes.CDLL(None, use_errno=True)
    program, _kept = _program(steps)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(_PR_SET_SECCOMP, _FILTER, program, 0, 0):
        raise OSError(ctypes.get_errno(), "nothing can be hidden here")


def listen() -> None:
    """From here on somebody listens to the calls of this process (and hears none), as a container's manager does."""
    libc = ctypes.CDLL(None, use_errno=True)
    program, _kept = _program([(_RETURN, 0, 0, _ALLOW)])
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    listener = libc.syscall(NUMBERS[os.uname().machine]["seccomp"], 1, _NEW_LISTENER, program)
    if listener < 0:
        raise OSError(ctypes.get_errno(), "nobody can listen here")
    os.set_inheritable(listener, True)


def _program(steps: Sequence[tuple[int, int, int, int]]) -> tuple[ctypes.Array[ctypes.c_char], object]:
    """A filter as the kernel takes it, and what must live as long."""
    packed = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    return ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(packed))), packed
