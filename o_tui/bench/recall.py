"""What the shipped gene `recall` finds in recorded conversations, beside SQLite's FTS5, and how long both take.

In this process: the real state, reducers and genome, no guardian, no network, no model. Each conversation is searched
by itself; a question's evidence names the turns that answer it. Then the same turns, over and over, fill a
larger memory.
"""

from __future__ import annotations

import argparse
import itertools
import math
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from o_tui.agent import reducers
from o_tui.agent.genome_loader import Genome
from o_tui.agent.memory import MemorySearch, telling_words
from o_tui.agent.state import State
from o_tui.bench.report import Report, median, percentile
from o_tui.guardian.imports import Conversation, decoded, read_conversations
from o_tui.paths import shipped
from o_tui.protocol import operations
from o_tui.protocol.errors import UsageError

K = 10
CATEGORIES = (1, 2, 3, 4)
"""Of the questions that count: 5 are those that the conversation does not answer."""
LARGE_QUESTIONS = 300
_EVIDENCE = re.compile(r"D:?(\d{1,9}):(\d{1,9})(?!\d)", re.ASCII)
_WORD = re.compile(r"\w+")
_BATCH = 500

Ask = Callable[[str], list[str]]
"""A question to the sources of what was found, best first."""


class Asked(msgspec.Struct):
    """A question about a conversation, and which turns answer it."""

    question: str
    category: int
    evidence: list[Any] | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One question, and the dialogue ids of the turns that answer it."""

    text: str
    category: int
    evidence: frozenset[str]


@dataclass(slots=True)
class Tally:
    """What came out for each question: category, recall at 5 and 10, nDCG at 10, ms."""

    rows: list[tuple[int, float, float, float, float]] = field(default_factory=list)

    def ask(self, question: Question, ask: Ask) -> None:
        """Asks one and notes what came."""
        start = time.perf_counter()
        sources = ask(question.text)
        took_ms = (time.perf_counter() - start) * 1000
        found = [place_of(source) for source in sources][:K]
        at_5, at_10 = (len(question.evidence & set(found[:k])) / len(question.evidence) for k in (5, K))
        self.rows.append((question.category, at_5, at_10, gain(found, question.evidence), took_ms))

    def figures(self) -> dict[str, float]:
        """The means, and the times' percentiles."""
        times = [row[4] for row in self.rows]
        return {**self._means(self.rows), **times_ms(times)}

    def by_category(self) -> dict[str, float]:
        """The means of each category."""
        found = {}
        for category in CATEGORIES:
            rows = [row for row in self.rows if row[0] == category]
            for name, value in self._means(rows).items() if rows else ():
                found[f"category_{category}_{name}"] = value
        return found

    @staticmethod
    def _means(rows: Sequence[tuple[int, float, float, float, float]]) -> dict[str, float]:
        names = ("recall@5", "recall@10", "ndcg@10")
        means = {name: sum(row[at] for row in rows) / len(rows) for at, name in enumerate(names, 1)}
        return means | {"questions": len(rows)}


def place_of(source: str) -> str:
    """The dialogue id in a memory's source."""
    return source.rsplit(":", 2)[1] + ":" + source.rsplit(":", 1)[1]


def gain(found: Sequence[str], evidence: frozenset[str]) -> float:
    """nDCG: how early the evidence comes, beside the best order."""
    got = sum(1 / math.log2(rank + 2) for rank, each in enumerate(found) if each in evidence)
    return got / sum(1 / math.log2(rank + 2) for rank in range(min(len(evidence), K)))


def times_ms(times: Sequence[float]) -> dict[str, float]:
    """The percentiles that the limits speak of."""
    return {"p50_ms": median(times), "p95_ms": percentile(times, 0.95), "p99_ms": percentile(times, 0.99)}


