"""The state: sections that restore without rebuilding, and what is refused."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import struct
import uuid
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from o_tui import _native
from o_tui.agent import reducers
from o_tui.agent.memory import MemorySearch
from o_tui.agent.state import Meta, State
from o_tui.protocol import checkpoint, operations
from o_tui.protocol.checkpoint import Header
from o_tui.protocol.errors import CorruptError
from tests.support.agents import block, entries


def filled(count: int = 40) -> State:
    state = State.empty()
    reducers.apply_all(state, entries([block(f"b{n}", f"memory number {n} of the demo") for n in range(count)]))
    return state


def test_meta_comes_back() -> None:
    state = filled()
    switch = operations.GenomeSwitch(revision="f" * 40, version="1.2.3")
    running = operations.LifecycleChange(state="running")
    reducers.apply_all(state, entries([switch, running], 41))
    meta = State.from_sections(state.sections()).meta
    assert (meta.seq, meta.revision, meta.version, meta.lifecycle) == (42, "f" * 40, "1.2.3", "running")
    assert meta.digest == state.digest != operations.GENESIS


def test_values_and_tools_can_be_read() -> None:
    state = State.empty()
    tool = operations.ToolRegister(name="dates", description="d", parameters={}, revision="r1")
    update = operations.StateUpdate(key="k", value={"a": [1, None]})
    reducers.apply_all(state, entries([tool, update]))
    assert state.tools() == {"dates": "r1"}
    assert state.value("k") == {"a": [1, None]}
    assert state.value("?", 5) == 5


def test_replicas_agree_whatever_their_pages_and_indexes_look_like() -> None:
    one, other = filled(), filled()
    other.database.execute("CREATE TABLE t(a); ").execute("DROP TABLE t")
    reducers.apply_all(one, entries([operations.MemoryRemove(ids=["b7"])], 41))
    other.database.execute("DELETE FROM blocks WHERE id = 'b7'")
    other.meta.seq, other.meta.digest = one.seq, one.digest
    other.words = _native.MemoryIndex()
    assert one.sections()["memory"] != other.sections()["memory"]
    assert one.logical_digest() == other.logical_digest()


def vector(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


def test_a_vector_that_differs_is_a_difference() -> None:
    states = [State.empty(), State.empty()]
    for state, way in zip(states, (1.0, -1.0), strict=True):
        reducers.apply_all(state, entries([block("a", "x", vector=vector(way, 0.0))]))
    states[1].meta.digest = states[0].meta.digest
    assert states[0].logical_digest() != states[1].logical_digest()


def test_embeddings_have_the_size_of_their_model() -> None:
    state = State.empty()
    assert state.vectors is None and "vectors" not in state.sections()
    reducers.apply_all(state, entries([block("a", "x", vector=vector(1, 0)), block("b", "y")]))
    state = State.from_sections(state.sections())
    assert state.vectors is not None and (state.vectors.dimensions, len(state.vectors)) == (2, 1)
    # another model: what the one before it made cannot be compared any more
    reducers.apply_all(state, entries([block("c", "z", vector=vector(0, 1, 0))], 3))
    assert (state.vectors.dimensions, len(state.vectors), state.meta.dimensions) == (3, 1, 3)
    reducers.apply_all(state, entries([operations.MemoryRemove(ids=["c"])], 4))
    assert len(state.vectors) == 0


def test_restoring_leaves_both_usable() -> None:
    first = filled()
    second = State.from_sections(first.sections())
    more = entries([block("new", "something new")], 41)
    reducers.apply_all(first, more)
    reducers.apply_all(second, more)
    assert MemorySearch(second).lexical("something", 1)[0].block.id == "new"
    assert first.logical_digest() == second.logical_digest()


@pytest.mark.parametrize("missing", ["meta", "memory"])
def test_a_missing_section_is_corruption(missing: str) -> None:
    sections = filled().sections()
    del sections[missing]
    with pytest.raises(CorruptError, match=missing):
        State.from_sections(sections)


@pytest.mark.parametrize("name", ["meta", "memory"])
def test_garbage_is_corruption(name: str) -> None:
    with pytest.raises(CorruptError):
        State.from_sections({**filled().sections(), name: b"\x93garbage" * 999})


def test_vectors_of_another_model_are_not_mixed_with_those_that_are_there() -> None:
    state = State.empty()
    one, other = {"vector": vector(1, 0), "embedder": "one"}, {"vector": vector(0, 1), "embedder": "other"}
    reducers.apply_all(state, entries([block("a", "x", vector=vector(1, 1)), block("b", "y", **one)]))
    assert state.vectors is not None and (len(state.vectors), state.meta.embedder) == (2, "one")
    assert state.compares("one") and not state.compares("other")
    reducers.apply_all(state, entries([block("c", "z", **other)], 3))
    assert (len(state.vectors), state.meta.embedder) == (1, "other")
    again = State.from_sections(state.sections())
    assert again.meta.embedder == "other" and again.logical_digest() == state.logical_digest()


def test_vectors_that_do_not_belong_to_the_rows_are_corruption() -> None:
    state = State.empty()
    reducers.apply_all(state, entries([block("a", "x", vector=vector(1, 0))]))
    sections = state.sections()
    with pytest.raises(CorruptError, match="other vectors"):
        State.from_sections({**sections, "vectors": _native.VectorIndex(3).to_bytes()})
    with pytest.raises(CorruptError, match="vectors"):
        State.from_sections({key: value for key, value in sections.items() if key != "vectors"})


def older(state: State) -> bytes:
    """An index that was saved before the last entry."""
    return state.words.to_bytes(state.seq - 1)


def other_rows(state: State) -> bytes:
    return filled(39).words.to_bytes(state.seq)


@pytest.mark.parametrize("saved", [lambda _state: b"", lambda _state: b"O_MEMORY\1garbage" * 99, older, other_rows])
def test_an_index_that_is_missing_damaged_older_or_wrong_is_made_from_the_rows(
    saved: Callable[[State], bytes],
) -> None:
    state = filled()
    again = State.from_sections({**state.sections(), "words": saved(state)})
    assert len(again.words) == 40
    assert MemorySearch(again).lexical("number 17", 1) == MemorySearch(state).lexical("number 17", 1)
    assert again.logical_digest() == state.logical_digest()


def test_an_index_that_fits_is_not_made_anew() -> None:
    state = filled()
    words = _native.MemoryIndex()
    for number in range(1, 41):
        words.add(number, "something else")
    again = State.from_sections({**state.sections(), "words": words.to_bytes(state.seq)})
    assert len(MemorySearch(again).lexical("else", 99)) == 40


def test_some_memories_with_many_words_make_a_small_delta(tmp_path: Path) -> None:
    chooser = random.Random(5)

    def many(count: int) -> list[operations.MemoryAdd]:
        words = ("".join(chooser.choices("aeioubdfgklmnprst", k=5)) for _ in range(50 * count))
        return [block(f"{chooser.getrandbits(64):x}", " ".join(islice(words, 50))) for _ in range(count)]

    def written(name: str, base: Path | None = None) -> Header:
        empty = Header(uuid.uuid4(), 1, state.seq, 0, 0, bytes(32), state.digest)
        with (tmp_path / name).open("wb") as file, contextlib.ExitStack() as stack:
            return checkpoint.write(file, state.sections(), empty, base and stack.enter_context(base.open("rb")))

    state = State.empty()
    first = many(3_000)
    reducers.apply_all(state, entries(first))
    full = written("full")
    gone = operations.MemoryRemove(ids=[first[1_500].id])
    reducers.apply_all(state, entries([gone, *many(5)], 3_001))
    delta = written("delta", tmp_path / "full")
    assert delta.is_delta and delta.compressed_bytes < full.compressed_bytes / 8


FORMAT_1 = """
CREATE TABLE blocks(
  n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, text TEXT NOT NULL, source TEXT NOT NULL,
  context TEXT NOT NULL, time_ns INTEGER NOT NULL, importance REAL NOT NULL, accesses INTEGER NOT NULL);
