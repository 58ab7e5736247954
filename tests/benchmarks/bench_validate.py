"""What validation finds, and what it costs: seeded bugs, rewrites that do the same, automatic mutants."""

from __future__ import annotations

import resource
import sys
import time

from o_tui.guardian.evolving.validating import judge, seed
from tests.benchmarks.report import Figure, main, median
from tests.support import bugs


def _judged(changes: list[bugs.Change]) -> tuple[list[bool], list[float], list[float]]:
    """Refused or not, CPU seconds, wall seconds: of each."""
    refused, cpu_s, wall_s = [], [], []
    for change in changes:
        before, start = _cpu_s(), time.perf_counter()
        refused.append(not judge("", change.candidate.encode(), change.reference.encode()).ok)
        cpu_s.append(_cpu_s() - before)
        wall_s.append(time.perf_counter() - start)
        if "-v" in sys.argv:
            print("refused" if refused[-1] else "passed ", f"{cpu_s[-1]:.2f} s", change.name, file=sys.stderr)
    return refused, cpu_s, wall_s


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def figures() -> list[Figure]:
    """The figures."""
    found = []
    for name, changes in (
        ("the corpus' bugs", bugs.corpus()),
        ("our own bugs", bugs.ours("bug")),
        ("bugs that it was not tuned on", bugs.ours("bug", bugs.UNSEEN)),
        ("later bugs of other kinds", bugs.ours("bug", bugs.FRESH)),
    ):
        if changes:
            refused, cpu_s, _wall_s = _judged(changes)
            share = 100 * sum(refused) / len(refused)
            found += [
                Figure(f"{name} that are found, of {len(refused)}", share, "%", 90, "min"),
                Figure(f"{name}: CPU time, median", median(cpu_s), "s", 2),
            ]
    refused, cpu_s, wall_s = _judged([change for folder in bugs.FOLDERS for change in bugs.ours("rewrite", folder)])
    found += [
        Figure(f"rewrites that are refused, of {len(refused)}", sum(refused), "", 0),
        Figure("a rewrite: from start to verdict, median", median(wall_s), "s", 5),
    ]
    refused, cpu_s, _wall_s = _judged(bugs.mutants(100))
    found += [
        Figure("automatic mutants that are found, of 100", sum(refused), "%"),
        Figure("automatic mutants: CPU time, median", median(cpu_s), "s", 2),
    ]
    start = time.perf_counter()
    judge("recall", seed()["recall.py"].encode(), None)
    found.append(Figure("a gene without a reference", time.perf_counter() - start, "s", 2))
    broken = judge("", b"def f(:\n", None)
    found.append(Figure("stages of what does not parse", sum(stage.ms for stage in broken.stages), "ms", 50))
    return found


if __name__ == "__main__":
    main(figures)
