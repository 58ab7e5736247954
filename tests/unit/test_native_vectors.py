"""Vectors: the embedding against its description, the search against numpy, saved indexes against damage."""

from __future__ import annotations

import gc
import os
import sys
import unicodedata
from array import array
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from o_tui import _native
from o_tui._native import VectorIndex, embed

MASK = (1 << 64) - 1


def reference(text: str, dimensions: int) -> np.ndarray:
    """The description in rust/core/src/vectors/embed.rs once more, in words of one syllable."""
    features: Counter[tuple[str, str]] = Counter()
    for word in "".join(c if c.isalnum() else " " for c in text.lower()).split(" "):
        wide = any(c >= "\u2e80" for c in word)
        letters, widths = (word, (1, 2, 3)) if wide else (f"<{word}>", (3, 4, 5))
        if word:
            features["w", word] += 1
        if wide or len(word) > 3:
            for width in widths:
                for start in range(len(letters) - width + 1):
                    features["c", letters[start : start + width]] += 1
    sums = np.zeros(dimensions)
    for (kind, part), times in features.items():
        value = 0xCBF29CE484222325
        for byte in (kind + part).encode():
            value = ((value ^ byte) * 0x100000001B3) & MASK
        value = ((value ^ (value >> 33)) * 0xFF51AFD7ED558CCD) & MASK
        value = ((value ^ (value >> 33)) * 0xC4CEB9FE1A85EC53) & MASK
        value ^= value >> 33
        weight = times**0.5 * (0.3 if kind == "w" and len(part) <= 3 else 1.0)
        sums[((value & 0xFFFFFFFF) * dimensions) >> 32] += -weight if value >> 63 else weight
    sums[abs(sums) < 1e-9] = 0.0  # features that cancel, but for rounding
    length = float(np.sqrt((sums**2).sum()))
    return sums / length if length else sums


def known_letters(text: str) -> bool:
    """Rust and Python may know different versions of Unicode; so only letters that are old, and no odd cases."""
    return all(unicodedata.category(c) in ("Lu", "Ll", "Lo", "Nd", "Po", "Zs") and c not in "İΣ" for c in text)


@given(
    st.text(st.sampled_from("abcdefgh ABC 012 ,.éßЖд東京都ひ"), max_size=80).filter(known_letters),
    st.integers(1, 300),
)
@example("ひ.東", 1)
def test_embedding_is_as_described(text: str, dimensions: int) -> None:
    vector = np.frombuffer(embed(text, dimensions), "<f4")
    np.testing.assert_allclose(vector, reference(text, dimensions), atol=1e-6)


def test_embedding_takes_anything() -> None:
    assert _native.EMBEDDER == "ngram-256-v1"
    assert len(embed("words")) == 1024
    assert embed("") == bytes(1024)
    assert embed("a lone \ud800 surrogate") == embed("a lone \ufffd surrogate")
    long = "many words " * 100_000
    assert abs(float(np.linalg.norm(np.frombuffer(embed(long), "<f4"))) - 1) < 1e-5
    for dimensions in (0, 16_385, 1 << 40):
        with pytest.raises(ValueError, match="dimensions"):
            embed("x", dimensions)


@settings(max_examples=40)
@given(st.data())
def test_search_is_what_numpy_finds(data: st.DataObject) -> None:
    size = data.draw(st.sampled_from([2, 3, 8, 17, 64]))
    count = data.draw(st.integers(0, 60))
    random = np.random.default_rng(data.draw(st.integers(0, 1 << 30)))
    rows = random.standard_normal((count, size)).astype("<f4")
    ids = random.choice(1 << 60, count, replace=False)
    index = VectorIndex(size)
    for id, row in zip(ids, rows, strict=True):
        index.add(int(id), row.tobytes())
    for gone in range(0, count, 3):
        assert index.remove(int(ids[gone]))
        assert not index.remove(int(ids[gone]))
    kept = [i for i in range(count) if i % 3]
    among = kept[::2] if data.draw(st.booleans()) else None
    query = random.standard_normal(size).astype("<f4")
    k = data.draw(st.integers(0, 70))
    scores = {
        int(ids[i]): float(rows[i] @ query / np.linalg.norm(rows[i]) / np.linalg.norm(query))
        for i in (kept if among is None else among)
    }
    best = sorted(scores, key=lambda id: -scores[id])[:k]
    asked = None if among is None else [int(ids[i]) for i in among] + [12345]
    found = VectorIndex.from_bytes(index.to_bytes()).search(query.tobytes(), k, asked)
    assert [id for id, _ in found] == best
    np.testing.assert_allclose([score for _, score in found], [scores[id] for id in best], atol=1e-5)
    assert len(index) == len(kept)
    assert all(int(ids[i]) in index for i in kept)


