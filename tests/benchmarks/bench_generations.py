"""A population over generations beside a race of what the same CPU time pays: `recall` on conversations.

Both begin with the story's plain search for words and are proven on conversations that no candidate was chosen by
(O_TUI_LOCOMO names them, else made ones). One run of each is a sample of one: chance comes from the operators.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import shutil
import tempfile
from pathlib import Path
from typing import Any

from o_tui import client
from o_tui.bench.guardians import running
from o_tui.paths import Paths, shipped
from tests.benchmarks import report
from tests.benchmarks.report import Figure
from tests.story import conversations
from tests.story.workload import write_workload

POPULATION, GENERATIONS, RACED = 16, 4, 28
UNSEEN = 2
WAIT_S = 800


def _workspace(folder: Path) -> tuple[Paths, Path]:
    """A workspace with the workload, and the genome that it begins with."""
    folder.chmod(0o755)
    place, seed = Paths(folder / "w", folder / "c"), folder / "seed"
    place.prepare()
    shutil.copytree(shipped("data") / "genome", seed)
    shutil.copyfile(shipped("data") / "story" / "recall_baseline.py", seed / "recall.py")
    named = os.environ.get("O_TUI_LOCOMO")
    talks, _ = conversations.load(Path(named) if named else None)
    write_workload(place.data / "workloads" / "recall.jsonl", talks, UNSEEN)
    return place, seed


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


async def _evolved(**size: int) -> tuple[dict[str, Any], float]:
    """How an evolution ended, and the CPU seconds of everything that ran for it, the guardian's start with it."""
    before_s = _cpu_s()
    with tempfile.TemporaryDirectory(prefix="o-") as folder:
        place, seed = _workspace(Path(folder))
        asked = {"gene": "recall", "origin": "operators", "metric": "quality", "budget": {"requests": 0, "cpu_s": 0}}

        def ask() -> dict[str, Any]:
            with client.connect(place) as connection:
                begun = connection.call("evolve", **asked, **size)
                row: dict[str, Any] = connection.call("evolution.wait", wait_s=WAIT_S, id=begun["evolution"])
                return row

        async with running(place, seed=seed):
            row = await asyncio.to_thread(ask)
    return row, _cpu_s() - before_s


def _gain(row: dict[str, Any]) -> float:
    """What was proven on what nobody had looked at, whatever the verdict."""
    return float((row["evidence"].get("quality") or {}).get("difference") or 0.0)


def figures() -> list[Figure]:
    """For report.py and docs/PERFORMANCE.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--candidates", type=int, default=RACED)
    asked = parser.parse_args()
    size = (
        {"population": 4, "generations": 2} if asked.quick else {"population": POPULATION, "generations": GENERATIONS}
    )
    raced, raced_s = asyncio.run(_evolved(candidates=4 if asked.quick else asked.candidates))
    searched, searched_s = asyncio.run(_evolved(**size))
    looked = sum(each["measured"] for each in searched["generations"])
    return [
        Figure("recall@5 gained, unseen", _gain(searched), "", None, "min", "a race", _gain(raced)),
        Figure("  candidates", looked, "", None, "min", "a race", len(raced["race"])),
        Figure("  CPU time of everything", round(searched_s, 1), "s", None, "max", "a race", round(raced_s, 1)),
    ]


if __name__ == "__main__":
    report.main(figures)
