"""A revision's files, as they go into processes."""

from __future__ import annotations

import asyncio

from o_tui.evolution.genome import Genome
from o_tui.guardian.fleet.code import Code
from o_tui.protocol.contracts import path_of


def read_code(genome: Genome, revision: str, gene: str = "") -> Code:
    """A revision, ready to be loaded, and to be compared for a gene where one is named. Blocking.

    Raises:
        OError: As `Genome.files`.
    """
    return Code(genome.files(revision), revision, genome.version(revision), (path_of(gene),) if gene else ())


async def code_of(genome: Genome, revision: str, gene: str = "") -> Code:
    """As `read_code`, off the loop."""
    return await asyncio.to_thread(read_code, genome, revision, gene)
