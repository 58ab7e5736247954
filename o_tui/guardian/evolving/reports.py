"""What can be read of evolutions: rows with their evidence, how they ended, and the versions of the genome."""

from __future__ import annotations

import asyncio
from typing import Any

from o_tui.evolution import diffs
from o_tui.evolution.genome import Genome
from o_tui.guardian.evolving import chronicle
from o_tui.guardian.evolving.diffing import diff_of
from o_tui.guardian.evolving.evolution_book import Book, light
from o_tui.guardian.evolving.program_runs import ProgramRuns, in_order, without
from o_tui.guardian.storage.learning_rows import LearningRows


class Reports:
    """Methods of the public API that change nothing."""

    def __init__(self, book: Book, genome: Genome, learning: LearningRows, programs: ProgramRuns | None) -> None:
        self._book = book
        self._genome = genome
        self._learning = learning
        self._programs = programs

    async def wait(self, id: str) -> dict[str, Any]:
        """The row, once it is pending or has ended."""
        return await self._book.settled(id)

    async def show(self, id: str) -> dict[str, Any]:
        """One evolution with diff, stages and evidence; raises NotFoundError."""
        return await self._book.get(id)

    async def pending(self) -> list[dict[str, Any]]:
        """What waits for an operator, newest first, without the diffs."""
        return [light(row) for row in await self._book.page(200, ("pending",))]

    async def history(
        self, limit: int = 50, gene: str = "", state: str = "", source: str = "", since_ns: int = 0
    ) -> list[dict[str, Any]]:
        """The newest evolutions and runs of programs, newest first, without diffs; of a gene, state, source, since."""
        if self._programs is not None:
            await self._programs.look()
        looked_at = chronicle.LOOKED_AT if gene or state or source or since_ns else max(1, min(limit, 1_000))
        states = ("rejected" if state == chronicle.NO_EVIDENCE else state,) if state else ()
        rows = await self._book.page(looked_at, states)
        found = in_order(chronicle.pick(rows, gene, state, source, since_ns))
        return [light(row) for row in found[: max(1, min(limit, 1_000))]]

    async def statistics(self) -> dict[str, Any]:
        """How evolutions ended: {count, states, sources, operators, genes, decision_s, credit}; see chronicle.py."""
        rows = without(await self._book.page(chronicle.LOOKED_AT))
        return chronicle.statistics(rows, await self._learning.outcomes())

    async def intents(self, limit: int = 100) -> list[dict[str, Any]]:
        """What was seen that may call for a change, and what came of it, newest first."""
        return await self._learning.intents(max(1, min(limit, 1_000)))

    async def genome_log(self, limit: int = 100) -> list[dict[str, Any]]:
        """The deployed versions, newest first."""
        return await asyncio.to_thread(self._genome.log, max(1, min(limit, 1_000)))

    async def genome_diff(self, a: str, b: str = "head") -> dict[str, Any]:
        """The diff between two revisions, tags or versions: {a, b, diff, sha256}."""
        pair = [await asyncio.to_thread(self._genome.resolve, name) for name in (a, b)]
        diff = await diff_of(self._genome, *pair)
        return {"a": pair[0], "b": pair[1], "diff": diff, "sha256": diffs.digest(diff)}

    async def genome_show(self, revision: str = "head", path: str = "") -> dict[str, Any]:
        """One file of a revision; without a path the names of its files: {revision, path, text, files}."""
        full = await asyncio.to_thread(self._genome.resolve, revision)
        files = sorted(await asyncio.to_thread(self._genome.files, full))
        text = await asyncio.to_thread(self._genome.show, full, path) if path else ""
        return {"revision": full, "path": path, "text": text, "files": files}