def filled(matrix: np.ndarray, **options: Any) -> VectorIndex:
    index = VectorIndex(matrix.shape[1], **options)
    for id, row in enumerate(matrix):
        index.add(id, row)
    return index


@pytest.mark.parametrize("metric", ["cosine", "dot"])
@pytest.mark.parametrize("spread", [1.0, 1e-6, 0.0], ids=["random", "near-duplicates", "equal"])
def test_a_certified_search_is_a_plain_scan_to_the_bit(metric: str, spread: float) -> None:
    random = np.random.default_rng(3)
    matrix = (random.standard_normal(48) + spread * random.standard_normal((3000, 48)) * 10).astype("<f4")
    index = filled(matrix, metric=metric)
    queries = np.vstack([matrix[:5], random.standard_normal((7, 48))]).astype("<f4")
    plain = [index.search(query, 20, first_pass="exact") for query in queries]
    assert [index.search(query, 20, first_pass="certified") for query in queries] == plain
    assert [index.search(query, 20) for query in queries] == plain
    assert index.search_batch(queries, 20) == plain
    ids, scores = index.search_arrays(queries, 20)
    assert [list(zip(*found, strict=True)) for found in zip(ids.tolist(), scores.tolist(), strict=True)] == plain
    assert [len(found) for found in plain] == [20] * 12
    ordered = [sorted(found, key=lambda one: (-one[1], one[0])) for found in plain]
    assert ordered == plain


def test_arrays_of_a_batch_have_the_shape_of_what_was_found() -> None:
    index = filled(np.eye(6, 8, dtype="<f4"))
    queries = np.eye(3, 8, dtype="<f4")
    ids, scores = index.search_arrays(queries, 10)
    assert (ids.shape, ids.format, scores.shape, scores.format) == ((3, 6), "Q", (3, 6), "f")
    assert np.asarray(ids)[:, 0].tolist() == [0, 1, 2]
    masked, _ = index.search_arrays(queries, 10, mask=np.array([0, 1, 0, 0, 1, 0], dtype="u1"))
    assert masked.tolist() == [[1, 4], [1, 4], [1, 4]]
    for nothing in (index.search_arrays(b""), index.search_arrays(queries, 0), VectorIndex(8).search_arrays(queries)):
        assert [len(array) for array in nothing] == [0, 0]


def test_approximate_first_passes_give_exact_scores_and_most_of_the_best() -> None:
    random = np.random.default_rng(4)
    index = filled(random.standard_normal((3000, 128)).astype("<f4"))
    queries = random.standard_normal((20, 128)).astype("<f4")
    every = [dict(index.search(query, 3000, first_pass="exact")) for query in queries]
    for way, least in (("int8", 0.99), ("float16", 0.99), ("bfloat16", 0.95), ("binary", 0.5)):
        hits = 0
        for query, scores in zip(queries, every, strict=True):
            found = index.search(query, 10, first_pass=way)  # type: ignore[arg-type]
            assert all(scores[id] == score for id, score in found)
            hits += len({id for id, _ in found} & set(list(scores)[:10]))
        assert hits >= least * 200, way
    with pytest.raises(ValueError, match="first pass"):
        index.search(queries[0], first_pass="best")  # type: ignore[call-overload]


