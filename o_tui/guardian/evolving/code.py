"""A revision's files, as they go into processes that are compared."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from o_tui.evolution.genome import Genome
from o_tui.protocol.contracts import path_of


@dataclass(frozen=True, slots=True)
class Code:
    """A revision, ready to be loaded.

    Attributes:
        anew: Paths of what it is compared for: made in each fork, also where main's code is the one that O ships, which
            would be warm.
    """

    files: Mapping[str, str]
    revision: str
    version: str
    anew: tuple[str, ...] = ()


async def code_of(genome: Genome, revision: str, gene: str) -> Code:
    """A revision, ready to be compared for a gene; raises as `Genome.files`."""
    files = await asyncio.to_thread(genome.files, revision)
    return Code(files, revision, await asyncio.to_thread(genome.version, revision), (path_of(gene),))
