"""What crosses into the extension: buffers of every kind, read as they are or refused."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable
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
