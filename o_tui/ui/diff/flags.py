"""Characters that can make code read other than it runs: found in a candidate's added lines, and named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from o_tui.protocol.safe_text import hidden
from o_tui.ui.diff.parse import FileDiff
from o_tui.ui.format import shown


@dataclass(frozen=True, slots=True)
class Flag:
    """One suspicious character of an added line, or of a path (`line` 0)."""

    path: str
    line: int
    column: int
    name: str

    def text(self) -> str:
        """`U+202E RIGHT-TO-LEFT OVERRIDE in core.py:12`."""
        place = f"{shown(self.path)}:{self.line}" if self.line else f"the name {shown(self.path)}"
        return f"{self.name} in {place}"


def find(files: Sequence[FileDiff]) -> list[Flag]:
    """All of them, in the order of the diff. Invisible and bidi characters, controls, and letters that look like
    Latin ones but are not (`o_tui.protocol.safe_text.hidden` says exactly which).
    """
    return list(_find(files))


def _find(files: Sequence[FileDiff]) -> Iterator[Flag]:
    for diff in files:
        yield from _scan(diff.path, diff.path, 0)
        for hunk in diff.hunks:
            for line in hunk.lines:
                if line.kind == "added":
                    yield from _scan(line.text, diff.path, line.new)


def _scan(text: str, path: str, number: int) -> Iterator[Flag]:
    if text.isascii() and text.isprintable():
        return
    for column, name in hidden(text):
        yield Flag(path, number, column, name)
