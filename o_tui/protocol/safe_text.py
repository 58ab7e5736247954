"""Text from outside, and how it may be shown.

Whatever a model, a tool, a genome, a file or another user wrote is `Untrusted`: a class and not a str, so that the
type checker refuses it wherever a str is shown (`Static(row.text)` is an error, `Static(row.text.safe())` is not).
Where the checker sees nothing, in f-strings, str() and format(), it shows its harmless form by itself. The only way
to the bytes as they came is `.raw`, which is for storing, sending and comparing, never for showing.
"""

from __future__ import annotations

from typing import NewType, final

from o_tui import _native

Safe = NewType("Safe", str)
"""Text that may be shown: what `safe` and `safe_line` return. A sink that takes only this cannot leak."""


def safe(text: str | Untrusted, max_chars: int = 0) -> Safe:
    """Text of any number of lines, harmless to show; the same object where nothing had to change.

    Args:
        text: Anything.
        max_chars: The result has at most so many characters, the mark `… (N more)` included; 0 is no limit.
    """
    return Safe(_native.safe_text(_raw(text), max_chars, True))


def safe_line(text: str | Untrusted, limit: int = 200) -> Safe:
    """One line of at most `limit` characters (0: no limit): line feeds become `␊`, tabs a space."""
    return Safe(_native.safe_text(_raw(text), limit, False))


def hidden(text: str | Untrusted) -> list[tuple[int, str]]:
    """What a reviewer would not see: `(index of the character, name)`, in order of the indexes.

    Invisible, bidi and control characters, blanks, piles of marks, and in identifiers the letters that look like
    Latin ones or that a compiler reads as other ones.
    """
    return _native.hidden(_raw(text))


def _raw(text: str | Untrusted) -> str:
    return text.raw if isinstance(text, Untrusted) else text


@final
class Untrusted:
    """A text from outside.

    Attributes:
        raw: As it came. Never show it.
    """

    __slots__ = ("raw",)

    def __init__(self, raw: str) -> None:
        self.raw = raw

    def safe(self, max_chars: int = 0) -> Safe:
        """`safe` of it."""
        return safe(self.raw, max_chars)

    def line(self, limit: int = 200) -> Safe:
        """`safe_line` of it."""
        return safe_line(self.raw, limit)

    def hidden(self) -> list[tuple[int, str]]:
        """`hidden` of it."""
        return hidden(self.raw)

    def __str__(self) -> str:
        return safe(self.raw)

    def __format__(self, spec: str) -> str:
        return format(safe(self.raw), spec)

    def __repr__(self) -> str:
        return f"Untrusted({str(safe_line(self.raw, 80))!r})"

    def __len__(self) -> int:
        return len(self.raw)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Untrusted) and other.raw == self.raw

    def __hash__(self) -> int:
        return hash((Untrusted, self.raw))
