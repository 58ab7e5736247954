"""The memory's index: what FTS5 finds by one word it finds too, and the same blocks always give the same answers."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o_tui import _native
from o_tui._native import MemoryIndex
from tests.support.patience import PATIENCE_S

STEMS = "hop relat condit valenc hesit digit conform radic differ vil analog vietnam predic oper feudal decis hop form"
ENDINGS = (
    "ational tional enci anci izer logi bli alli entli eli ousli ization ation ator alism iveness fulness ousness aliti"
    " iviti biliti icate ative alize iciti ical ful ness al ance ence er ic able ible ant ement ment ent ion ou ism ate"
    " iti ous ive ize ed ing s es ies eed y e ll"
)
ODD = "Straße Äpfel naïve CAFÉS Ünïcödé façade résumés piñatas 42 v2 x y ice skies agreed"
SENTENCE = "the cat sat on a mat in Rome with Ada and painted it"


def words() -> list[str]:
    """Some thousand words: stems with endings upon endings, letters at random, accents, capitals."""
    chooser = random.Random(7)
    endings = ENDINGS.split()
    made = set(ODD.split())
    for stem in STEMS.split():
        made |= {stem, *(stem + ending for ending in endings)}
    while len(made) < 4_000:
        start = "".join(chooser.choices("aeioubcdstlwxyz", k=chooser.randint(0, 6)))
        made.add(start + chooser.choice(endings) + chooser.choice(["", "", *endings]))
    return sorted(made)


def test_words_fall_together_as_in_fts5() -> None:
    every = words()
    index, rows = MemoryIndex(), sqlite3.connect(":memory:")
    rows.execute("CREATE VIRTUAL TABLE words USING fts5(text, tokenize='porter unicode61')")
    for number, word in enumerate(every, 1):
        index.add(number, word)
        rows.execute("INSERT INTO words(rowid, text) VALUES(?, ?)", (number, word))
    for word in every:
        found = rows.execute("SELECT rowid FROM words WHERE words MATCH ?", (f'"{word}"',))
        assert {number for number, _score, _coverage in index.find(word, 9_999)} == {row[0] for row in found}, word


texts = st.lists(st.sampled_from(SENTENCE.split()), max_size=12)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), texts, st.sampled_from(["", "s", "t"])),
        st.tuples(st.just("remove"), st.integers(0, 40)),
    ),
    max_size=60,
)


@settings(max_examples=150)
@given(steps, st.integers(0, 60))
def test_how_an_index_came_about_does_not_matter(history: list[tuple[object, ...]], saved_at: int) -> None:
    index, kept = MemoryIndex(), {}
    for at, step in enumerate(history):
        if at == saved_at:
            index = MemoryIndex.from_bytes(index.to_bytes())
        if step[0] == "add":
            number = max(kept, default=0) + 1  # as SQLite numbers rows
            kept[number] = (" ".join(step[1]), "at home", "test", step[2])  # type: ignore[arg-type]
            index.add(number, *kept[number])  # type: ignore[arg-type]
        else:
            assert index.remove(step[1]) == (kept.pop(step[1], None) is not None)  # type: ignore[arg-type, call-overload]
    fresh = MemoryIndex()
    for number, fields in sorted(kept.items()):
        fresh.add(number, *fields)  # type: ignore[arg-type]
    assert (len(index), index.numbers) == (len(fresh), fresh.numbers) == (len(kept), sum(kept))
    again = MemoryIndex.from_bytes(index.to_bytes(5))
    assert (len(again), again.numbers, again.to_bytes(5)) == (len(index), index.numbers, index.to_bytes(5))
    for query in ("cat", "painting Rome with Ada", "home test", "the mat in the"):
        found = fresh.find(query, 50, coverage=0.7)
        assert index.find(query, 50, coverage=0.7) == again.find(query, 50, coverage=0.7) == found


FORKED = """
import gc, os, random
from pathlib import Path
from o_tui._native import MemoryIndex

