"""What crosses into the extension: buffers of every kind, read as they are or refused; and the GIL, let go of."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from o_tui import _native
from o_tui._native import MemoryIndex, VectorIndex

ROW = np.array([3, 1, 2, 4], "<f4")


class Named(bytes):
    """A `bytes` object of a class of its own."""


def by_product(row: Any) -> list[float]:
    """What an index has stored of a row."""
    index = VectorIndex(4, "dot")
    index.add(1, row)
    return np.frombuffer(index.get(1) or b"", "<f4").tolist()


@pytest.mark.parametrize(
    "row",
    [
        ROW,
        ROW.tobytes(),
        Named(ROW.tobytes()),
        bytearray(ROW),
        memoryview(ROW),
        memoryview(b"xx" + ROW.tobytes() + b"yy")[2:-2],
        array("f", ROW),
        (ctypes.c_float * 4)(*ROW),
        ROW.reshape(2, 2),
        ROW.view(np.ma.MaskedArray),
        np.frombuffer(b"x" + ROW.tobytes(), "<f4", offset=1),
    ],
    ids=lambda row: type(row).__name__,
)
def test_each_contiguous_buffer_of_float32_is_a_row(row: Any) -> None:
    assert by_product(row) == ROW.tolist()


@pytest.mark.parametrize("row", [ROW.astype(">f4"), ROW.astype("<f8"), ROW.view("<i4"), "text", 4, None])
def test_other_items_are_refused_and_never_read_as_numbers(row: Any) -> None:
    with pytest.raises(TypeError):
        by_product(row)


@pytest.mark.parametrize(
    "row", [np.zeros(8, "<f4")[::2], ROW[::-1], np.asfortranarray(ROW.reshape(2, 2)), np.array(1, "<f4")]
)
def test_a_buffer_that_does_not_lie_in_one_piece_is_refused(row: Any) -> None:
    with pytest.raises(BufferError):
        by_product(row)


@pytest.mark.parametrize("reads", [VectorIndex.from_bytes, MemoryIndex.from_bytes])
def test_parts_of_bytes_are_read_where_they_lie(reads: Callable[[Any], Any]) -> None:
    index: Any = VectorIndex(4) if reads is VectorIndex.from_bytes else MemoryIndex()
    saved = index.to_bytes()
    whole = memoryview(b"before" + saved + b"behind")
    assert reads(whole[6:-6]).to_bytes() == saved
    for wrong in (whole, whole[5:-6], whole[6:-5], whole[:0]):
        with pytest.raises(ValueError, match=r"damaged|not|cut"):
            reads(wrong)
    assert _native.fingerprint([whole[6:-6]]) == _native.fingerprint([saved]) == _native.fingerprint([bytearray(saved)])


class Ticks:
    """Counts in a thread of its own, which lets go of the GIL at once: no count, and nobody else has let go of it."""

    def __enter__(self) -> Ticks:
        self.count = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tick)
        self._thread.start()
        return self

    def _tick(self) -> None:
        while not self._ended.wait(0.0002):
            self.count += 1

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def during(self, work: Callable[[], object]) -> int:
        """How often it has counted while this was done."""
        before = self.count
        work()
        return self.count - before


@pytest.fixture
def unhurried() -> Iterator[None]:
    """Whoever has the GIL keeps it until it lets go."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(60)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(scope="module")
def large() -> VectorIndex:
    index = VectorIndex(384)
    index.reserve(20_000)
    for id, row in enumerate(np.random.default_rng(1).standard_normal((20_000, 384)).astype("<f4")):
        index.add(id, row)
    return index


def many_words() -> MemoryIndex:
    index = MemoryIndex()
    for number in range(1_500):
        index.add(number, " ".join(f"word{(number * 7 + place) % 60}" for place in range(100)))
    return index


def long_works(large: VectorIndex, folder: Path) -> dict[str, Callable[[], object]]:
    """What takes milliseconds, by what it is; each may be done again."""
    saved, path, row = large.to_bytes(), folder / "vectors", bytes(4 * 384)
    large.save(path)
    words, query = many_words(), " ".join(f"word{number}" for number in range(48))
    body = (folder / "body").open("w+b")
    parts = [os.urandom(1 << 20) for _ in range(8)]
    size, _, _ = _native.pack(body.fileno(), 0, parts)
    packed = _native.Body(body.fileno(), 0, size)
    run = struct.pack("<QQ", (1 << 64) - 1, 8 << 20)
    return {
        "reads a view": lambda: VectorIndex.from_bytes(memoryview(saved)[:]),
        "makes room": lambda: VectorIndex.from_bytes(saved).reserve(100_000),
        "adds to a mapped index": lambda: VectorIndex.map(path).add(1 << 40, row),
        "removes from a mapped index": lambda: VectorIndex.map(path).remove(3),
        "makes codes for one row": lambda: VectorIndex.map(path).search(row, 1, [7], first_pass="binary"),
        "finds in few blocks": lambda: [words.find(query, 10) for _ in range(5)],
        "marks a text with surrogates": lambda: _native.safe_text("a\ud800" * 100_000),
        "looks for what is hidden": lambda: [_native.hidden("раура1 " * 1_000) for _ in range(5)],
        "patches a body": lambda: [packed.patched(0, run, b"x" * (8 << 20)) for _ in range(5)],
    }


