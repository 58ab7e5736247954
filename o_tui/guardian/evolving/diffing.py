"""Diffs of large files are made in a process apart: git holds the interpreter's lock for as long as it compares."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from o_tui.evolution.history import History
from o_tui.evolution.repository import open_repository
from o_tui.guardian.evolving import own_program

HERE_BYTES = 16 * 1024
"""Changed files up to this size are compared at once: 2 ms at worst, where 256 KiB can take 300."""
TIMEOUT_S = 30.0


async def diff_of(genome: History, old: str, new: str) -> str:
    """`History.diff`, without holding up the loop.

    Raises:
        NotFoundError: There is no such revision.
        OError: The repository is damaged, or the comparison took too long.
    """
    if await asyncio.to_thread(genome.changed_bytes, old, new) <= HERE_BYTES:
        return await asyncio.to_thread(genome.diff, old, new)
    return await asyncio.to_thread(_run, genome.path, old, new)


def _run(path: Path, old: str, new: str) -> str:
    what = f"the diff of {old[:12]} and {new[:12]}"
    return own_program.run(__name__, str(path), old, new, what=what, timeout_s=TIMEOUT_S).decode()


def main() -> None:
    """The program: repository and two revisions are the arguments, the diff goes to stdout."""
    path = Path(sys.argv[1])
    sys.stdout.buffer.write(History(path, open_repository(path)).diff(sys.argv[2], sys.argv[3]).encode())


if __name__ == "__main__":
    main()