def private_kib():
    lines = Path("/proc/self/smaps_rollup").read_text("ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))

index, chooser = MemoryIndex(), random.Random(3)
vocabulary = ["".join(chooser.choices("abcdefghij", k=6)) for _ in range(5_000)]
for number in range(1, 30_001):
    index.add(number, " ".join(chooser.choices(vocabulary, k=30)), thread=f"t{number // 20}")
index = MemoryIndex.from_bytes(index.to_bytes())
asked = [" ".join(chooser.choices(vocabulary, k=8)) for _ in range(100)]
gc.freeze()
pid = os.fork()
if pid == 0:
    before = private_kib()
    for number, query in enumerate(asked):
        index.find(query, 40)
        index.add(30_001 + number, 4 * query, thread="t1500")
    index.remove(15_000)
    index.rest()
    print(private_kib() - before, index.memory_bytes // 1024, flush=True)
    os._exit(0)
os.waitpid(pid, 0)
"""


def test_a_fork_that_searches_and_adds_shares_the_rest() -> None:
    # a process of its own: how much of a page is free in this one is chance
    done = subprocess.run(
        [sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    grown, index = map(int, done.stdout.split())
    assert index > 2_000
    assert grown < 1_500  # the new blocks, not the index


def test_numbers_must_go_up_and_bytes_be_whole() -> None:
    index = MemoryIndex()
    index.add(5, "five")
    with pytest.raises(ValueError, match="block 5 does not come after"):
        index.add(5, "five again")
    assert 5 in index and 4 not in index and len(index) == 1
    saved = index.to_bytes(2**64 - 1)
    assert MemoryIndex.from_bytes(memoryview(saved)).stamp == 2**64 - 1
    for wrong in (b"", saved[:-1], b"x" + saved[1:], saved + b"x"):
        with pytest.raises(ValueError, match="cannot be used"):
            MemoryIndex.from_bytes(wrong)


def test_any_text_at_all_is_taken() -> None:
    index = MemoryIndex()
    for number, text in enumerate(("", "\0", "\ud800 lone", "🙂", "x" * 300_000, "東京都 の 天気", "a " * 100_000), 1):
        index.add(number, text, text, text, text)
    assert [number for number, _score, _coverage in index.find("東京", 5)] == [6]
    assert index.find("\ud800 lone", 1)[0][0] == 3


def test_words_and_meaning_are_weighed_in_one_call() -> None:
    index, vectors = _native.MemoryIndex(), _native.VectorIndex(64)
    texts = ["the cat sleeps on the sofa", "a dog barks at the cat", "rain falls", "taxes are due"]
    for number, text in enumerate(texts, 1):
        index.add(number, text)
        if number != 2:
            vectors.add(number, _native.embed(text, 64))
    query, weight = "cat on sofa", 0.35
    vector = _native.embed(query, 64)
    words = index.find(query, 10, coverage=0.7)
    scale = words[0][2] / words[0][1]
    cosines = dict(vectors.search(vector, 10))
    scores = {number: score * scale for number, score, _coverage in words}
    expected = {
        number: (1 - weight) * scores.get(number, 0.0) + weight * max(0.0, cosines.get(number, 0.0))
        for number in scores | cosines
    }
    found = index.search(query, 10, vectors=vectors, vector=vector, meaning=weight, coverage=0.7)
    assert {number: score for number, score, _cosine in found} == pytest.approx(expected)
    assert [score for _number, score, _cosine in found] == pytest.approx(sorted(expected.values(), reverse=True))
    assert {number: cosine for number, _score, cosine in found if number != 2} == pytest.approx(cosines)
    alone = index.search(query, 10, coverage=0.7)
    assert {number: score for number, score, _cosine in alone} == pytest.approx(scores)
    with pytest.raises(ValueError, match="256"):
        index.search(query, 10, vectors=vectors, vector=vector[:8], meaning=weight)
