"""What the extension costs, as JSON: MB/s of safe_text and hidden, ms of a search beside numpy in the same run.

`python tests/benchmarks/bench_native.py`; medians and 99th percentiles of repeated calls on one thread.
"""

from __future__ import annotations

import gc
import json
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from o_tui import _native

DIMENSIONS = 256
K = 10
TEXTS = {
    "ascii": "The guardian holds.\n",
    "accents": "Die Wächter prüfen größere Änderungen. ",
    "chinese": "守护者检查每一次更改。",
    "hindi": "संरक्षक हर बदलाव जाँचता है ",
    "emoji": "👩\u200d👩\u200d👧 ok 👍🏽 ",
    "hostile": "\x1b[31m\u202ex\u200b\x9b",
    "escapes only": "\x1b",
    "bidi only": "\u202e",
    "piles of marks": "e" + "\u0301" * 1_000,
    "a mark, then nothing": "\u0301\u200b",
    "joiners out of place": "\u200d",
    "arabic": "مَرْحَبًا می\u200cخواهم ",
    "thai": "ที่",
    "line feeds": "\n",
}
"""What people write, and the worst that could be found; each as one text of 1 MB."""


def times_ms(work: Callable[[], object], seconds: float = 1.0) -> list[float]:
    """Durations of calls for about `seconds`, at least seven."""
    work()
    spent: list[float] = []
    while len(spent) < 7 or sum(spent) < seconds * 1000:
        start = time.perf_counter_ns()
        work()
        spent.append((time.perf_counter_ns() - start) / 1e6)
    return sorted(spent)


def summary(spent: list[float]) -> dict[str, float]:
    """Median and 99th percentile of sorted durations."""
    return {"p50_ms": round(spent[len(spent) // 2], 4), "p99_ms": round(spent[int(len(spent) * 0.99)], 4)}


def texts() -> dict[str, dict[str, float]]:
    """MB/s by kind of text, 1 MB each."""
    rates: dict[str, dict[str, float]] = {"safe_text_mb_s": {}, "hidden_mb_s": {}}
    for name, part in TEXTS.items():
        text = part * (1_000_000 // len(part.encode()))
        size_mb = len(text.encode()) / 1e6
        for key, work in (("safe_text_mb_s", _native.safe_text), ("hidden_mb_s", _native.hidden)):
            spent = times_ms(lambda work=work, text=text: work(text), 0.2)  # type: ignore[misc]
            rates[key][name] = round(size_mb / spent[len(spent) // 2] * 1000, 1)
    return rates


def numpy_search(matrix: np.ndarray, ids: np.ndarray, query: np.ndarray) -> list[tuple[int, float]]:
    """What one writes without the extension."""
    scores = matrix @ query
    best = np.argpartition(scores, -K)[-K:]
    best = best[np.argsort(-scores[best])]
    return list(zip(ids[best].tolist(), scores[best].tolist(), strict=True))


def search(rows: int) -> dict[str, Any]:
    """One size: search, filtered search, add, save and load, beside numpy."""
    random = np.random.default_rng(7)
    matrix = random.standard_normal((rows, DIMENSIONS)).astype("<f4")
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    ids = np.arange(rows, dtype=np.uint64)
    index = _native.VectorIndex(DIMENSIONS)
    start = time.perf_counter()
    for id in range(rows):
        index.add(id, matrix[id].tobytes())
    add_us = (time.perf_counter() - start) / rows * 1e6
    query = matrix[rows // 2] + 0.1 * random.standard_normal(DIMENSIONS).astype("<f4")
    query /= np.linalg.norm(query)
    asked = query.tobytes()
    ours, theirs = index.search(asked, K), numpy_search(matrix, ids, query)
    assert [id for id, _ in ours] == [id for id, _ in theirs]
    few = random.choice(rows, rows // 100, replace=False).tolist()
    saved = index.to_bytes()
    spent, numpy_spent = times_ms(lambda: index.search(asked, K)), times_ms(lambda: numpy_search(matrix, ids, query))
    return {
        "rows": rows,
        "search": summary(spent) | {"gb_s": round(matrix.nbytes / spent[len(spent) // 2] / 1e6, 2)},
        "numpy": summary(numpy_spent),
        "numpy_over_ours": round(numpy_spent[len(numpy_spent) // 2] / spent[len(spent) // 2], 2),
        "among_1_percent": summary(times_ms(lambda: index.search(asked, K, few), 0.2)),
        "add_us": round(add_us, 2),
        "to_bytes": summary(times_ms(index.to_bytes, 0.3)),
        "from_bytes": summary(times_ms(lambda: _native.VectorIndex.from_bytes(saved), 0.3)),
        "memory_mb": round(index.memory_bytes / 1e6, 1),
    }


def processes() -> dict[str, float]:
    """Microseconds of a question about a process."""
    asks = {
        "process_cpu_ns_us": _native.process_cpu_ns,
        "process_rss_us": _native.process_rss,
        "process_rss_pss_us": _native.process_rss_pss,
    }
    pid = os.getpid()
    return {
        name: round(summary(times_ms(lambda ask=ask: ask(pid), 0.1))["p50_ms"] * 1000, 1)  # type: ignore[misc]
        for name, ask in asks.items()
    }


def measure(sizes: tuple[int, ...] = (1_000, 10_000, 100_000)) -> dict[str, Any]:
    """Everything, as plain data."""
    gc.collect()
    words = "The guardian never runs agent code, and imports little. " * 4
    return {
        "dimensions": DIMENSIONS,
        "k": K,
        "text": texts(),
        "embed_224_characters": summary(times_ms(lambda: _native.embed(words, DIMENSIONS), 0.2)),
        "search": [search(rows) for rows in sizes],
        "process": processes(),
    }


@pytest.mark.benchmark
def test_native_is_fast_enough() -> None:
    figures = measure((10_000,))
    assert min(figures["text"]["safe_text_mb_s"].values()) >= 10
    assert figures["search"][0]["numpy_over_ours"] >= 0.9


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    print(json.dumps(measure(), indent=2))