def test_a_mask_is_in_the_order_of_the_ids() -> None:
    random = np.random.default_rng(5)
    index = filled(random.standard_normal((2000, 16)).astype("<f4"))
    for id in range(0, 2000, 7):
        index.remove(id)
    query = random.standard_normal(16).astype("<f4")
    ids = np.array(index.ids())
    for below in (20, 500, 1999):
        mask = ids < below
        found = index.search(query, 5, mask=mask)
        assert found == index.search(query, 5, [int(id) for id in ids[mask]])
        assert found == index.search(query, 5, mask=mask.tobytes())
        assert found == [one for one in index.search(query, 2000) if one[0] < below][:5]
    for mask in (bytes(3), np.ones(len(index) + 1, bool)):
        with pytest.raises(ValueError, match="a mask of"):
            index.search(query, mask=mask)
    with pytest.raises(ValueError, match="ids and a mask"):
        index.search(query, 5, [1], mask=bytes(len(index)))


def test_rows_are_lent_without_a_copy_and_nothing_moves_meanwhile() -> None:
    index = filled(np.eye(5, dtype="<f4"))
    rows, ids = np.asarray(index.rows()), np.asarray(index.ids())
    np.testing.assert_array_equal(rows, np.eye(5, dtype="<f4"))
    assert ids.tolist() == [0, 1, 2, 3, 4]
    assert not rows.flags.writeable
    assert not rows.flags.owndata
    with pytest.raises(BufferError):
        index.add(9, bytes(20))
    with pytest.raises(BufferError):
        index.remove(1)
    assert len(index.search(rows[2], 5)) == 5
    part = rows[1:2]
    del rows, ids
    with pytest.raises(BufferError):
        index.reserve(1)
    del part
    gc.collect()
    index.add(9, bytes(20))
    assert index.remove(1)


def test_any_buffer_of_float32_is_a_vector_and_no_other() -> None:
    index = filled(np.eye(4, dtype="<f4"))
    query = np.array([0, 1, 0, 0], "<f4")
    for same in (query, query.tobytes(), bytearray(query), memoryview(query), array("f", query)):
        assert index.search(same, 1) == [(1, 1.0)]
    for wrong in (query.astype("<f8"), query.view("<i4"), "text"):
        with pytest.raises(TypeError):
            index.search(wrong)  # type: ignore[arg-type]
    with pytest.raises(BufferError):
        index.add(7, np.zeros(8, "<f4")[::2])


def test_an_index_is_saved_under_a_bare_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    filled(np.eye(4, dtype="<f4")).save("vectors")
    assert len(VectorIndex.map("vectors")) == 4


def test_a_saved_index_is_mapped_and_shared(tmp_path: Path) -> None:
    random = np.random.default_rng(6)
    index = filled(random.standard_normal((500, 24)).astype("<f4"))
    path = tmp_path / "vectors"
    index.save(path)
    mapped = VectorIndex.map(path)
    query = random.standard_normal(24).astype("<f4")
    assert mapped.search(query) == index.search(query)
    assert mapped.to_bytes() == index.to_bytes()
    index.save(path)
    assert mapped.remove(3)
    assert 3 in VectorIndex.map(path), "a change of a mapped index stays its own"
    assert [file.name for file in tmp_path.iterdir()] == ["vectors"]
    path.write_bytes(path.read_bytes()[:-64])
    with pytest.raises(ValueError, match="damaged"):
        VectorIndex.map(path)
    with pytest.raises(FileNotFoundError):
        VectorIndex.map(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError):
        index.save(tmp_path / "nowhere" / "vectors")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_thread_outlives_a_search() -> None:
    index = VectorIndex(2048)
    row = np.random.default_rng(7).standard_normal(2048).astype("<f4")
    for id in range(12_000):
        index.add(id, row)
    before = len(list(Path("/proc/self/task").iterdir()))
    one = index.search(row, 3, first_pass="exact", threads=1)
    assert index.search(row, 3, first_pass="exact", threads=2) == one
    assert len(list(Path("/proc/self/task").iterdir())) == before


