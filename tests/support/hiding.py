"""A kernel without Landlock, seccomp or user namespaces, for tests: who asks for them gets an error."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Sequence

NUMBERS = {
    "x86_64": {"landlock_create_ruleset": 444, "seccomp": 317, "unshare": 272},
    "aarch64": {"landlock_create_ruleset": 444, "seccomp": 277, "unshare": 97},
}
ERRORS = {"landlock_create_ruleset": errno.ENOSYS, "seccomp": errno.ENOSYS, "unshare": errno.EPERM}
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NEW_LISTENER = 8
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2


def hide(calls: Sequence[str]) -> None:
    """From here on these system calls fail, for good."""
    numbers = NUMBERS[os.uname().machine]
    steps = [(_LOAD, 0, 0, 0)]
    for call in calls:
        steps += [(_EQUAL, 0, 1, numbers[call]), (_RETURN, 0, 0, _ERRNO | ERRORS[call])]
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
