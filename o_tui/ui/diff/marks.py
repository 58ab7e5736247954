"""What an operator has marked in a diff: accepted or rejected, line by line. A mark decides nothing; it is kept until
the whole is asked for. Lines are named by their numbers, so that more context or another layout loses no mark.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from o_tui.ui.diff.parse import FileDiff, Line

Mark = Literal["accepted", "rejected"]
State = Literal["open", "accepted", "rejected", "partly"]


@dataclass(frozen=True, slots=True)
class LineKey:
    """One changed line: `sign` is + or -, `number` its number on the side that it is on."""

    path: str
    sign: Literal["+", "-"]
    number: int

    def text(self) -> str:
        """`recall.py:+14`, as the guardian is told."""
        return f"{self.path}:{self.sign}{self.number}"


def key_of(diff: FileDiff, line: Line | None) -> LineKey | None:
    """The key of a line; None: it did not change."""
    if line is None or line.kind not in ("added", "removed"):
        return None
    return LineKey(diff.path, "+", line.new) if line.kind == "added" else LineKey(diff.path, "-", line.old)


def keys_of(diff: FileDiff, lines: Iterable[Line | None]) -> list[LineKey]:
    """The keys of those lines that changed, each once."""
    found = (key_of(diff, line) for line in lines)
    return list(dict.fromkeys(key for key in found if key is not None))


class Marks:
    """The marks of one diff."""

    def __init__(self, files: Sequence[FileDiff] = ()) -> None:
        self._hunks = [keys_of(diff, hunk.lines) for diff in files for hunk in diff.hunks]
        self._marks: dict[LineKey, Mark] = {}
        self._before: list[dict[LineKey, Mark]] = []

    def __bool__(self) -> bool:
        """Whether anything is marked."""
        return bool(self._marks)

    def get(self, key: LineKey | None) -> Mark | None:
        """A line's mark."""
        return self._marks.get(key) if key is not None else None

    def put(self, keys: Sequence[LineKey], mark: Mark) -> None:
        """Marks lines; those that all have this mark already lose it."""
        if not keys:
            return
        self._before.append(dict(self._marks))
        if all(self._marks.get(key) == mark for key in keys):
            for key in keys:
                del self._marks[key]
        else:
            self._marks.update(dict.fromkeys(keys, mark))

    def undo(self) -> bool:
        """Takes the last marking back; False: there is none."""
        if not self._before:
            return False
        self._marks = self._before.pop()
        return True

    def state(self, keys: Sequence[LineKey]) -> State:
        """What lines that belong together have in common."""
        found = {self._marks.get(key) for key in keys}
        if len(found) > 1:
            return "partly"
        only = found.pop() if found else None
        return only or "open"

    def counts(self) -> dict[State, int]:
        """How many hunks are in which state."""
        counted: dict[State, int] = {"accepted": 0, "partly": 0, "rejected": 0, "open": 0}
        for keys in self._hunks:
            counted[self.state(keys)] += 1
        return counted

    @property
    def open(self) -> int:
        """Changed lines without a mark."""
        return sum(key not in self._marks for keys in self._hunks for key in keys)

    @property
    def accepted(self) -> list[LineKey]:
        """Lines that are to stay, in the order of the diff."""
        return [key for keys in self._hunks for key in keys if self._marks.get(key) == "accepted"]

    @property
    def whole(self) -> bool:
        """Whether every line is accepted: then it is the candidate as it is."""
        return all(self._marks.get(key) == "accepted" for keys in self._hunks for key in keys)
