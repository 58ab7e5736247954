"""What perception has learned, as rows: a guardian's death costs the last `KEEP_S` seconds of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping

from o_tui.guardian.evolving.perception import Perception
from o_tui.guardian.storage.database import Database
from o_tui.guardian.storage.rows import DETECTORS
from o_tui.protocol.errors import OError

KEEP_S = 10.0
"""Least time between two writings: a figure under load is some sixteen thousand bytes."""


class PerceptionRows:
    """Keeps a perception's figures, and gives them to the next guardian's."""

    def __init__(self, database: Database, perception: Perception) -> None:
        self._database = database
        self._perception = perception
        self._kept_s = time.monotonic()

    async def load(self, revision: str) -> None:
        """What was learned of this genome; what is damaged, or of another one, is learned anew."""
        sql = f"SELECT {DETECTORS.all_columns} FROM detectors WHERE revision = ?"
        with contextlib.suppress(OError):  # what cannot be read is learned anew as well
            rows = await self._database.read(sql, [revision])
            self._perception.restore(revision, {row[0]: row[3] for row in rows if DETECTORS.intact(row)})

    async def keep(self, *, now: bool = False) -> None:
        """Writes what has changed, every `KEEP_S` seconds or `now`; what the disk does not take is tried again."""
        if not now and time.monotonic() - self._kept_s < KEEP_S:
            return
        self._kept_s = time.monotonic()
        revision, changed = self._perception.changed()
        if not changed:
            return
        try:
            await self._write(revision, changed)
        except OError:
            self._perception.unkept(changed)

    async def _write(self, revision: str, changed: Mapping[str, bytes]) -> None:
        rows = [(name, time.time_ns(), revision, data) for name, data in changed.items()]
        await self._database.write(
            lambda connection: self._database.insert(connection, DETECTORS, rows, "INSERT OR REPLACE")
        )
