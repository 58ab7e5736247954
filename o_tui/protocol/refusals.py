"""What the sandbox refused, in words: one line for each thing, the same in a verdict, a row, and on the screen."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import msgspec

Recorded: TypeAlias = tuple[int, str, str, int, str, int]
"""A row of the recording ring: number, layer, call, errno, path, time."""
PATH_CHARS = 120
LIMIT_SIGNALS: Mapping[int, tuple[str, str]] = {
    signal.SIGSYS: ("seccomp", "a forbidden system call (SIGSYS)"),
    signal.SIGXCPU: ("limits", "CPU time (SIGXCPU)"),
    signal.SIGXFSZ: ("limits", "file size (SIGXFSZ)"),
}
"""Signals by which only a limit ends a process."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was refused.

    Attributes:
        layer: seccomp, landlock, limits or namespaces.
        what: The system call, with the path where there was one; or the limit. Untrusted text.
        count: How often.
    """

    layer: str
    what: str
    count: int = 1


def refusals(recorded: Iterable[Recorded], status: int | None = None) -> list[Refusal]:
    """What the ring recorded, and what an exit status says (negative: a signal): each thing once, in order."""
    counts: dict[tuple[str, str], int] = {}
    killed = False
    for _number, layer, call, errno, path, _time_ns in recorded:
        key = (layer, f"{call} {path[:PATH_CHARS]}".rstrip())
        counts[key] = counts.get(key, 0) + 1
        killed = killed or errno == 0
    ending = LIMIT_SIGNALS.get(-status) if status is not None else None
    # a call that was killed for it is in the ring by its name
    if ending is not None and not (killed and ending[0] == "seccomp"):
        counts[ending] = counts.get(ending, 0) + 1
    return [Refusal(layer=layer, what=what, count=count) for (layer, what), count in counts.items()]


def wall_clock(limit_s: float) -> Refusal:
    """It did not end in time."""
    return Refusal(layer="limits", what=f"wall clock {limit_s:g} s")


def memory(limit_bytes: int, *, together: bool = False) -> Refusal:
    """It wanted more memory than it may have, or all its processes had more."""
    whose = " of all its processes" if together else ""
    return Refusal(layer="limits", what=f"memory {limit_bytes >> 20} MiB{whose}")


def disk(limit_bytes: int, limit_files: int = 0) -> Refusal:
    """It filled its folder."""
    files = f" or {limit_files} files" if limit_files else ""
    return Refusal(layer="limits", what=f"disk {limit_bytes >> 20} MiB{files}")


def file_size(limit_bytes: int) -> Refusal:
    """It wanted a file to be larger than one may be."""
    return Refusal(layer="limits", what=f"file size {limit_bytes >> 20} MiB")


def summary(found: Iterable[Refusal], most: int = 3) -> str:
    """In a few words: `2 refused: socket, openat /etc/passwd`; `clean` for nothing."""
    return in_words([refusal.what for refusal in found], most)


def in_words(names: Sequence[str], most: int = 3) -> str:
    """The same of names."""
    if not names:
        return "clean"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{len(names)} refused: {', '.join(names[:most])}{more}"