CREATE INDEX blocks_time ON blocks(time_ns);
CREATE INDEX blocks_kind ON blocks(kind, time_ns);
CREATE VIRTUAL TABLE words USING fts5(
  text, context, source, content='blocks', content_rowid='n', tokenize='porter unicode61');
INSERT INTO words(words, rank) VALUES('automerge', 16), ('crisismerge', 64);
CREATE TABLE turns(
  n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, session TEXT NOT NULL, role TEXT NOT NULL, text TEXT NOT NULL,
  time_ns INTEGER NOT NULL);
CREATE INDEX turns_session ON turns(session, n);
CREATE TABLE state_values(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE tools(
  name TEXT PRIMARY KEY, description TEXT NOT NULL, parameters BLOB NOT NULL, revision TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO blocks VALUES
  (3, 'a', 'semantic', 'We painted the house', 'test', '', 5, 0.5, 2),
  (7, 'b', 'episodic', 'A cat', 'test', 'mat', 6, 0.5, 0);
INSERT INTO words(rowid, text, context, source) SELECT n, text, context, source FROM blocks;
INSERT INTO turns VALUES(1, 't', 'main', 'user', 'hello', 4);
"""


def test_a_checkpoint_of_format_1_is_brought_up_to_date() -> None:
    database = sqlite3.connect(":memory:")
    database.executescript(FORMAT_1)
    vectors = _native.VectorIndex(256)
    for number in (3, 7):
        vectors.add(number, _native.embed("text"))
    meta = {"format": 1, "seq": 9, "digest": b"d" * 32, "lifecycle": "running", "dimensions": 256}
    old = {"meta": msgspec.msgpack.encode(meta), "memory": database.serialize(), "vectors": vectors.to_bytes()}
    state = State.from_sections(old)
    assert (state.seq, state.meta.lifecycle, state.vectors) == (9, "running", None)
    assert [hit.block.id for hit in MemorySearch(state).lexical("painting", 5)] == ["a"]
    assert [row[0] for row in state.rows("SELECT name FROM sqlite_schema WHERE name LIKE 'words%'")] == []
    reducers.apply_all(state, entries([block("c", "painted again", thread="t")], 10))
    again = State.from_sections(state.sections())
    assert [hit.block.id for hit in MemorySearch(again).lexical("painting", 5)] == ["c", "a"]
    assert again.logical_digest() == state.logical_digest()


def test_another_format_is_refused() -> None:
    with pytest.raises(CorruptError, match="format 9"):
        State.from_sections({**filled().sections(), "meta": msgspec.msgpack.encode(Meta(format=9))})
