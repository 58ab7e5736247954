"""Searches in vectors beside numpy, simsimd, numkong, usearch and faiss, all in one process on one thread.

The peers live in a virtual environment of their own, made in the cache folder, whose interpreter loads our extension
from its file. Random vectors of length 1, the ten best. `--quick` leaves out the million rows; `--all` prints
what each took.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from o_tui import _native
from tests.benchmarks import report
from tests.benchmarks.peers import python_with
from tests.benchmarks.report import Figure

PEERS = ("numpy==2.4.6", "simsimd==6.5.16", "numkong==7.8.6", "usearch==2.26.6", "faiss-cpu==1.15.1")
EXACT_PEERS = ("numpy", "simsimd", "numkong", "usearch exact", "faiss flat")
SIZES = ((1_000, 384), (10_000, 384), (100_000, 384), (1_000, 1536), (10_000, 1536), (100_000, 1536))
MILLION = (1_000_000, 384)
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def measured(python: Path, rows: int, size: int) -> dict[str, Any]:
    """One size, in a process of its own."""
    program = Path(__file__).with_name("vector_peers.py")
    command = [str(python), str(program), str(_native.__file__), str(rows), str(size)]
    environment = os.environ | _ONE_THREAD
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=900, env=environment)
    found: dict[str, Any] = json.loads(done.stdout)
    if "--all" in sys.argv:
        for name, times in found["times"].items():
            print(f"   {rows} x {size} {name}: {times['p50']:.4g} ms, p99 {times['p99']:.4g}", file=sys.stderr)
        print(f"   recall {found['recall']}", file=sys.stderr)
    return found


def least_times(rows: int, size: int) -> float | None:
    """How many times as quick as the best exact peer a certified search must be; a million are bound by memory."""
    if rows >= 1_000_000:
        return None
    return 2 if rows <= 1_000 else 4 if size <= 384 else 3


def of_size(found: dict[str, Any]) -> list[Figure]:
    """The figures of one size."""
    rows, size, times = found["rows"], found["size"], found["times"]
    name = f"{rows:,} x {size}"
    p50 = {who: spent["p50"] for who, spent in times.items()}
    best = min(EXACT_PEERS, key=p50.__getitem__)
    exact, certified = p50["ours exact"], p50["ours certified"]
    read = found["bytes"] / min(p50["read max"], p50["read sum"])
    share = found["code_bytes"] / certified / read * 100
    slowed = found["near_duplicates"]
    in_turn = p50["numpy, one by one"]
    figures = [
        Figure(f"{name}: every row", exact / p50[best], f"of {best}", 1.1, "max", f"{best}, ms", p50[best]),
        Figure("… p50", exact, "ms"),
        Figure("… p99", times["ours exact"]["p99"], "ms"),
        Figure("… certified", p50[best] / certified, "times", least_times(rows, size), "min"),
        Figure("… p50", certified, "ms", None, "max", "faiss SQ8, ms", p50["faiss SQ8"]),
        Figure("… p99", times["ours certified"]["p99"], "ms"),
        Figure("… recall", found["recall"]["certified"], "", 1, "min", "faiss SQ8", found["recall"]["faiss SQ8"]),
        Figure("… read", found["code_bytes"] / certified / 1e6, "GB/s"),
        Figure("… share of bandwidth", share, "%", 80 if rows >= 1_000_000 else None, "min", "GB/s", read / 1e6),
        Figure("… near-duplicates", slowed["certified"]["p50"] / slowed["exact"]["p50"], "of a plain scan", 1.1),
        Figure("… batch of 32", p50["numpy batch"] / p50["ours batch"], "times numpy", 8, "min"),
        Figure("… p50", p50["ours batch"], "ms", None, "max", "numpy, ms", p50["numpy batch"]),
        Figure("… as tuples", p50["ours batch, tuples"], "ms"),
        Figure("… numpy, one query after the other", in_turn / p50["ours batch"], "times", None, "min", "ms", in_turn),
        Figure("… mask of 1 %", p50["ours mask of 1 %"], "ms", 0.2 if rows <= 100_000 and size <= 384 else None),
        Figure("… add", found["add_us"], "us", 10 if size <= 384 else None),
    ]
    for way in ("int8", "bfloat16", "float16", "binary"):
        figures.append(Figure(f"… {way}, recall {found['recall'][way]:.3f}", p50[f"ours {way}"], "ms"))
    return figures


def figures() -> list[Figure]:
    """Every size, one after the other."""
    python = python_with("vectors", *PEERS)
    if python is None:
        return []
    sizes = SIZES if "--quick" in sys.argv else (*SIZES, MILLION)
    return [figure for rows, size in sizes for figure in of_size(measured(python, rows, size))]


if __name__ == "__main__":
    report.main(figures)
