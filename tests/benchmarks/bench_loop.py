"""How late the guardian's loop is while views follow and an answer streams (o_tui/bench/loop.py says how).

`python -m tests.benchmarks.bench_loop [--quick]`.
"""

from __future__ import annotations

import sys

from o_tui.bench import loop
from tests.benchmarks import report
from tests.benchmarks.report import Figure

MEASURE_S = 20.0
QUICK_S = 5.0


def figures() -> list[Figure]:
    """The table's lines."""
    found = loop.measure(QUICK_S if "--quick" in sys.argv else MEASURE_S).results
    what = f"guardian's loop delay, {loop.VIEWS} views follow, {found['chunks_per_s']:.0f} chunks/s"
    while_taken = f"the same while checkpoints of {found['state_bytes'] / 1e6:.0f} MB are taken"
    return [
        Figure(f"{what}, p99", found["delay_p99_ms"], "ms", 10),
        Figure("… max", found["delay_max_ms"], "ms", 50),
        Figure(f"{while_taken}, p99", found["delay_during_checkpoints_p99_ms"], "ms", 10),
        Figure("… max", found["delay_during_checkpoints_max_ms"], "ms", 50),
    ]


if __name__ == "__main__":
    report.main(figures)
