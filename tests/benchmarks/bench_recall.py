"""The memory: the gene `recall` and the search for words, beside FTS5 and tantivy, at 10,000 to 1,000,000 blocks.

Blocks are turns of made-up words, as frequent as words are (Zipf), twenty to a thread; queries are words of a block.
`O_TUI_LOCOMO` may name the conversations of LoCoMo, which are not O's to ship: then what is found is measured too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path

from o_tui._native import MemoryIndex
from o_tui.agent.state import State
from o_tui.bench import recall
from o_tui.protocol import checkpoint
from tests.benchmarks import report, shadows
from tests.benchmarks.peers import python_with
from tests.benchmarks.report import Figure, median, percentile
from tests.support.agents import block

WORDS, QUERY_WORDS, BLOCK_WORDS, THREAD_BLOCKS = 30_000, 6, 14, 20
QUERIES = 200
PEER = "tantivy==0.25.1"
STATE_BYTES = 41_000_000
CANDIDATES = ("recall", "tools/calculator")
"""The gene that most are about, and the dearest: the largest of those that nearly all others import."""

_PEER_PROGRAM = """
import json, statistics, sys, time, tantivy
texts, queries = json.load(open(sys.argv[1]))
schema = tantivy.SchemaBuilder()
schema.add_text_field("text", stored=False, tokenizer_name="en_stem")
index = tantivy.Index(schema.build())
writer = index.writer(heap_size=200_000_000, num_threads=1)
for text in texts:
    writer.add_document(tantivy.Document(text=[text]))
writer.commit()
writer.wait_merging_threads()
index.reload()
searcher, times = index.searcher(), []
for query in queries:
    start = time.perf_counter()
    searcher.search(index.parse_query(query, ["text"]), 10)
    times.append((time.perf_counter() - start) * 1000)
print(statistics.median(times))
"""


def texts(count: int, seed: int = 1) -> Iterator[str]:
    """Turns of words that are as frequent as words are."""
    chooser = random.Random(seed)
    words = ["".join(chooser.choices("etaoinshrdlu", k=chooser.randint(3, 10))) for _ in range(WORDS)]
    shares = list(accumulate(1 / (rank + 10) for rank in range(WORDS)))
    for _ in range(count):
        yield " ".join(chooser.choices(words, cum_weights=shares, k=BLOCK_WORDS))


def queries(said: list[str]) -> list[str]:
    """Words of a block each, in another order: most are in many others too."""
    chooser = random.Random(2)
    return [" ".join(chooser.sample(chooser.choice(said).split(), QUERY_WORDS)) for _ in range(QUERIES)]


def timed(asked: list[str], ask: Callable[[str], object]) -> list[float]:
    """What each took, in ms."""
    times = []
    for query in asked:
        start = time.perf_counter()
        ask(query)
        times.append((time.perf_counter() - start) * 1000)
    return times


def of_state(count: int) -> list[Figure]:
    """The gene over a whole state, words alone beside FTS5 and tantivy, additions, and the index made anew."""
    said = list(texts(count))
    asked = queries(said)
    added = [block(f"b{n}", text, thread=f"t{n // THREAD_BLOCKS}", time_ns=n) for n, text in enumerate(said)]
    start = time.perf_counter()
    state = recall.remember(added)
    adding_ms = (time.perf_counter() - start) * 1000 / count
    rows, genome = recall.index(added), recall.seed_genome()
    gene = timed(asked, lambda query: recall.recalled(genome, state, query))
    words = timed(asked, lambda query: state.words.find(query, 10, neighbour=0.0))
    fts5 = timed(asked, lambda query: recall.matched(rows, query))
    sections = state.sections()
    start = time.perf_counter()
    State.from_sections(sections).close()
    loading_ms = (time.perf_counter() - start) * 1000
    start = time.perf_counter()
    State.from_sections(sections | {"words": b""}).close()
    making_s = (time.perf_counter() - start) - loading_ms / 1000
    of = f"{count:,} memories"
    large = count >= 100_000
    found = [
        Figure(f"recall of {of}, p50", median(gene), "ms", 2 if large else None),
        Figure("… p95", percentile(gene, 0.95), "ms", None if large else 5),
        Figure("… p99", percentile(gene, 0.99), "ms", 10 if large else None),
        Figure(f"… words alone, of {of}, p50", median(words), "ms"),
        Figure(
            "… FTS5's time over it",
            median(fts5) / median(words),
            "times",
            50 if large else None,
            "min",
            "FTS5, p50, ms",
            median(fts5),
        ),
        Figure("… a memory added (entry, row and index)", adding_ms, "ms", 1),
        Figure("… the state restored from its sections", loading_ms, "ms"),
        Figure("… the index made from the rows", making_s, "s"),
    ]
    peer_ms = tantivy(said, asked) if large else None
    if peer_ms is not None:
        found.append(
            Figure(
                "… tantivy's time over words alone", peer_ms / median(words), "times", None, "min", "p50, ms", peer_ms
            )
        )
    state.close()
    return found


def tantivy(said: list[str], asked: list[str]) -> float | None:
    """The peer's p50, in a virtual environment of its own; None where it cannot be installed."""
    python = python_with("recall", PEER)
    if python is None:
        return None
    with tempfile.TemporaryDirectory(prefix="o-bench-") as folder:
        file = Path(folder) / "texts.json"
        file.write_text(json.dumps([said, asked]))
        command = [str(python), "-c", _PEER_PROGRAM, str(file)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout)


