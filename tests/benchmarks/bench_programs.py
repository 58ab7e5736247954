"""`o-tui evolve PROGRAM EVALUATOR`: evaluations per second, each in a fresh confined process; beside OpenEvolve.

`python -m tests.benchmarks.bench_programs [--quick]`. The peer lives in a virtual environment of its own, in the cache
folder; its model is a server here that answers at once, and it evaluates in two processes, without confinement.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from o_tui.programs import outcome, starting
from o_tui.programs.convention import Settings
from o_tui.programs.lane import Lane
from o_tui.programs.orders import Order
from o_tui.programs.starting import Wish, begin, resume
from tests.benchmarks import report
from tests.benchmarks.peers import python_with
from tests.benchmarks.report import Figure, median, percentile
from tests.support.user_programs import GOOD, Bench, bench, files, setup_of

PEER = "openevolve==0.4.1"
PACKING = Path(__file__).parents[2] / "data" / "programs" / "circle_packing"
EVALUATIONS, QUICK = 900, 300
SEEDS = 5
BAD = {
    "a hang": "def score():\n    while True:\n        pass\n",
    "os._exit": "import os\n\n\ndef score():\n    os._exit(0)\n",
    "SIGKILL": "import os\n\n\ndef score():\n    os.kill(os.getpid(), 9)\n",
    "1.5 GB": "def score():\n    return float(len(bytearray(1_500_000_000)))\n",
}


def peer_rate(python: Path, program: Path, evaluator: Path, count: int) -> float:
    """OpenEvolve's evaluations per second."""
    script = Path(__file__).with_name("program_peer.py")
    done = subprocess.run(
        [python, script, evaluator, program, str(count)], check=True, capture_output=True, text=True, timeout=300
    )
    return float(done.stdout.splitlines()[-1])


def lanes_rate(folder: Path, count: int) -> float:
    """Two lanes that are always busy: what evaluating alone costs."""
    import select

    lanes = [Lane(setup_of(folder)) for _ in range(2)]
    try:
        for lane in lanes:
            lane.ready()
        sent = got = 0
        started = time.perf_counter()
        for lane in lanes * 2:
            lane.submit(Order(number=(sent := sent + 1), source=GOOD))
        while got < count:
            for lane in select.select(lanes, [], [])[0]:
                got += lane.answer() is not None
                lane.submit(Order(number=(sent := sent + 1), source=GOOD))
        return count / (time.perf_counter() - started)
    finally:
        for lane in lanes:
            lane.close()


def run_rate(folder: Path, count: int) -> tuple[float, float]:
    """A whole run with search and store: evaluations per second from the first answer on; seconds of a resume."""
    program, evaluator = files(folder)
    times: list[float] = []
    run = begin(folder / "runs", Wish(program, evaluator, budget=count), lambda _event: times.append(time.monotonic()))
    run.go()
    outcome.finish(run.store)
    name = run.store.folder.name
    run.store.close()
    rate = (count - 1) / (times[count - 1] - times[0])
    firsts: list[float] = []
    started = time.monotonic()
    again = resume(
        folder / "runs", name, None, lambda _event: firsts.append(time.monotonic() - started), budget=count + 1
    )
    again.go()
    again.store.close()
    return rate, firsts[0]


def next_ms(lane: Bench) -> dict[str, float]:
    """How long the next good candidate takes after a bad one, medians."""
    found = {}
    for name, source in BAD.items():
        times = []
        for _ in range(3):
            lane.evaluate(source)
            started = time.perf_counter()
            answer = lane.evaluate(GOOD)
            times.append((time.perf_counter() - started) * 1000)
            assert answer.result.metrics == {"combined_score": 7.0}
        found[name] = median(times)
    return found


def packing(folder: Path, budget: int, seed: int) -> float:
    """The score that a run on the circle packing comes to."""
    wish = Wish(PACKING / "initial.py", PACKING / "evaluator.py", budget=budget, seed=seed)
    run = starting.begin(folder / f"packing-{seed}", wish, lambda _event: None)
    run.go()
    value = outcome.finish(run.store)
    run.store.close()
    return float(value["best"]["measured_again"])


def figures() -> list[Figure]:
    """The limits are those of the design."""
    quick = "--quick" in sys.argv
    count = QUICK if quick else EVALUATIONS
    with tempfile.TemporaryDirectory(prefix="o-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        python = python_with("programs", PEER)
        program, evaluator = files(folder / "peer")
        lanes, runs, peers = [], [], []
        for turn in range(3):  # by turns, so that the machine's other work meets all of them
            lanes.append(lanes_rate(folder / f"lanes-{turn}", count // 3))
            runs.append(run_rate(folder / f"run-{turn}", count // 3))
            if python is not None:
                peers.append(peer_rate(python, program, evaluator, count // 3))
        with bench(folder / "hostile", settings=Settings(timeout_s=0.5)) as lane:
            alone = [lane.evaluate(GOOD).wall_ms for _ in range(50)]
            after = next_ms(lane)
        scores = [] if quick else [packing(folder, 200, seed) for seed in range(SEEDS)]
    peer = "OpenEvolve with a model that answers at once, not confined"
    rate = median(peers) if peers else None
    found = [
        Figure("evaluations of a trivial evaluator, each confined", median(lanes), "/s", 150, "min", peer, rate),
        Figure(
            "a whole run: search, store, evaluations", median([each for each, _ in runs]), "/s", 150, "min", peer, rate
        ),
        Figure("a resume, to its first evaluation", median([each for _, each in runs]), "s", 1.0),
        Figure("one evaluation, p50", median(alone), "ms"),
        Figure("one evaluation, p90", percentile(alone, 0.9), "ms"),
    ]
    found += [Figure(f"the next good candidate after {name}", ms, "ms", 50) for name, ms in after.items()]
    if scores:
        found.append(Figure("circle packing, 200 evaluations, median of 5 seeds", median(scores), "", 0.70, "min"))
    return found


if __name__ == "__main__":
    report.main(figures)
