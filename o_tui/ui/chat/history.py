"""What was written in the prompt before: kept in a file of the workspace, walked with Up and Down."""

from __future__ import annotations

import json
from pathlib import Path

LIMIT = 500
LIMIT_CHARS = 20_000
"""A longer text is not kept: it was pasted."""


class History:
    """Lines oldest first, and a place in them. What is being written is the newest line, and survives the walk."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._items = _read(file)
        self._place = len(self._items)
        self._draft = ""

    def add(self, text: str) -> None:
        """Remembers a text that was sent. A file that cannot be written costs only the memory of it."""
        self._place = len(self._items)
        if not text.strip() or len(text) > LIMIT_CHARS:
            return
        if not self._items or self._items[-1] != text:
            self._items.append(text)
            del self._items[:-LIMIT]
            self._write()
        self._place = len(self._items)

    def back(self, current: str) -> str | None:
        """The text before; None at the oldest."""
        if self._place == 0:
            return None
        if self._place == len(self._items):
            self._draft = current
        self._place -= 1
        return self._items[self._place]

    def forth(self) -> str | None:
        """The text after, at last what was being written; None when nothing was walked."""
        if self._place >= len(self._items):
            return None
        self._place += 1
        return self._draft if self._place == len(self._items) else self._items[self._place]

    def _write(self) -> None:
        if self._file is None:
            return
        temporary = self._file.with_suffix(".tmp")
        try:
            temporary.touch(mode=0o600)
            temporary.write_text("".join(json.dumps(item) + "\n" for item in self._items), "utf-8")
            temporary.replace(self._file)
        except OSError:
            self._file = None


def _read(file: Path | None) -> list[str]:
    if file is None:
        return []
    items: list[str] = []
    try:
        for line in file.read_text("utf-8").splitlines()[-LIMIT:]:
            value = json.loads(line)
            if isinstance(value, str):
                items.append(value)
    except (OSError, ValueError):
        return items
    return items
