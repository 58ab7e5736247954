"""Which version serves: a new one in git first, then the same in every instance."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from o_tui.evolution.genome import Genome
from o_tui.evolution.history import Deployment
from o_tui.guardian.evolving.seams import Instances
from o_tui.guardian.fleet.code import Code

VERIFY_S = 5.0


class Releases:
    """Versions of one genome, in git and in service. Whatever is begun twice is done once."""

    def __init__(self, genome: Genome, instances: Instances) -> None:
        self._genome = genome
        self._instances = instances

    async def promote(self, row: dict[str, Any], lines: Sequence[str]) -> Deployment:
        """A new version with an evolution's candidate; `lines`: why, for the changelog. It does not serve yet."""
        return await asyncio.to_thread(
            self._genome.promote,
            row["revision"],
            base=row["base"],
            evolution=row["id"],
            gene=row["gene"],
            title=f"{row['gene']}: {row['goal'] or row['hypothesis'] or 'a new version'}",
            lines=lines,
            time_ns=time.time_ns(),
        )

    async def back_to(self, target: str, reason: str, evolution: str = "") -> Deployment:
        """A new version with the files of an older one; `evolution`: the one that is undone. It does not serve yet."""
        return await asyncio.to_thread(
            self._genome.rollback, target, reason=reason, time_ns=time.time_ns(), evolution=evolution
        )

    async def before(self, row: dict[str, Any]) -> Deployment:
        """The version that an evolution began with, as it is."""
        return Deployment(row["base"], await asyncio.to_thread(self._genome.version, row["base"]), "")

    async def serve(self, version: Deployment, reason: str) -> None:
        """Swaps the code of every instance, and waits for an answer of it; raises OError where it does not run."""
        files = await asyncio.to_thread(self._genome.files, version.revision)
        await self._instances.hot_reload(Code(files, version.revision, version.version), reason)
        await self._instances.verify(version.revision, VERIFY_S)
