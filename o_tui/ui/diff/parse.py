"""Unified diffs as data. Nothing that is in the text is dropped: what is not understood is kept and shown as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

LineKind = Literal["context", "added", "removed", "note"]

_HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)$")
_KINDS: dict[str, LineKind] = {" ": "context", "+": "added", "-": "removed", "\\": "note"}
_HEADERS = ("index ", "old mode", "new mode", "similarity ", "rename ", "copy ", "new file", "deleted file")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a hunk. `old` and `new` are line numbers from 1; 0 where the line is not on that side."""

    kind: LineKind
    text: str
    old: int = 0
    new: int = 0


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines that belong together. `section` is what git writes behind the second `@@`: mostly a function's name.

    `old_start` and `new_start` are the numbers that the next line has on each side where the hunk begins.
    """

    section: str
    lines: tuple[Line, ...]
    old_start: int = 1
    new_start: int = 1

    @property
    def title(self) -> str:
        """`@@ -5,7 +5,8 @@ mutate()`, computed from the lines."""
        old = [line.old for line in self.lines if line.old]
        new = [line.new for line in self.lines if line.new]
        spans = (f"{sign}{side[0] if side else 0},{len(side)}" for sign, side in (("-", old), ("+", new)))
        return f"@@ {' '.join(spans)} @@ {self.section}".rstrip()

    def text(self) -> str:
        """The hunk as diff text again, for copying."""
        signs = {kind: sign for sign, kind in _KINDS.items()}
        return "\n".join([self.title, *(signs[line.kind] + line.text for line in self.lines)]) + "\n"


@dataclass(slots=True)
class FileDiff:
    """What happens to one file. `notes` are header lines that say something: new file, mode, rename, binary."""

    old_path: str
    new_path: str
    hunks: list[Hunk] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        """The path to show: the new one, or the old one of a file that goes."""
        return self.new_path or self.old_path

    @property
    def added(self) -> int:
        """Lines that come."""
        return self._count("added")

    @property
    def removed(self) -> int:
        """Lines that go."""
        return self._count("removed")

    def _count(self, kind: LineKind) -> int:
        return sum(line.kind == kind for hunk in self.hunks for line in hunk.lines)


def parse(text: str) -> list[FileDiff]:
    """Reads a unified diff (git's or plain). Hunks end where their header's counts say, so a removed line that
    looks like a file header stays a removed line. Lines that are no diff at all become notes.
    """
    return list(_Parser(text).files())


class _Parser:
    def __init__(self, text: str) -> None:
        # only \n ends a line of a diff: form feeds and U+2028 are characters of it
        self._lines = text.split("\n")
        if self._lines and not self._lines[-1]:
            self._lines.pop()
        self._at = 0
        self._file: FileDiff | None = None

    def files(self) -> Iterator[FileDiff]:
        while self._at < len(self._lines):
            line = self._lines[self._at]
            following = self._lines[self._at + 1] if self._at + 1 < len(self._lines) else ""
            if line.startswith("diff --git "):
                yield from self._flush()
                old, new = _git_paths(line)
                self._file = FileDiff(old, new)
                self._at += 1
            elif line.startswith("--- ") and following.startswith("+++ "):
                if self._file is None or self._file.hunks:
                    yield from self._flush()
                    self._file = FileDiff("", "")
                self._file.old_path, self._file.new_path = _path(line), _path(following)
                self._at += 2
            elif match := _HUNK.match(line):
                self._current().hunks.append(self._hunk(match))
            else:
                self._other(line)
        yield from self._flush()

    def _current(self) -> FileDiff:
        if self._file is None:
            self._file = FileDiff("", "")
        return self._file

    def _flush(self) -> Iterator[FileDiff]:
        if self._file is not None:
            yield self._file
        self._file = None

    def _other(self, line: str) -> None:
        if line.strip() and not line.startswith("index "):
            self._current().notes.append(line)
        self._at += 1

    def _hunk(self, match: re.Match[str]) -> Hunk:
        old, new = int(match[1]), int(match[3])
        old_left, new_left = (int(text) if text is not None else 1 for text in (match[2], match[4]))
        # "-5,0" means behind line 5
        old, new = old + (old_left == 0), new + (new_left == 0)
        start = (old, new)
        lines: list[Line] = []
        self._at += 1
        while self._at < len(self._lines):
            raw = self._lines[self._at]
            # an editor may have stripped the blank of an empty context line
            kind = _KINDS.get(raw[:1]) if raw else "context"
            if kind == "note" and raw.startswith("\\ "):
                lines.append(Line("note", raw[1:]))
                self._at += 1
                continue
            if kind is None or kind == "note" or (old_left <= 0 and new_left <= 0):
                break
            on_old, on_new = kind != "added", kind != "removed"
            lines.append(Line(kind, raw[1:], old if on_old else 0, new if on_new else 0))
            old, new = old + on_old, new + on_new
            old_left, new_left = old_left - on_old, new_left - on_new
            self._at += 1
        return Hunk(match[5], tuple(lines), *start)


def _path(header: str) -> str:
    # "--- a/genome/core.py\t2025-…": the time behind a tab is not part of the name
    name = header[4:].split("\t")[0].strip().strip('"')
    if name == "/dev/null":
        return ""
    return name[2:] if name[:2] in ("a/", "b/") else name


def _git_paths(header: str) -> tuple[str, str]:
    middle = header[len("diff --git ") :]
    old, separator, new = middle.partition(" b/")
    if not separator:
        return "", middle
    return old.removeprefix("a/"), new
