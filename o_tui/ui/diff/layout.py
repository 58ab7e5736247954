"""From diffs to rows: how much context, unified or side by side. Pure; the view only draws rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

from o_tui.ui.diff.parse import FileDiff, Hunk, Line

RowKind = Literal["file", "hunk", "line", "note"]
DEFAULT_CONTEXT = 3


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the view. A `line` row has a left and/or a right line; unified rows have only `left`.

    `file` and `hunk` are indexes (`hunk` counts within the file, -1 above the first); `left_index` and `right_index`
    are the positions of the lines on their side of the hunk, for the highlighter (-1: not on that side).
    """

    kind: RowKind
    file: int
    hunk: int
    text: str = ""
    left: Line | None = None
    right: Line | None = None
    left_index: int = -1
    right_index: int = -1


def with_context(diff: FileDiff, context: int, source: str | None = None) -> FileDiff:
    """The same changes with `context` unchanged lines around each; more than the diff has needs the old `source`.

    A source that does not agree with the diff is not used: what is judged is the diff.
    """
    if context == DEFAULT_CONTEXT and source is None:
        return diff
    known = {line.old: line.text for hunk in diff.hunks for line in hunk.lines if line.kind == "context"}
    if source is not None and _agrees(diff, lines := source.split("\n")):
        # the text behind the last \n is not a line
        end = len(lines) - (not lines[-1])
        known = dict(enumerate(lines[:end], 1))
    regrouped = FileDiff(diff.old_path, diff.new_path, [], diff.notes)
    regrouped.hunks = list(_regroup(diff, context, known))
    return regrouped


def _agrees(diff: FileDiff, source: Sequence[str]) -> bool:
    return all(
        line.old <= len(source) and source[line.old - 1] == line.text
        for hunk in diff.hunks
        for line in hunk.lines
        if line.old
    )


@dataclass(slots=True)
class _Change:
    """Neighbouring added and removed lines; `old`, `new`: the numbers of the first line behind them on each side."""

    section: str
    lines: list[Line]
    old_start: int
    new_start: int
    old: int
    new: int


def _changes(diff: FileDiff) -> Iterator[_Change]:
    for hunk in diff.hunks:
        old, new = hunk.old_start, hunk.new_start
        change: _Change | None = None
        for line in hunk.lines:
            if line.kind == "context":
                old, new = line.old + 1, line.new + 1
                if change is not None:
                    yield change
                change = None
                continue
            change = change or _Change(hunk.section, [], old, new, old, new)
            change.lines.append(line)
            old, new = max(old, line.old + 1), max(new, line.new + 1)
            change.old, change.new = old, new
        if change is not None:
            yield change


def _regroup(diff: FileDiff, context: int, known: Mapping[int, str]) -> Iterator[Hunk]:
    lines: list[Line] = []
    start = (1, 1)
    previous: _Change | None = None
    for change in _changes(diff):
        shift = change.new_start - change.old_start
        gap = change.old_start - (previous.old if previous else 1)
        above = _reach(known, change.old_start - 1, -1, min(context, gap))
        below = _reach(known, previous.old, 1, min(context, gap)) if previous else 0
        if previous and below + above >= gap:
            lines += _context(known, previous.old, gap, shift)
        else:
            if previous:
                yield Hunk(previous.section, (*lines, *_context(known, previous.old, below, shift)), *start)
            start = (change.old_start - above, change.new_start - above)
            lines = _context(known, change.old_start - above, above, shift)
        lines += change.lines
        previous = change
    if previous:
        below = _reach(known, previous.old, 1, context)
        lines += _context(known, previous.old, below, previous.new - previous.old)
        yield Hunk(previous.section, tuple(lines), *start)


def _reach(known: Mapping[int, str], number: int, step: int, limit: int) -> int:
    """How many lines from `number` on are known without a hole."""
    found = 0
    while found < limit and number + found * step in known:
        found += 1
    return found


def _context(known: Mapping[int, str], start: int, amount: int, shift: int) -> list[Line]:
    return [Line("context", known[number], number, number + shift) for number in range(start, start + amount)]


def rows(files: Sequence[FileDiff], *, split: bool) -> list[Row]:
    """All rows of all files, headers between them."""
    made: list[Row] = []
    for number, diff in enumerate(files):
        renamed = diff.old_path and diff.new_path and diff.old_path != diff.new_path
        made.append(Row("file", number, -1, f"{diff.old_path} -> {diff.new_path}" if renamed else diff.path))
        made += [Row("note", number, -1, note) for note in diff.notes]
        for index, hunk in enumerate(diff.hunks):
            made.append(Row("hunk", number, index, hunk.title))
            made += _split(hunk, number, index) if split else _unified(hunk, number, index)
    return made


def _unified(hunk: Hunk, file: int, index: int) -> Iterator[Row]:
    old = new = 0
    for line in hunk.lines:
        if line.kind == "note":
            yield Row("note", file, index, line.text.strip())
            continue
        # a context line is highlighted as a line of the new side
        position = old if line.kind == "removed" else new
        yield Row("line", file, index, left=line, left_index=position)
        old, new = old + bool(line.old), new + bool(line.new)


def _split(hunk: Hunk, file: int, index: int) -> Iterator[Row]:
    old = new = 0
    removed: list[tuple[Line, int]] = []
    added: list[tuple[Line, int]] = []

    def flush() -> Iterator[Row]:
        for left, right in zip_longest(removed, added, fillvalue=(None, -1)):
            yield Row("line", file, index, "", left[0], right[0], left[1], right[1])
        removed.clear()
        added.clear()

    for line in hunk.lines:
        if line.kind == "removed":
            removed.append((line, old))
        elif line.kind == "added":
            added.append((line, new))
        else:
            yield from flush()
            if line.kind == "note":
                yield Row("note", file, index, line.text.strip())
            else:
                yield Row("line", file, index, "", line, line, old, new)
        old, new = old + bool(line.old), new + bool(line.new)
    yield from flush()


def common_ends(old: str, new: str) -> tuple[int, int]:
    """Lengths of the equal start and the equal end of two lines: what is between is what changed."""
    limit = min(len(old), len(new))
    start = 0
    while start < limit and old[start] == new[start]:
        start += 1
    end = 0
    while end < limit - start and old[-1 - end] == new[-1 - end]:
        end += 1
    return start, end
