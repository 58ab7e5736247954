"""What a hundred forks cost that have one state and recall from it.

    python -m tests.benchmarks.forks CHECKPOINT

prints the medians of the bytes that 100 recalls wrote and of the PSS, as JSON. It is a program of its own that imports
little, because all that its parent holds is counted in a fork's share.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
from pathlib import Path

from o_tui._native import process_rss_pss
from o_tui.agent.genome_loader import Genome
from o_tui.agent.memory import MemorySearch
from o_tui.agent.state import State
from o_tui.protocol import checkpoint

PROCESSES = 100
SEED = Path(__file__).parents[2] / "data" / "genome"


def _recalls(state: State, genome: Genome, asked: list[str]) -> None:
    search = MemorySearch(state)
    for query in asked:
        genome.recall(query, search, 10, 0)
    state.rest()  # as an instance does between two requests that are a heartbeat apart


def forks(file: Path) -> tuple[float, float]:
    """Bytes that a fork wrote, and its PSS."""
    with file.open("rb") as opened:
        state = State.from_sections(checkpoint.read(opened)[1])
    sources = [path for path in SEED.rglob("*.py") if path.parent.name != "tests"]
    genome = Genome("a" * 40, "1", {str(path.relative_to(SEED)): path.read_text("utf-8") for path in sources})
    texts = state.rows("SELECT text FROM blocks ORDER BY n LIMIT 100")
    asked = [" ".join(text.split()[:6]) for (text,) in texts]
    gc.collect()
    gc.freeze()
    read, write = os.pipe()
    hold, release = os.pipe()
    children = []
    for _ in range(PROCESSES):
        children.append(os.fork())
        if children[-1] == 0:
            before = process_rss_pss(os.getpid())[2]
            _recalls(state, genome, asked)
            os.write(write, f"{process_rss_pss(os.getpid())[2] - before:12d}".encode())
            os.read(hold, 1)
            os._exit(0)
    grown = [int(os.read(read, 12)) for _ in children]
    shares = [process_rss_pss(pid)[1] for pid in children]
    os.write(release, bytes(len(children)))
    for pid in children:
        os.waitpid(pid, 0)
    return statistics.median(grown), statistics.median(shares)


if __name__ == "__main__":
    print(json.dumps(forks(Path(sys.argv[1]))))
