"""`--cluster`: evaluations per second on two workers of this machine, beside the two lanes that a run has without.

`python -m tests.benchmarks.bench_cluster [--quick]`. The evaluator of 50 ms sleeps, so that scheduler, client and
workers, which would be on other machines, take no processor away from it.
"""

from __future__ import annotations

import itertools
import os
import select
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from o_tui.programs.cluster.link import Cluster
from o_tui.programs.lane import Lane
from o_tui.programs.orders import Order, Setup
from tests.benchmarks import report
from tests.benchmarks.report import Figure, median
from tests.support.clusters import scheduler
from tests.support.user_programs import EVALUATOR, GOOD, IMPORTING, setup_of

SLOW = IMPORTING + (
    "\nimport time\n\n\ndef evaluate(program_path):\n"
    "    score = load(program_path).score()\n"
    "    time.sleep(0.05)\n"
    "    return {'combined_score': score}\n"
)
WARM = 40


def rate(lanes: Sequence[Lane], count: int) -> float:
    """Evaluations per second of lanes that always have all that they take at once."""
    numbers = itertools.count(1)
    try:
        for lane in lanes:
            lane.ready()
        for lane in lanes:
            for _ in range(lane.depth):
                lane.submit(Order(number=next(numbers), source=GOOD))
        got, started = 0, 0.0
        while got < WARM + count:
            for lane in select.select(lanes, [], [])[0]:
                if lane.answer() is None:
                    continue
                got += 1
                if got == WARM:
                    started = time.perf_counter()
                lane.submit(Order(number=next(numbers), source=GOOD))
        return (got - WARM) / (time.perf_counter() - started)
    finally:
        for lane in lanes:
            lane.close()


def client_mb(setup: Setup, address: str) -> float:
    """Resident memory of the process that speaks with the scheduler."""
    lane = Cluster(setup, address, lambda _count: None)
    try:
        lane.ready()
        pages = int(Path(f"/proc/{lane.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    finally:
        lane.close()


def figures() -> list[Figure]:
    """The limit is what a cluster may cost of what its workers could do."""
    count = 60 if "--quick" in sys.argv else 160
    with tempfile.TemporaryDirectory(prefix="o-bench-") as name, scheduler(Path(name) / "dask") as cluster:
        Path(name).chmod(0o755)
        cluster.have(2)
        found: dict[str, tuple[list[float], list[float]]] = {}
        for what, evaluator in (("of 50 ms", SLOW), ("that does nothing", EVALUATOR)):
            setup = setup_of(Path(name) / what.replace(" ", "-"), evaluator)
            ours, home = found.setdefault(what, ([], []))
            for _ in range(2):  # by turns, so that the machine's other work meets both
                ours.append(rate([Cluster(setup, cluster.address, lambda _count: None)], count))
                home.append(rate([Lane(setup), Lane(setup)], count))
        memory = client_mb(setup, cluster.address)
    slow, home = (median(each) for each in found["of 50 ms"])
    trivial, trivial_home = (median(each) for each in found["that does nothing"])
    return [
        Figure("evaluations of 50 ms on two workers", slow, "/s", 0.8 * home, "min", "two lanes", home),
        Figure(
            "evaluations of a trivial evaluator on two workers", trivial, "/s", None, "min", "two lanes", trivial_home
        ),
        Figure("the client's process", memory, "MB"),
    ]


if __name__ == "__main__":
    report.main(figures)
