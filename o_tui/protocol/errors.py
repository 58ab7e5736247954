"""The errors that cross a border. Each says what was wrong, what was kept, and what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterable


class OError(Exception):
    """Base of every error that O raises on purpose.

    Attributes:
        code: The exit code that a command ends with (docs/COMMANDS.md).
        hint: What the operator can do, one sentence; may be empty.
    """

    code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(OError):
    """The words of a command or a setting are wrong."""

    code = 2


class NotFoundError(OError):
    """There is nothing by that name."""

    code = 3


class RefusedError(OError):
    """Not allowed: stale, forbidden, unconfined."""

    code = 4


class UnreachableError(OError):
    """The guardian could not be reached or started."""

    code = 5


class PeerError(OError):
    """Something outside failed: a model's endpoint, the disk."""

    code = 69


class BusyError(OError):
    """Another guardian holds the workspace."""

    code = 75


class FrameError(OError):
    """A frame that breaks the rules of docs/PROTOCOL.md; its sender is not heard any more."""

    code = 4


class CorruptError(OError):
    """Stored bytes do not have the digest they should have."""

    code = 1


CODES: dict[int, type[OError]] = {
    cls.code: cls for cls in (OError, UsageError, NotFoundError, RefusedError, UnreachableError, PeerError, BusyError)
}


_NONE_LEFT = ("can't start new thread", f"[Errno {errno.EAGAIN}]")
NONE_LEFT_HINT = "the user has as many processes and threads as he may: raise the limit (ulimit -u), or end some"


def none_left(text: str) -> str:
    """What to do where a failure, in its own words, is that no process or thread could be started; else nothing."""
    return NONE_LEFT_HINT if any(words in text for words in _NONE_LEFT) else ""


def did_you_mean(word: str, known: Iterable[str], otherwise: str | None = None, *, prefix: str = "") -> str:
    """The hint at a wrong name: the nearest one that there is, behind `prefix`; else `otherwise`, else all of them."""
    import difflib  # a mistake may take its time to load, a command may not

    names = list(known)
    if near := difflib.get_close_matches(word, names, 1, 0.5):
        return f"did you mean {prefix}{near[0]}?"
    return f"known: {', '.join(names)}" if otherwise is None else otherwise