def run(arguments: argparse.Namespace) -> Report:
    """The benchmark; raises for the file as `read_locomo`."""
    conversations = read(Path(arguments.file))
    genome = seed_genome()
    ours, fts5 = Tally(), Tally()
    blocks: list[operations.MemoryAdd] = []
    questions: list[Question] = []
    for items, asked in conversations:
        added = list(memories(items, genome, len(blocks)))
        state, rows = remember(added), index(added)
        for question in asked:
            ours.ask(question, lambda text, state=state: recalled(genome, state, text))  # type: ignore[misc]
            fts5.ask(question, lambda text, rows=rows: matched(rows, telling_words(text)))  # type: ignore[misc]
        state.close()
        blocks += added
        questions += asked
    report = Report({**ours.figures(), "blocks": len(blocks), **ours.by_category()}, {"fts5": fts5.figures()})
    report.ratios["recall@5 beside fts5"] = report.results["recall@5"] / max(1e-9, report.peers["fts5"]["recall@5"])
    report.notes.append("recall@k: the share of a question's evidence among the first k; categories 1 to 4.")
    if arguments.blocks:
        large(report, genome, blocks, questions[:: max(1, len(questions) // LARGE_QUESTIONS)], arguments.blocks)
    return report


def seed_genome() -> Genome:
    """The genome that O is shipped with."""
    folder = shipped("data") / "genome"
    files = [path for path in folder.rglob("*") if path.suffix in (".py", ".md", ".toml")]
    return Genome("0" * 40, "0.0.0", {str(path.relative_to(folder)): path.read_text("utf-8") for path in files})


def read(path: Path) -> list[tuple[list[dict[str, Any]], list[Question]]]:
    """Each conversation's memories (as `memory.add` takes them), and its questions with evidence."""
    found = decoded(path, read_conversations_of)
    if not any(asked for _items, asked in found):
        raise UsageError(f"{path} has no questions with evidence")
    return found


def read_conversations_of(conversations: Sequence[Conversation]) -> list[tuple[list[dict[str, Any]], list[Question]]]:
    """`read` of what is decoded already."""
    return [(read_conversations([one])[0], list(_questions(one))) for one in conversations]


def _questions(conversation: Conversation) -> Iterator[Question]:
    try:
        asked = msgspec.convert(conversation.qa or [], list[Asked])
    except msgspec.ValidationError as error:
        raise msgspec.ValidationError(f"{error} in qa of {conversation.sample_id}") from None
    for one in asked:
        named = (_EVIDENCE.findall(str(each)) for each in one.evidence or ())
        evidence = frozenset(f"D{int(session)}:{int(turn)}" for session, turn in itertools.chain(*named))
        if evidence and one.category in CATEGORIES:
            yield Question(one.question, one.category, evidence)


def memories(items: Sequence[dict[str, Any]], genome: Genome, first: int) -> Iterator[operations.MemoryAdd]:
    """The operations for a conversation, as an import makes them."""
    number = itertools.count(first)
    for item in items:
        for piece in genome.chunk(item["text"]):
            yield operations.MemoryAdd(
                id=f"b{next(number)}", importance=genome.importance(piece, item["kind"]), **{**item, "text": piece}
            )


def remember(added: Sequence[operations.MemoryAdd], state: State | None = None) -> State:
    """A state with these memories, by way of the log's entries."""
    state = state or State.empty()
    for start in range(0, len(added), _BATCH):
        entries: list[bytes] = []
        for each in added[start : start + _BATCH]:
            name, data = operations.pack(each)
            seq = state.seq + len(entries) + 1
            entries.append(operations.pack_entry(operations.Entry(seq, seq, 1, "bench", 0, name, data)))
        reducers.apply_all(state, entries)
    return state


def recalled(genome: Genome, state: State, text: str, now_ns: int = 0) -> list[str]:
    """What the gene recalls."""
    return [hit.block.source for hit in genome.recall(text, MemorySearch(state), K, now_ns)]


def index(added: Sequence[operations.MemoryAdd]) -> sqlite3.Connection:
    """The peer: one FTS5 row a memory, its text and its source."""
    rows = sqlite3.connect(":memory:")
    rows.execute("CREATE VIRTUAL TABLE words USING fts5(text, source UNINDEXED, tokenize='porter unicode61')")
    rows.executemany("INSERT INTO words VALUES(?, ?)", ((each.text, each.source) for each in added))
    return rows


def matched(rows: sqlite3.Connection, text: str) -> list[str]:
    """What FTS5 finds for any of the words."""
    query = " OR ".join(f'"{word}"' for word in dict.fromkeys(_WORD.findall(text.lower())))
    if not query:
        return []
    found = rows.execute("SELECT source FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?", (query, K))
    return [source for (source,) in found]


def large(
    report: Report,
    genome: Genome,
    blocks: Sequence[operations.MemoryAdd],
    questions: Sequence[Question],
    count: int,
) -> None:
    """The times with `count` memories: the gene, its words alone, and FTS5 for the same words."""
    state = State.empty()
    added = [_copy(blocks[number % len(blocks)], number, number // len(blocks)) for number in range(count)]
    start = time.perf_counter()
    remember(added, state)
    adding_s = time.perf_counter() - start
    rows = index(added)
    times: dict[str, list[float]] = {"gene": [], "words": [], "fts5": []}
    for question in questions:
        words = telling_words(question.text)
        ask: dict[str, Callable[[], object]] = {
            "gene": lambda text=question.text: recalled(genome, state, text),  # type: ignore[misc]
            "words": lambda words=words: state.words.find(words, K, neighbour=0.0),  # type: ignore[misc]
            "fts5": lambda words=words: matched(rows, words),  # type: ignore[misc]
        }
        for name, go in ask.items():
            start = time.perf_counter()
            go()
            times[name].append((time.perf_counter() - start) * 1000)
    found = {name: times_ms(each) for name, each in times.items()}
    report.results |= {f"{count}_blocks_{name}": value for name, value in found["gene"].items()}
    report.results |= {f"{count}_blocks_words_{name}": value for name, value in found["words"].items()}
    report.results[f"{count}_blocks_add_ms"] = adding_s * 1000 / count
    report.peers["fts5"] |= {f"{count}_blocks_{name}": value for name, value in found["fts5"].items()}
    report.ratios[f"{count}_blocks_words_p50"] = found["fts5"]["p50_ms"] / found["words"]["p50_ms"]
    report.notes.append("`words` is the search for the same words that FTS5 is given; ratios are its time over ours.")
    state.close()


def _copy(block: operations.MemoryAdd, number: int, turn: int) -> operations.MemoryAdd:
    return operations.MemoryAdd(
        id=f"c{number}",
        kind=block.kind,
        text=block.text,
        source=block.source,
        context=block.context,
        time_ns=block.time_ns,
        importance=block.importance,
        thread=f"{block.thread}/{turn}",
    )
