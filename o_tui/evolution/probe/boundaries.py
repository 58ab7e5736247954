"""What is tried whatever the seed: each argument of a function at its boundaries while the others are plain."""

from __future__ import annotations

import random
from collections.abc import Sequence

from o_tui.evolution.probe.case import Call, Case, Recipe
from o_tui.evolution.probe.harvest import Function, Harvest, Parameter
from o_tui.evolution.probe.recipes import Maker
from o_tui.evolution.probe.types import Type

_OF_A_FUNCTION = 40
_IN_ALL = 160
_SIZES = (127, 128, 255, 256, 257, 1025)
"""Where what is kept in one byte, or in one block, is full."""
_LARGEST = 1_900
"""Longer texts are seen by their digest only (observe.py)."""


def cases(harvest: Harvest) -> list[Case]:
    """One call each, of what may behave differently; those of several functions by turns."""
    chosen = [function for function in harvest.functions.values() if harvest.is_suspect(function.name)]
    each = [_of(function, harvest)[:_OF_A_FUNCTION] for function in chosen]
    turns = [calls[place] for place in range(_OF_A_FUNCTION) for calls in each if place < len(calls)]
    return [Case("calls", [call]) for call in turns[:_IN_ALL]]


def _of(function: Function, harvest: Harvest) -> list[Call]:
    maker = Maker(harvest, random.Random(function.name))
    plain = {p.name: maker.parameter(p) for p in function.parameters if p.required}
    values = {p.name: _boundaries(p.type, harvest, maker) for p in function.parameters if not p.name.startswith("*")}
    calls = []
    for place in range(max(map(len, values.values()), default=0)):
        for parameter in function.parameters:
            if place < len(values.get(parameter.name, ())):
                given = {**plain, parameter.name: values[parameter.name][place]}
                calls.append(_call(function.name, function.parameters, given))
    return calls


def _call(name: str, parameters: Sequence[Parameter], given: dict[str, Recipe]) -> Call:
    required = [p for p in parameters if p.required and not p.keyword_only]
    named = {p.name: given[p.name] for p in parameters if p.name in given and p not in required}
    return Call(name, [given[p.name] for p in required], named)


def _boundaries(kind: Type, harvest: Harvest, maker: Maker) -> list[Recipe]:
    if kind.kind == "int":
        near = [number + step for number in harvest.integers[:12] for step in (0, 1, -1)]
        return list(dict.fromkeys([0, 1, -1, 2, *near, -3, *(-number for number in harvest.integers[:12])]))
    if kind.kind == "float":
        reals = [number + step for number in harvest.floats[:6] for step in (0.0, 0.5, -0.5)]
        return list(dict.fromkeys([0.0, 0.5, 1.5, -0.5, -1.5, 2.5, *reals, *map(float, harvest.integers[:6])]))
    if kind.kind == "bool":
        return [False, True]
    if kind.kind == "union":
        return [value for inner in kind.inner for value in _boundaries(inner, harvest, maker)]
    if kind.kind == "none":
        return [None]
    sizes = _sizes(harvest)
    if kind.kind == "str":
        texts = ["", " ", *harvest.choices[:6], *harvest.strings[:10]]
        return [*dict.fromkeys(texts), *((sign * size)[:size] for size in sizes for sign in ("a", "b c "))]
    if kind.kind == "bytes":
        return [["bytes", ""], *(["bytes", "61" * size] for size in (1, *sizes))]
    if kind.kind in ("list", "iterable"):
        inner = kind.inner[0] if kind.inner else Type("int")
        one, other = maker.value(inner, 1), maker.value(inner, 1)
        few: list[Recipe] = [["list", *some] for some in ((), (one,), (one, one), (one, other), (other, one, other))]
        return [*few, *(["many", size, *some] for size in sizes for some in ((one,), (one, other)))]
    return []


def _sizes(harvest: Harvest) -> list[int]:
    """Those that the sources name, and one more or less; then those of bytes and blocks."""
    named = [number + step for number in harvest.integers if 3 <= number <= _LARGEST for step in (0, 1, -1)]
    return list(dict.fromkeys([*named[:12], *_SIZES]))