def of_a_million() -> list[Figure]:
    """The index alone: time and memory."""
    index, sample, longest, spent = MemoryIndex(), [], 0.0, 0.0
    for number, text in enumerate(texts(1_000_000), 1):
        start = time.perf_counter()
        index.add(number, text, None, None, f"t{number // THREAD_BLOCKS}")
        took = time.perf_counter() - start
        longest, spent = max(longest, took), spent + took
        if number % 5_000 == 0:
            sample.append(text)
    times = timed(queries(sample), lambda query: index.find(query, 40, coverage=0.7))
    return [
        Figure("1,000,000 memories, neighbours and all, p50", median(times), "ms"),
        Figure("… p99", percentile(times, 0.99), "ms"),
        Figure("… one added to the index", spent, "us"),
        Figure("… the longest addition", longest * 1000, "ms"),
        Figure("… memory of the index", index.memory_bytes / 1e6, "MB"),
    ]


def of_a_fork() -> list[Figure]:
    """Pages of one of a hundred processes over 41 MB of state after 100 recalls, and its share of all."""
    state, first = State.empty(), 0
    while sum(map(len, state.sections().values())) < STATE_BYTES:
        said = texts(10_000, first + 1)
        recall.remember(
            [block(f"b{first + n}", f"{text} {text}", thread=f"t{n // 20}") for n, text in enumerate(said)], state
        )
        first += 10_000
    with tempfile.TemporaryDirectory(prefix="o-bench-") as folder:
        file = Path(folder) / "state.ckpt"
        with file.open("wb") as opened:
            checkpoint.write(opened, state.sections(), checkpoint.Header(uuid.uuid4(), 1, state.seq, 0, 0, b"", b""))
        state.close()
        program = [sys.executable, "-m", "tests.benchmarks.forks", str(file)]
        written, share = json.loads(subprocess.run(program, check=True, capture_output=True, timeout=120).stdout)
        asked = queries(list(texts(1_000)))[:100]
        confined = shadows.shadows(file, asked)
        candidates = {gene: shadows.shadows(file, asked, f"{gene}.py") for gene in CANDIDATES}
    found = [
        Figure("a fork of 41 MB of state, 100 recalls: pages that it wrote", written / 1e6, "MB", 3),
        Figure("… its PSS, with 99 others", share / 1e6, "MB", 3),
    ]
    if confined is not None:
        found += [
            Figure("… a shadow of the nursery with its genome: pages of its own", confined[0] / 1e6, "MB"),
            Figure("… its PSS, with 99 others", confined[1] / 1e6, "MB", 3),
        ]
    for gene, candidate in candidates.items():
        if candidate is not None:
            limit = 3 if gene == "recall" else None
            found.append(Figure(f"… the same of candidates for the gene {gene}", candidate[1] / 1e6, "MB", limit))
    return found


def of_conversations(file: str) -> list[Figure]:
    """What is found in LoCoMo."""
    found = recall.run(argparse.Namespace(file=file, blocks=0))
    peer = found.peers["fts5"]
    return [
        Figure("LoCoMo, recall@5", found.results["recall@5"], "", 0.65, "min", "FTS5", peer["recall@5"]),
        Figure("… recall@10", found.results["recall@10"], "", 0.74, "min", "FTS5", peer["recall@10"]),
        Figure("… nDCG@10", found.results["ndcg@10"], "", None, "min", "FTS5", peer["ndcg@10"]),
    ]


def figures() -> list[Figure]:
    """The table's lines."""
    corpus = os.environ.get("O_TUI_LOCOMO", "")
    found = of_conversations(corpus) if corpus else []
    return [*found, *of_state(10_000), *of_state(100_000), *of_a_million(), *of_a_fork()]


if __name__ == "__main__":
    report.main(figures)
