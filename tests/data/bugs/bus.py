"""Who is told what: subscriptions, and what was said before; safe with many threads."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Bus:
    def __init__(self, keep: int = 3) -> None:
        self.keep = keep
        self._lock = threading.Lock()
        self._subscribers: dict[str, list[tuple[int, str]]] = {}
        self._history: list[tuple[str, str]] = []
        self._number = 0
        self.published = 0

    def subscribe(self, topic: str, name: str) -> int:
        with self._lock:
            self._number += 1
            self._subscribers.setdefault(topic, []).append((self._number, name))
            return self._number

    def unsubscribe(self, number: int) -> bool:
        with self._lock:
            for topic, known in self._subscribers.items():
                for entry in known:
                    if entry[0] == number:
                        known.remove(entry)
                        if not known:
                            del self._subscribers[topic]
                        return True
            return False

    def publish(self, topic: str, text: str) -> list[str]:
        """Who hears it, in the order of subscription; `*` hears everything."""
        with self._lock:
            self.published += 1
            self._history.append((topic, text))
            del self._history[: max(0, len(self._history) - self.keep)]
            hear = self._subscribers.get(topic, []) + (self._subscribers.get("*", []) if topic != "*" else [])
            return [name for _, name in sorted(hear)]

    def history(self, topic: str | None = None) -> list[str]:
        with self._lock:
            return [text for at, text in self._history if topic is None or at == topic]

    def topics(self) -> list[str]:
        with self._lock:
            return sorted(self._subscribers)


class Once:
    """A value that is made once."""

    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._values: list[object] = []

    def get(self) -> object:
        with self._lock:
            if not self._values:
                self._values.append(self._make())
            return self._values[0]

    def reset(self) -> None:
        with self._lock:
            self._values.clear()
