"""Unified diffs: parsed for the Review screen, and named by the SHA-256 of their exact bytes for the approval."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)")
LineKind = Literal["context", "add", "remove"]
_KINDS: dict[str, LineKind] = {" ": "context", "+": "add", "-": "remove"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line; `old` and `new` are its numbers in the two versions (0: not in that one)."""

    kind: LineKind
    text: str
    old: int
    new: int


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines that changed together; `heading` is what git prints behind the @@."""

    old_start: int
    new_start: int
    heading: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class FileDiff:
    """All hunks of one file; an empty path stands for a file that is new or gone."""

    old_path: str
    new_path: str
    hunks: tuple[Hunk, ...]

    @property
    def added(self) -> int:
        """Lines that are new."""
        return sum(line.kind == "add" for hunk in self.hunks for line in hunk.lines)

    @property
    def removed(self) -> int:
        """Lines that are gone."""
        return sum(line.kind == "remove" for hunk in self.hunks for line in hunk.lines)


def digest(diff: str) -> str:
    """SHA-256 of the exact bytes, as hex: what an approval names."""
    return hashlib.sha256(diff.encode("utf-8", "surrogateescape")).hexdigest()


def parse(diff: str) -> list[FileDiff]:
    """A unified diff as data; the counts of each hunk's heading decide where it ends, so content cannot fake one.

    Raises:
        ValueError: A hunk is shorter than its heading says, or has a line that belongs to no version.
    """
    files: list[FileDiff] = []
    old_path = new_path = ""
    hunks: list[Hunk] = []
    lines = diff.split("\n")
    at = 0
    while at < len(lines):
        line = lines[at]
        if line.startswith("--- "):
            if hunks:
                files.append(FileDiff(old_path, new_path, tuple(hunks)))
                hunks = []
            old_path = _path(line, "a/")
        elif line.startswith("+++ "):
            new_path = _path(line, "b/")
        elif match := _HUNK.match(line):
            hunk, at = _hunk(lines, at, match)
            hunks.append(hunk)
            continue
        at += 1
    if hunks:
        files.append(FileDiff(old_path, new_path, tuple(hunks)))
    return files


def _path(line: str, prefix: str) -> str:
    name = line[4:].split("\t")[0]
    return "" if name == "/dev/null" else name.removeprefix(prefix)


def _hunk(lines: list[str], at: int, match: re.Match[str]) -> tuple[Hunk, int]:
    old, new = int(match[1]), int(match[3])
    old_left, new_left = int(match[2] or 1), int(match[4] or 1)
    found: list[Line] = []
    at += 1
    while old_left > 0 or new_left > 0:
        text = lines[at] if at < len(lines) else "?"
        if text.startswith("\\"):  # "\ No newline at end of file"
            at += 1
            continue
        kind = _KINDS.get(text[:1])
        if kind is None:
            raise ValueError(f"line {at + 1} of the diff belongs to no hunk")
        found.append(Line(kind, text[1:], 0 if kind == "add" else old, 0 if kind == "remove" else new))
        if kind != "add":
            old, old_left = old + 1, old_left - 1
        if kind != "remove":
            new, new_left = new + 1, new_left - 1
        at += 1
    return Hunk(int(match[1]), int(match[3]), match[5], tuple(found)), at
