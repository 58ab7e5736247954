"""What a value looks like from outside, as plain data that can be sent and compared.

Private attributes, the order of sets and dicts, addresses and messages are not seen: a rewrite may change them.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import hashlib
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

STEPS = 50
"""Of an iterator that many are taken."""
_NODES = 4_000
_TEXT = 2_000
_DEEPEST = 60


class Observer:
    """Freezes values; `own` are the classes of the module, whose public attributes are looked at."""

    def __init__(self, module: Mapping[str, Any]) -> None:
        self._module = module.get("__name__", "")
        self._left = _NODES
        self._seen: set[int] = set()

    def freeze(self, value: Any) -> Any:
        """Plain data: tagged lists as in recipes, "…" where it is too much."""
        self._left -= 1
        if value is None or (isinstance(value, (bool, float)) and type(value) in (bool, float)):
            return value
        if isinstance(value, enum.Enum):
            return ["member", type(value).__name__, value.name]
        if isinstance(value, int):
            return int(value) if abs(value) < 1 << 62 else ["int", hex(value)]
        if isinstance(value, str):
            return _text(str(value))
        if isinstance(value, (bytes, bytearray)):
            return ["bytes", _text(bytes(value).hex())]
        if self._left < 0 or len(self._seen) > _DEEPEST:
            return "…"
        if id(value) in self._seen:
            return ["cycle"]
        self._seen.add(id(value))
        try:
            return self._inside(value)
        finally:
            self._seen.discard(id(value))

    def _inside(self, value: Any) -> Any:
        if isinstance(value, (list, tuple, collections.deque)):
            tag = "list" if isinstance(value, list) else "tuple" if isinstance(value, tuple) else "deque"
            return self._many(tag, list(value))
        if isinstance(value, (set, frozenset)):
            return ["set", *sorted((self.freeze(item) for item in value), key=repr)]
        if isinstance(value, Mapping):
            pairs = [[self.freeze(key), self.freeze(value[key])] for key in list(value)[:_NODES]]
            return ["dict", *sorted(pairs, key=repr)]
        if isinstance(value, BaseException):
            return ["exception", type(value).__name__]
        if isinstance(value, msgspec.Struct):
            return [
                "new",
                type(value).__name__,
                *([n, self.freeze(getattr(value, n))] for n in value.__struct_fields__),
            ]
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            shown = [f.name for f in dataclasses.fields(value) if not f.name.startswith("_")]
            return ["new", type(value).__name__, *([n, self.freeze(getattr(value, n, None))] for n in shown)]
        if isinstance(value, (decimal.Decimal, fractions.Fraction, datetime.date, datetime.timedelta, datetime.time)):
            return [type(value).__name__, str(value)]
        if isinstance(value, (pathlib.PurePath, re.Pattern, re.Match, complex, range)):
            return [type(value).__name__.removeprefix("Posix").removeprefix("Pure"), str(value)[:_TEXT]]
        if isinstance(value, Iterator):
            return self._steps(value)
        if type(value).__module__ == self._module and not isinstance(value, type):
            attributes = getattr(value, "__dict__", {})
            public = {name: thing for name, thing in attributes.items() if not name.startswith("_")}
            return ["new", type(value).__name__, *([n, self.freeze(v)] for n, v in sorted(public.items()))]
        return ["object", "function" if callable(value) else type(value).__name__]

    def _many(self, tag: str, items: list[Any]) -> Any:
        if len(items) <= _NODES // 4:
            return [tag, *(self.freeze(item) for item in items)]
        head = [self.freeze(item) for item in items[:50]]
        return [tag, len(items), *head, *(self.freeze(item) for item in items[-50:])]

    def _steps(self, value: Iterator[Any]) -> Any:
        """An iterator by what it gives, and by how it ends."""
        taken: list[Any] = []
        end: list[Any] = []
        for _ in range(STEPS):
            try:
                taken.append(next(value))
            except StopIteration as ended:
                end = [["end", self.freeze(ended.value)]]
                break
            except Exception as error:  # noqa: BLE001 - the border to code under test, that may raise anything
                end = [["raises", type(error).__name__]]
                break
        if not end and hasattr(value, "close"):
            value.close()
        # looked at afterwards: one list that is given again and again is seen as what it is
        return ["iter", *(self.freeze(item) for item in taken), *end]


def _text(text: str) -> Any:
    if not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text):
        return ["surrogates", ascii(text)[:_TEXT]]
    if len(text) <= _TEXT:
        return text
    return ["text", len(text), text[:50], hashlib.sha256(text.encode()).hexdigest()]


def same(one: Any, other: Any) -> bool:
    """Whether two observations agree: exactly, but for floats, which agree within 1e-9 of their size."""
    if isinstance(one, float) and isinstance(other, float):
        return (
            one == other
            or abs(one - other) <= max(1e-9 * max(abs(one), abs(other)), 1e-12)
            or (one != one and other != other)
        )
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)
