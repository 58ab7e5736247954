"""Texts that a regular expression of the source matches: what is parsed with it is made of them."""

from __future__ import annotations

import importlib
import random
import re
from typing import Any

_COUNT = 5
_LONGEST = 60
_CATEGORIES = {"DIGIT": "07", "SPACE": " ", "WORD": "aB_3", "NOT_DIGIT": "a-", "NOT_SPACE": "a.", "NOT_WORD": " -."}


def examples(pattern: str) -> list[str]:
    """Some short texts, the same each time; none where it is no pattern, or what it wants is not understood."""
    parser: Any = importlib.import_module("re._parser")
    random_ = random.Random(pattern)
    try:
        parsed = parser.parse(pattern)
        made = ["".join(_made(item, random_) for item in parsed) for _ in range(_COUNT)]
    except (re.error, RecursionError, OverflowError, ValueError):
        return []
    return [text for text in dict.fromkeys(made) if 0 < len(text) <= _LONGEST]


def _made(item: Any, random_: random.Random) -> str:
    name, given = str(item[0]), item[1]
    if name == "LITERAL":
        return chr(given)
    if name in ("ANY", "NOT_LITERAL"):
        return random_.choice([sign for sign in "a b<\"'" if name == "ANY" or ord(sign) != given])
    if name == "IN":
        return _one_of(given, random_)
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        least, most, inside = given
        times = random_.randint(int(least), min(int(most), int(least) + 2))
        return "".join(_made(part, random_) for _ in range(times) for part in inside)
    if name == "SUBPATTERN":
        return "".join(_made(part, random_) for part in given[-1])
    if name == "ATOMIC_GROUP":
        return "".join(_made(part, random_) for part in given)
    if name == "BRANCH":
        return "".join(_made(part, random_) for part in random_.choice(given[1]))
    return ""  # where it stands, what is beside it, what came before: nothing to write


def _one_of(given: Any, random_: random.Random) -> str:
    if str(given[0][0]) == "NEGATE":
        return random_.choice("a ")
    name, what = (lambda each: (str(each[0]), each[1]))(random_.choice(given))
    if name == "RANGE":
        return chr(random_.randint(what[0], what[1]))
    if name == "CATEGORY":
        return random_.choice(_CATEGORIES.get(str(what).removeprefix("CATEGORY_"), "a"))
    return chr(what)
