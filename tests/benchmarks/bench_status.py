"""What `o-tui status` costs: user and system time of its process, beside a running guardian and a bare interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence

from o_tui import client
from tests.benchmarks import programs, report
from tests.benchmarks.report import Figure, median

RUNS = 10


def cost(command: Sequence[str]) -> tuple[float, float]:
    """Milliseconds of processor time and of wall time of a command; raises RuntimeError if it fails."""
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=report.ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}: {' '.join(command)}")
    return (usage.ru_utime + usage.ru_stime) * 1000, (time.perf_counter() - started) * 1000


def figures() -> list[Figure]:
    """The table's lines."""
    with programs.workspace() as paths, programs.guardian(paths):
        with client.connect(paths) as link:
            programs.until_served(link)
        ours = [sys.executable, "-m", "o_tui", "status", "--json", "--data-dir", str(paths.data)]
        bare = [sys.executable, "-c", "pass"]
        cost(ours)
        runs = [(cost(ours), cost(bare)) for _ in range(RUNS)]
    cpu = median([both[0][0] for both in runs])
    peer = median([both[1][0] for both in runs])
    wall = median([both[0][1] for both in runs])
    return [
        Figure("o-tui status, processor time", round(cpu, 1), "ms", 150, "max", "bare interpreter, ms", round(peer, 1)),
        Figure("o-tui status, from start to end", round(wall, 1), "ms"),
    ]


if __name__ == "__main__":
    report.main(figures)
