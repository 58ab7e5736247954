"""Unified diffs: parsed for the Review screen, and named by the SHA-256 of their exact bytes for the approval."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)")
LineKind = Literal["context", "add", "remove"]
_KINDS: dict[str, LineKind] = {" ": "context", "+": "add", "-": "remove"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line; `old` and `new` are its numbers in the two versions (0: not in that one).

    `bare`: no newline ends it, as the last one of a file.
    """

    kind: LineKind
    text: str
    old: int
    new: int
    bare: bool = False

    @property
    def key(self) -> str:
        """What names a changed line within its file: "+12" is new line 12, "-7" was old line 7; empty: unchanged."""
        return {"add": f"+{self.new}", "remove": f"-{self.old}"}.get(self.kind, "")


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
            _bare(found)
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
    if at < len(lines) and lines[at].startswith("\\"):
        _bare(found)
        at += 1
    return Hunk(int(match[1]), int(match[3]), match[5], tuple(found)), at


def _bare(found: list[Line]) -> None:
    if found:
        found[-1] = replace(found[-1], bare=True)


def chosen_keys(file: FileDiff, keep: Sequence[str]) -> frozenset[str]:
    """The changed lines that are meant: keys of lines (with or without "path:" before), "@2" for the whole second hunk.

    Raises:
        ValueError: Nothing in the diff has such a key.
    """
    hunks = [[line.key for line in hunk.lines if line.key] for hunk in file.hunks]
    known = {key for keys in hunks for key in keys}
    chosen: set[str] = set()
    for word in keep:
        key = word.removeprefix(f"{file.new_path or file.old_path}:")
        number = key[1:]
        if key[:1] == "@" and number.isascii() and number.isdigit() and 1 <= int(number) <= len(hunks):
            chosen.update(hunks[int(number) - 1])
        elif key in known:
            chosen.add(key)
        else:
            raise ValueError(f"the diff has no changed line {word[:60]!r}")
    return frozenset(chosen)


def apply_part(base: str, file: FileDiff, chosen: Collection[str]) -> str:
    """The base with only some of the changed lines: all of them make the candidate, none the base, to the byte.

    Args:
        base: The file's text before.
        file: Its diff.
        chosen: Keys of lines.

    Raises:
        ValueError: The diff is not one of `base`.
    """
    lines = base.split("\n")
    bare = lines[-1] != ""
    if not bare:
        lines.pop()
    made: list[tuple[str, bool]] = []
    at = 0
    for hunk in file.hunks:
        start = hunk.old_start - (1 if any(line.old for line in hunk.lines) else 0)
        made += [(text, bare and place == len(lines) - 1) for place, text in enumerate(lines[at:start], at)]
        at = max(at, start)
        for line in hunk.lines:
            if line.kind == "add":
                if line.key in chosen:
                    made.append((line.text, line.bare))
                continue
            if at >= len(lines) or lines[at] != line.text:
                raise ValueError(f"line {at + 1} is not what the diff was made from")
            at += 1
            if line.kind == "context" or line.key not in chosen:
                made.append((line.text, line.bare))
    made += [(text, bare and place == len(lines) - 1) for place, text in enumerate(lines[at:], at)]
    if not made:
        return ""
    return "\n".join(text for text, _bare in made) + ("" if made[-1][1] else "\n")
