"""Texts that a regular expression of the source matches: what is parsed with it is made of them."""

from __future__ import annotations

import importlib
import random
import re
from collections.abc import Sequence
from typing import Any

_COUNT = 5
_LONGEST = 60
_STEPS = 400
"""Parts of a pattern that are written for one text: one of the candidate's may ask for thousands of millions."""
_CATEGORIES = {"DIGIT": "07", "SPACE": " ", "WORD": "aB_3", "NOT_DIGIT": "a-", "NOT_SPACE": "a.", "NOT_WORD": " -."}


def examples(pattern: str) -> list[str]:
    """Some short texts, the same each time; none where it is no pattern, or what it wants is not understood."""
    parser: Any = importlib.import_module("re._parser")
    random_ = random.Random(pattern)
    try:
        parsed = parser.parse(pattern)
        made = [_Writer(random_).text(parsed) for _ in range(_COUNT)]
    except (re.error, RecursionError, OverflowError, ValueError):
        return []
    return [text for text in dict.fromkeys(made) if 0 < len(text) <= _LONGEST]


class _Writer:
    """Writes one text."""

    def __init__(self, random_: random.Random) -> None:
        self._random = random_
        self._steps = 0

    def text(self, parts: Sequence[Any]) -> str:
        """What some parts of a parsed pattern match; raises OverflowError where that is too much."""
        self._steps += 1 + len(parts)
        if self._steps > _STEPS:
            raise OverflowError("a pattern of too much")
        return "".join(self._part(str(name), given) for name, given in parts)

    def _part(self, name: str, given: Any) -> str:
        if name == "LITERAL":
            return chr(given)
        if name in ("ANY", "NOT_LITERAL"):
            return self._random.choice([sign for sign in "a b<\"'" if name == "ANY" or ord(sign) != given])
        if name == "IN":
            return self._one_of(given)
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            return self._repeated(*given)
        if name == "SUBPATTERN":
            return self.text(given[-1])
        if name == "ATOMIC_GROUP":
            return self.text(given)
        if name == "BRANCH":
            return self.text(self._random.choice(given[1]))
        return ""  # where it stands, what is beside it, what came before: nothing to write

    def _repeated(self, least: Any, most: Any, inside: Any) -> str:
        if int(least) > _LONGEST:
            raise OverflowError("a pattern of too much")
        times = self._random.randint(int(least), min(int(most), int(least) + 2))
        return "".join(self.text(inside) for _ in range(times))

    def _one_of(self, given: Any) -> str:
        if str(given[0][0]) == "NEGATE":
            return self._random.choice("a ")
        name, what = self._random.choice(given)
        if str(name) == "RANGE":
            return chr(self._random.randint(what[0], what[1]))
        if str(name) == "CATEGORY":
            return self._random.choice(_CATEGORIES.get(str(what).removeprefix("CATEGORY_"), "a"))
        return chr(what)
