"""Names of people, as they are written and as they are ordered."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_NUMBERS = re.compile(r"(\d+)")


def key(name: str) -> str:
    """What two ways to write the same name share."""
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


def same(first: str, second: str) -> bool:
    return key(first) == key(second)


def natural(text: str) -> list[tuple[int, int, str]]:
    """For sorting: `file 9` before `file 10`."""
    parts = []
    for part in _NUMBERS.split(text):
        if part.isdecimal():
            parts.append((0, int(part), ""))
        elif part:
            parts.append((1, 0, part.lower()))
    return parts


def by_points(people: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Most points first; who has as many stays in the order given."""
    return sorted(people, key=lambda person: -person[1])


def initials(name: str) -> str:
    """`Ada King Lovelace` -> `A. K. L.`"""
    return " ".join(f"{word[0].upper()}." for word in name.split())


def shorten(name: str, limit: int = 12) -> str:
    """Cut to the limit, the last place a dot-dot-dot."""
    if limit < 1:
        raise ValueError("no room")
    return name if len(name) <= limit else name[: limit - 1] + "…"


def first_of_each(names: Iterable[str]) -> dict[str, str]:
    """The first way that each name is written, in the order of appearance."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(key(name), name)
    return found


def share(names: Iterable[str]) -> tuple[int, int]:
    """How many names there are, and how many of them are different."""
    given = list(names)
    return len(given), len({key(name) for name in given})
