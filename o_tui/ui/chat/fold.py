"""Text that came at once and is too long to be drawn at once: its ends are shown, the middle when it is asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass

SHOWN_LINES, SHOWN_CHARS = 400, 24_000
"""A text up to this size is shown whole, and so much more of a longer one is shown at a time."""
END_LINES, END_CHARS = 60, 6_000
"""What is shown of a longer one's end: that is what is seen first."""
_FENCE = re.compile(r"^ {0,3}(`{3,}(?=[^`\n]*$)|~{3,})([^\n]*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Folded:
    """The parts of a long text. Where a cut goes through a fenced program, the later part repeats its first line."""

    start: str
    middle: str
    end: str


def fold(text: str, *, markdown: bool = True) -> Folded | None:
    """The parts of a text; None: it is short enough to be shown whole."""
    if _fits(text):
        return None
    start, rest = shown(text, markdown=markdown)
    cut = max(len(rest) - END_CHARS, 0)
    at = len(rest)
    for _ in range(END_LINES):
        found = rest.rfind("\n", cut, at)
        if found < 0:
            break
        at = found
    at = at + 1 if at < len(rest) else cut
    return Folded(start, rest[:at], _again(rest[:at], markdown) + rest[at:])


def shown(text: str, *, markdown: bool = True) -> tuple[str, str]:
    """What is shown next of a text, and what is left then; left is nothing where it fits."""
    if _fits(text):
        return text, ""
    at = 0
    for _ in range(SHOWN_LINES // 2):
        found = text.find("\n", at, SHOWN_CHARS // 2)
        if found < 0:
            break
        at = found + 1
    at = at or text.rfind(" ", 0, SHOWN_CHARS // 2) + 1 or SHOWN_CHARS // 2
    return text[:at], _again(text[:at], markdown) + text[at:]


def _fits(text: str) -> bool:
    return len(text) <= SHOWN_CHARS and text.count("\n") <= SHOWN_LINES


def _again(before: str, markdown: bool) -> str:
    """The line that opens the fenced program that a text ends in; empty: it ends in none."""
    opened = closing = ""
    for found in _FENCE.finditer(before) if markdown else ():
        mark, words = found.groups()
        if not opened:
            opened, closing = found[0], mark
        elif mark.startswith(closing) and not words.strip():
            opened = ""
    return opened and opened + "\n"
