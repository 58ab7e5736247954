"""SIGKILL of main to the first answer of the next (o_tui/bench/recovery.py says how).

`python -m tests.benchmarks.bench_recovery [--quick]`.
"""

from __future__ import annotations

import sys

from o_tui.bench import recovery
from o_tui.bench.recovery import Case
from tests.benchmarks import report
from tests.benchmarks.report import Figure

ROUNDS: dict[Case, int] = {"standby": 100, "nursery": 40, "cold": 12}
QUICK: dict[Case, int] = {"standby": 20, "nursery": 10, "cold": 3}


def figures() -> list[Figure]:
    """The table's lines."""
    results = recovery.measure(QUICK if "--quick" in sys.argv else ROUNDS).results
    limits: dict[Case, tuple[str, float | None, float]] = {
        "standby": ("the standby", 10.0, 30.0),
        "nursery": ("a fork of the nursery", None, 60.0),
        "cold": ("everything started cold", None, 400.0),
    }
    found: list[Figure] = []
    for case, (name, p50_ms, p99_ms) in limits.items():
        what = f"SIGKILL of main to the first answer of {name}"
        if case == "standby":
            size, since, load = results["state_bytes"] / 1e6, recovery.SINCE, recovery.LOAD
            what += f" ({size:.0f} MB of state, {since:,} operations since the checkpoint, {load} in flight)"
        found.append(Figure(f"{what}, p50", results[f"{case}_p50_ms"], "ms", p50_ms))
        found.append(Figure(f"… p99 of {results[f'{case}_kills']}", results[f"{case}_p99_ms"], "ms", p99_ms))
    return found


if __name__ == "__main__":
    report.main(figures)