def test_others_go_on_while_something_takes_long(large: VectorIndex, tmp_path: Path, unhurried: None) -> None:
    works = long_works(large, tmp_path)
    with Ticks() as ticks:
        stopped = [name for name, work in works.items() if not any(ticks.during(work) for _ in range(5))]
    assert stopped == []


def test_others_go_on_while_a_change_waits_for_a_search(large: VectorIndex, unhurried: None) -> None:
    queries, row = np.zeros((256, 384), "<f4"), bytes(4 * 384)

    def waited() -> tuple[float, int]:
        search = threading.Thread(target=lambda: large.search_batch(queries, 5, first_pass="exact", threads=1))
        search.start()
        time.sleep(0.005)  # the search is long under way then, and the change stands before its lock
        start = time.perf_counter()
        count = ticks.during(lambda: large.add(1 << 40, row))
        took = time.perf_counter() - start
        search.join()
        return took, count

    with Ticks() as ticks:
        waits = (waited() for _ in range(20))
        long = list(islice((count for took, count in waits if took > 0.01), 2))
    assert long, "no change has waited"
    assert any(long)


def test_two_threads_that_want_different_codes_both_find(large: VectorIndex) -> None:
    query = np.ones(384, "<f4")

    def search(first_pass: Any) -> int:
        return sum(len(large.search(query, 5, first_pass=first_pass)) for _ in range(20))

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(search, ["bfloat16", "float16"])) == [100, 100]


HUGE = [0, 1, 1 << 32, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, -1]
SAMPLES = [b"{'role': 'user', 'content': 'hello %d'}" % number * 20 for number in range(200)]


def test_no_number_is_too_large_for_an_error_of_python(tmp_path: Path) -> None:
    file = (tmp_path / "body").open("w+b")
    size, _, _ = _native.pack(file.fileno(), 0, [b"hello" * 1_000], b"tail")
    body, index, words = _native.Body(file.fileno(), 0, size), VectorIndex(4), MemoryIndex()
    index.add(1, ROW)
    words.add(1, "one word")
    dictionary = _native.Dictionary(_native.train_dictionary(SAMPLES, 2_000))
    packed = dictionary.compress(SAMPLES[0])
    calls: list[Callable[[int], object]] = [
        lambda number: _native.train_dictionary(SAMPLES, number),
        lambda number: dictionary.decompress(packed, number),
        lambda number: _native.Body(file.fileno(), number, size),
        lambda number: _native.Body(file.fileno(), 0, number),
        lambda number: _native.file_sha256(file.fileno(), number, 1),
        lambda number: _native.delta([b"x"], b"", b"", number),
        lambda number: body.read(number, 1),
        lambda number: body.read(1, number),
        lambda number: body.patched(number, struct.pack("<QQ", 0, 1), b""),
        lambda number: body.patched(0, struct.pack("<QQ", number, number), b""),
        lambda number: body.unpack(number, [("all", number, bytes(32))]),
        lambda number: body.check(number, [("all", number, bytes(32))] * 2),
        lambda number: VectorIndex(number),
        lambda number: index.search(ROW, number),
        lambda number: index.search(ROW, 1, [number]),
        lambda number: index.search(ROW, 1, threads=number),
        lambda number: index.search_arrays(ROW, number),
        lambda number: VectorIndex(4).reserve(number),
        lambda number: words.find("word", number),
        lambda number: words.search("word", number, vectors=index, vector=ROW.tobytes(), meaning=1.0),
        lambda number: MemoryIndex().add(number, "text"),
        lambda number: _native.embed("text", number),
        lambda number: _native.safe_text("text", number),
        lambda number: _native.check_frame(b"\x91\x01", number, number),
    ]
    for call in calls:
        for number in HUGE:
            with contextlib.suppress(ValueError, OverflowError, MemoryError, OSError, struct.error):
                call(number)


def test_a_damaged_dictionary_is_refused() -> None:
    learned = _native.train_dictionary(SAMPLES, 2_000)
    _native.Dictionary(learned)
    with pytest.raises(ValueError, match="dictionary"):
        _native.Dictionary(learned[:20])
