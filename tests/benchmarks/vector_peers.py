"""One size of `bench_vectors`: our extension and its peers in one process, by turns, on one thread.

Run by the interpreter of the peers' own virtual environment, which knows nothing of O:
`python vector_peers.py EXTENSION ROWS SIZE`. Prints one JSON object; times are in milliseconds.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import faiss
import numkong
import numpy as np
import simsimd
from usearch.index import MetricKind
from usearch.index import search as usearch_exact

K = 10
QUERIES = 32
ROUNDS = 7
BURST_S = 0.06
Call = Callable[[], object]


def extension(path: str) -> Any:
    """The module `_native` out of its file: nothing else of O is needed."""
    spec = importlib.util.spec_from_file_location("_native", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def by_turns(calls: dict[str, Call]) -> dict[str, dict[str, float]]:
    """Median and 99th percentile of each; in bursts, so that each one finds the caches as it left them."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            call()
            end = time.perf_counter() + BURST_S
            while True:
                start = time.perf_counter()
                call()
                now = time.perf_counter()
                times[name].append((now - start) * 1000)
                if now > end:
                    break
    return {
        name: {"p50": float(np.median(spent)), "p99": float(np.quantile(spent, 0.99))} for name, spent in times.items()
    }


def best_of(scores: np.ndarray) -> np.ndarray:
    """The places of the best K of an array of scores, as one writes it."""
    best = np.argpartition(scores, -K)[-K:]
    return best[np.argsort(-scores[best])]


def batch_of_numpy(matrix: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """The places of the best K for each query, as quickly as numpy can: by one product of two matrices."""
    return np.argpartition(queries @ matrix.T, -K, axis=1)[:, -K:]


def one_after_the_other(matrix: np.ndarray, queries: np.ndarray) -> list[np.ndarray]:
    """The same by a product of the matrix with each query."""
    return [np.argpartition(matrix @ query, -K)[-K:] for query in queries]


def reading(matrix: np.ndarray) -> dict[str, Call]:
    """Ways to read a matrix once and do next to nothing with it."""
    whole = matrix.reshape(-1)
    return {"read max": lambda: whole.view(np.int32).max(), "read sum": lambda: whole.view(np.int64).sum()}


def filled(native: Any, matrix: np.ndarray) -> tuple[Any, float]:
    """An index of ours, and microseconds an addition took."""
    index = native.VectorIndex(matrix.shape[1])
    index.reserve(len(matrix))
    start = time.perf_counter()
    for id, row in enumerate(matrix):
        index.add(id, row)
    return index, (time.perf_counter() - start) / len(matrix) * 1e6


def near_duplicates(native: Any, rows: int, size: int, random: np.random.Generator) -> dict[str, dict[str, float]]:
    """A certified and a plain search where codes tell nothing."""
    matrix = random.standard_normal(size) + 1e-5 * random.standard_normal((rows, size))
    index, _ = filled(native, matrix.astype("f4"))
    query = matrix[0].astype("f4").tobytes()
    ways = ("exact", "certified")
    assert index.search(query, K, first_pass=ways[0]) == index.search(query, K, first_pass=ways[1])
    return by_turns({way: lambda way=way: index.search(query, K, first_pass=way, threads=1) for way in ways})


def main() -> None:
    """Measures, and prints."""
    native, rows, size = extension(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    faiss.omp_set_num_threads(1)
    random = np.random.default_rng(1)
    matrix = random.standard_normal((rows, size), dtype="f4")
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    queries = random.standard_normal((QUERIES, size), dtype="f4")
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    index, add_us = filled(native, matrix)
    flat = faiss.IndexFlatIP(size)
    flat.add(matrix)
    codes = faiss.IndexScalarQuantizer(size, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    codes.train(matrix[:100_000])
    codes.add(matrix)
    query = queries[0]
    one = query[None]
    mask = np.zeros(rows, bool)
    mask[random.choice(rows, rows // 100, replace=False)] = True
    passes = ("exact", "certified", "int8", "bfloat16", "float16", "binary")

    def ours(first_pass: str) -> Call:
        return lambda: index.search(query, K, first_pass=first_pass, threads=1)

    calls: dict[str, Call] = {f"ours {name}": ours(name) for name in passes}
    calls |= {
        "ours two threads": lambda: index.search(query, K, threads=2),
        "ours mask of 1 %": lambda: index.search(query, K, mask=mask, threads=1),
        "ours batch": lambda: index.search_arrays(queries, K, threads=1),
        "ours batch, tuples": lambda: index.search_batch(queries, K, threads=1),
        "numpy": lambda: best_of(matrix @ query),
        "numpy batch": lambda: batch_of_numpy(matrix, queries),
        "numpy, one by one": lambda: one_after_the_other(matrix, queries),
        "simsimd": lambda: best_of(np.asarray(simsimd.dot(matrix, query))),
        "numkong": lambda: best_of(np.asarray(numkong.dot(matrix, query))),
        "usearch exact": lambda: usearch_exact(matrix, query, K, MetricKind.IP, exact=True, threads=1),
        "faiss flat": lambda: flat.search(one, K),
        "faiss SQ8": lambda: codes.search(one, K),
    }
    # the few first, where every index is asked: what is found is compared before anything is measured
    right = [{int(id) for id in best_of(matrix @ each)} for each in queries]
    recall = {
        name: sum(
            len(good & {id for id, _ in index.search(each, K, first_pass=name)})
            for good, each in zip(right, queries, strict=True)
        )
        / (K * QUERIES)
        for name in passes
    }
    found = codes.search(queries, K)[1]
    recall["faiss SQ8"] = sum(len(good & set(ids.tolist())) for good, ids in zip(right, found, strict=True)) / (
        K * QUERIES
    )
    ids, scores = index.search_arrays(queries, K)
    pairs = [list(zip(*found, strict=True)) for found in zip(ids.tolist(), scores.tolist(), strict=True)]
    assert pairs == index.search_batch(queries, K) == [index.search(each, K, first_pass="exact") for each in queries]
    times = by_turns(calls | reading(matrix))
    # six bits a number where codes are far from the processor (`FAR` in rust/core/src/vectors/search.rs)
    read_of_a_row = size * 3 // 4 if rows * size >= 2 << 20 else size
    result = {
        "rows": rows,
        "size": size,
        "times": times,
        "recall": recall,
        "add_us": add_us,
        "bytes": matrix.nbytes,
        "code_bytes": rows * (read_of_a_row + 12),
        "near_duplicates": near_duplicates(native, min(rows, 100_000), size, random),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