def small() -> VectorIndex:
    index = VectorIndex(4)
    for id in range(5):
        index.add(id, np.array([id, 1, 2, 3], "<f4").tobytes())
    return index


def test_saved_and_read_from_any_buffer() -> None:
    saved = small().to_bytes()
    assert len(saved) == 64 + 5 * (8 + 16)
    padded = memoryview(b"xx" + saved + b"yy")[2:-2]
    for data in (saved, bytearray(saved), memoryview(saved), padded, np.frombuffer(saved, "u1")):
        index = VectorIndex.from_bytes(data)
        assert index.to_bytes() == saved
        assert index.dimensions == 4
        assert 0 < index.memory_bytes < 4000
    with pytest.raises(BufferError):
        VectorIndex.from_bytes(memoryview(saved)[::2])
    with pytest.raises(TypeError):
        VectorIndex.from_bytes("text")  # type: ignore[arg-type]


@given(st.binary(max_size=200) | st.integers(0, 183).map(lambda end: small().to_bytes()[:end]))
def test_damaged_indexes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="damaged"):
        VectorIndex.from_bytes(data)


def test_a_header_is_not_believed() -> None:
    saved = bytearray(small().to_bytes())
    for count in (4, 6, 1 << 32, (1 << 64) - 1, (1 << 64) // 24):
        saved[16:24] = count.to_bytes(8, "little")
        with pytest.raises(ValueError, match="not as long"):
            VectorIndex.from_bytes(bytes(saved))


def test_bad_arguments_are_typed_errors() -> None:
    index = small()
    for vector in (b"", bytes(15), bytes(17), np.array([1, 2, np.nan, 3], "<f4").tobytes()):
        with pytest.raises(ValueError, match="vector"):
            index.add(9, vector)
        with pytest.raises(ValueError, match="vector"):
            index.search(vector)
    for id in (-1, 1 << 64):
        with pytest.raises(OverflowError):
            index.add(id, bytes(16))
    assert len(index) == 5
    assert index.get(9) is None
    with pytest.raises(ValueError, match="dimensions"):
        VectorIndex(0)


def test_room_is_made_once() -> None:
    index = small()
    index.reserve(1000)
    held = index.memory_bytes
    assert held >= 1000 * (8 + 16)
    for id in range(100, 1100):
        index.add(id, np.ones(4, "<f4").tobytes())
    assert index.memory_bytes == held
    assert 3 in index
    assert 1099 in index
    for rows in (1 << 40, 1 << 62, (1 << 64) - 1):
        with pytest.raises((MemoryError, ValueError)):
            index.reserve(rows)
    assert len(index) == 1005


def test_threads_may_search_while_one_adds() -> None:
    index = VectorIndex(256)
    random = np.random.default_rng(1)
    rows = random.standard_normal((3000, 256)).astype("<f4")
    for id in range(1500):
        index.add(id, rows[id].tobytes())

    def search() -> list[int]:
        return [index.search(rows[id].tobytes(), 3)[0][0] for id in range(100)]

    with ThreadPoolExecutor(3) as pool:
        searches = [pool.submit(search) for _ in range(3)]
        for id in range(1500, 3000):
            index.add(id, rows[id].tobytes())
        for done in searches:
            assert done.result(60) == list(range(100))
    assert len(index) == 3000


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_fork_shares_the_rows() -> None:
    index = VectorIndex(256)
    row = np.ones(256, "<f4").tobytes()
    for id in range(20_000):
        index.add(id, row)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            before = _native.process_rss_pss(os.getpid())[2]
            found = index.search(row, 5)
            grown = _native.process_rss_pss(os.getpid())[2] - before
            os.write(write, f"{len(found)} {grown}".encode())
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    answer = os.read(read, 100).decode().split()
    os.close(read)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert answer[0] == "5"
    assert int(answer[1]) < 2 << 20, "a search in the child copies nothing of 20 MB"
