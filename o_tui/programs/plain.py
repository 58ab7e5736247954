"""Plain data between a candidate and its evaluator: MessagePack, so that reading it runs nothing.

Numbers, texts, bytes, lists, tuples, sets, dictionaries and arrays of numbers go over by value. Functions, classes
and other objects stay where they are and go over as a reference.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

DEPTH = 64
_TUPLE, _DICT, _SET, _FROZENSET, _INT, _COMPLEX, _ARRAY, _SCALAR, _OBJECT, _YOURS = range(1, 11)
_SMALL = 1 << 63
_NUMBERS = "biufcSU"
"""Kinds of arrays that are only bytes."""

Export: TypeAlias = Callable[[Any], tuple[bool, Any]]
"""What becomes of an object: (it is the peer's own, its number), or (it is ours, its description)."""
Import: TypeAlias = Callable[[bool, Any], Any]
"""What stands for an object: of ours (its number), or of the peer's (its description)."""

_encode = msgspec.msgpack.Encoder().encode


class PlainError(ValueError):
    """What cannot go over, or what came is no plain data."""


def pack(value: Any, export: Export) -> bytes:
    """Encodes. Raises PlainError: nested too deeply, or an array of objects."""
    return _encode(_ready(value, export, DEPTH))


def _ext(code: int, value: Any) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(code, _encode(value))


def _ready(value: Any, export: Export, depth: int) -> Any:
    if depth == 0:
        raise PlainError(f"data is nested deeper than {DEPTH}")
    kind = type(value)
    if value is None or kind in (bool, float, str, bytes):
        return value
    if isinstance(value, int):
        number = int(value)
        return number if -_SMALL <= number < _SMALL else _ext(_INT, str(number))
    if isinstance(value, list):
        return [_ready(item, export, depth - 1) for item in value]
    if kind in (tuple, range):
        return _ext(_TUPLE, [_ready(item, export, depth - 1) for item in value])
    if isinstance(value, dict):
        pairs = [[_ready(k, export, depth - 1), _ready(v, export, depth - 1)] for k, v in value.items()]
        return _ext(_DICT, pairs)
    if kind in (set, frozenset):
        return _ext(_SET if kind is set else _FROZENSET, [_ready(item, export, depth - 1) for item in value])
    return _rest(value, export)


def _rest(value: Any, export: Export) -> Any:
    if isinstance(value, complex) and type(value).__module__ == "builtins":
        return _ext(_COMPLEX, [value.real, value.imag])
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic):
        if value.dtype.kind not in _NUMBERS or value.dtype.names:
            raise PlainError(f"an array of {value.dtype} is no plain data")
        array = numpy.asarray(value)
        return _ext(_ARRAY if isinstance(value, numpy.ndarray) else _SCALAR, [
            array.dtype.str, list(array.shape), array.tobytes()
        ])  # fmt: skip
    if isinstance(value, str | float):
        return str(value) if isinstance(value, str) else float(value)
    theirs, what = export(value)
    return _ext(_YOURS if theirs else _OBJECT, what)


def unpack(data: bytes, resolve: Import) -> Any:
    """Decodes. Raises PlainError for whatever `pack` does not write."""
    try:
        return _value(data, resolve, DEPTH)
    except PlainError:
        raise
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError, LookupError) as error:
        raise PlainError(f"no plain data: {error}") from error


def _value(data: bytes | memoryview, resolve: Import, depth: int) -> Any:
    if depth == 0:
        raise PlainError(f"data is nested deeper than {DEPTH}")

    def hook(code: int, inner: memoryview) -> Any:
        return _special(code, _value(inner, resolve, depth - 1), resolve)

    return msgspec.msgpack.Decoder(ext_hook=hook).decode(data)


def _special(code: int, value: Any, resolve: Import) -> Any:
    if code == _TUPLE:
        return tuple(value)
    if code == _DICT:
        return {key: item for key, item in value}  # noqa: C416 - a pair of another length is an error
    if code in (_SET, _FROZENSET):
        return set(value) if code == _SET else frozenset(value)
    if code == _INT:
        return int(value)
    if code == _COMPLEX:
        return complex(*value)
    if code in (_ARRAY, _SCALAR):
        return _array(code, *value)
    if code in (_OBJECT, _YOURS):
        return resolve(code == _YOURS, value)
    raise PlainError(f"no plain data: extension {code}")


def _array(code: int, dtype: str, shape: list[int], data: bytes) -> Any:
    import numpy

    kind = numpy.dtype(dtype)
    if kind.kind not in _NUMBERS or kind.names:
        raise PlainError(f"an array of {dtype} is no plain data")
    array = numpy.frombuffer(data, kind).reshape(shape)
    return array.copy() if code == _ARRAY else array[()]
