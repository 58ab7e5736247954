"""What was worked out once: by key, by age, in layers; and counters beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


class Memo:
    """Values by name and version."""

    def __init__(self, limit: int = 3) -> None:
        self.limit = limit
        self.hits = 0
        self._kept: dict[tuple[str, str], Any] = {}

    def put(self, name: str, version: str, value: Any) -> None:
        """Beyond the limit the oldest goes."""
        self._kept.pop((name, version), None)
        self._kept[name, version] = value
        while len(self._kept) > max(0, self.limit):
            del self._kept[next(iter(self._kept))]

    def get(self, name: str, version: str, default: Any = None) -> Any:
        if (name, version) in self._kept:
            self.hits += 1
            return self._kept[name, version]
        return default

    def of(self, name: str, version: str, make: Callable[[], Any]) -> Any:
        """What is kept, else what is made; what is made is kept, though it be nothing."""
        if (name, version) not in self._kept:
            self.put(name, version, make())
        return self._kept.get((name, version))

    def forget(self, name: str) -> int:
        """All versions; how many there were."""
        gone = [key for key in self._kept if key[0] == name]
        for key in gone:
            del self._kept[key]
        return len(gone)

    def names(self) -> list[str]:
        return sorted({name for name, _ in self._kept})


class Layers:
    """Settings above settings."""

    def __init__(self) -> None:
        self._layers: list[dict[str, Any]] = [{}]

    def push(self, values: dict[str, Any]) -> int:
        """How many there are now."""
        self._layers.append(dict(values))
        return len(self._layers)

    def pop(self) -> dict[str, Any]:
        """The uppermost. Raises IndexError: only the ground is left."""
        if len(self._layers) == 1:
            raise IndexError("the ground stays")
        return self._layers.pop()

    def set(self, name: str, value: Any) -> None:
        """In the uppermost one."""
        self._layers[-1][name] = value

    def get(self, name: str) -> Any:
        """Raises KeyError: no layer has it."""
        for layer in reversed(self._layers):
            if name in layer:
                return layer[name]
        raise KeyError(name)

    def flat(self) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for layer in self._layers:
            out.update(layer)
        return out


def tally(words: Iterable[str], into: dict[str, int] | None = None) -> dict[str, int]:
    """How often each word comes, added to what was given, that is left alone."""
    counts = dict(into) if into is not None else {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return counts


def numbers(words: Iterable[str]) -> list[int]:
    """Raises ValueError: one is none."""
    return [int(word) for word in words]


_open: list[str] = []


def nested(text: str) -> int:
    """How deep the brackets go. Raises ValueError: they do not match."""
    deepest = 0
    _open.clear()
    for sign in text:
        if sign in "([{":
            _open.append(sign)
            deepest = max(deepest, len(_open))
        elif sign in ")]}" and (not _open or "([{".index(_open.pop()) != ")]}".index(sign)):
            raise ValueError("they do not match")
    if _open:
        raise ValueError("they are not closed")
    return deepest
