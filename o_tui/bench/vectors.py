"""What a search in vectors costs on one thread, beside numpy: all rows scored, by certified codes, batched, masked.

The rows are clustered like embeddings are. Each round does ours and the peer's work in turns.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

from o_tui._native import VectorIndex
from o_tui.bench.report import Report, median, percentile

QUERIES = 30
BATCH = 32
K = 10
CLUSTERS = 64
MASK_SHARE = 0.01
PEER = "numpy"


def run(arguments: argparse.Namespace) -> Report:
    """Searches `arguments.rows` vectors of `arguments.dimensions`."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is imported: one thread each
    import numpy

    return measure(numpy, arguments.rows, arguments.dimensions)


def measure(numpy: Any, rows: int, dimensions: int) -> Report:
    """The report over one matrix."""
    chance = numpy.random.default_rng(1)
    matrix, queries = _made(numpy, chance, rows, dimensions)
    index = VectorIndex(dimensions)
    added = _timed(lambda at: index.add(at, matrix[at]), rows)
    mask = (chance.random(rows) < MASK_SHARE).astype("uint8")
    stored = numpy.asarray(index.rows()).copy()
    kinds: dict[str, Callable[[int], object]] = {
        "exact": lambda at: index.search(queries[at], K, first_pass="exact", threads=1),
        "certified": lambda at: index.search(queries[at], K, first_pass="certified", threads=1),
        "mask": lambda at: index.search(queries[at], K, mask=mask, threads=1),
        "batch": lambda at: index.search_batch(numpy.roll(queries, at, 0)[:BATCH], K, threads=1),
        PEER: lambda at: _best(numpy, stored @ queries[at]),
        f"{PEER} batch": lambda at: [_best(numpy, each) for each in numpy.roll(queries, at, 0)[:BATCH] @ stored.T],
    }
    times = _in_turns(kinds)
    report = Report(notes=[f"{rows} vectors of {dimensions}, one thread; a batch is {BATCH} queries"])
    for name, figures in times.items():
        place = report.peers.setdefault(PEER, {}) if name.startswith(PEER) else report.results
        label = "batch_" if name.endswith(" batch") else "" if name == PEER else f"{name}_"
        place[f"{label}p50_ms"] = round(median(figures), 4)
        place[f"{label}p99_ms"] = round(percentile(figures, 0.99), 4)
    report.results["add_us"] = round(median(added) * 1000, 2)
    report.results["exact_gb_per_s"] = round(4 * rows * dimensions / median(times["exact"]) / 1e6, 2)
    report.results["certified_recall"] = _recall(index, queries)
    peer = report.peers[PEER]
    report.ratios[f"{PEER}_to_exact"] = peer["p50_ms"] / median(times["exact"])
    report.ratios[f"{PEER}_to_certified"] = peer["p50_ms"] / median(times["certified"])
    report.ratios[f"{PEER}_batch_to_batch"] = peer["batch_p50_ms"] / median(times["batch"])
    return report


def _made(numpy: Any, chance: Any, rows: int, dimensions: int) -> tuple[Any, Any]:
    centres = chance.standard_normal((CLUSTERS, dimensions), dtype="float32")
    noise = chance.standard_normal((rows + max(BATCH, QUERIES), dimensions), dtype="float32")
    all_ = centres[chance.integers(0, CLUSTERS, len(noise))] + noise
    all_ /= numpy.linalg.norm(all_, axis=1, keepdims=True)
    return all_[:rows], all_[rows:]


def _best(numpy: Any, scores: Any) -> Any:
    best = numpy.argpartition(-scores, K)[:K]
    return best[numpy.argsort(-scores[best])]


def _timed(work: Callable[[int], object], count: int) -> list[float]:
    times = []
    for at in range(count):
        started_ns = time.perf_counter_ns()
        work(at)
        times.append((time.perf_counter_ns() - started_ns) / 1e6)
    return times


def _in_turns(kinds: dict[str, Callable[[int], object]]) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for at in range(-1, QUERIES):  # the first round makes what is made at first use
        for name, work in kinds.items():
            started_ns = time.perf_counter_ns()
            work(max(0, at))
            if at >= 0:
                times[name].append((time.perf_counter_ns() - started_ns) / 1e6)
    return times


def _recall(index: VectorIndex, queries: Any) -> float:
    """The share of the exact best that the certified search finds: 1, or it is broken."""
    same = [
        index.search(query, K, first_pass="exact") == index.search(query, K, first_pass="certified")
        for query in queries[:QUERIES]
    ]
    return sum(same) / len(same)
