"""Whether the workspace is still where it was: a database that was removed takes rows as before, and all are lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from o_tui.protocol.errors import OError, RefusedError

LOOK_S = 2.0


def looks(database: Path, gone: Callable[[OError], None]) -> Callable[[], Awaitable[None]]:
    """A round that compares the file of that name with the one of now; `gone` is told of another one, or none."""
    ours = _identity(database)

    async def look() -> None:
        if await asyncio.to_thread(_identity, database) != ours:
            gone(
                RefusedError(
                    f"the workspace {database.parent} was moved or removed while it was in use",
                    hint="what was kept is in it, wherever it is now",
                )
            )

    return look


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
