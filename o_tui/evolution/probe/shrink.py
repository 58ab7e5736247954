"""A smaller case that shows the same: fewer calls, shorter arguments, plainer values. Each step is tried and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import msgspec

from o_tui.evolution.probe.case import Call, Case, Recipe

_AT_ONCE, _RACES = 8, 2
"""So many are tried together at first: a process costs as much as many small cases."""
_MANY = ("list", "tuple", "set", "iter", "dict")


def shrink(case: Case, first: Callable[[list[Case]], int], time_left: Callable[[], bool]) -> Case:
    """The smallest case that was found in time; `first` says which of some cases still shows it, -1: none."""
    smaller = True
    while smaller and time_left():
        smaller = False
        candidates = _smaller(case)
        at_once = _RACES if case.kind == "race" else _AT_ONCE
        while time_left() and (some := list(islice(candidates, at_once))):
            found = first(some)
            if found >= 0:
                case, smaller = some[found], True
                break
            at_once *= 2
    return case


def _smaller(case: Case) -> Iterator[Case]:
    replace = msgspec.structs.replace
    calls = case.calls
    fixed = 2 if case.kind == "race" else 0
    size = (len(calls) - fixed) // 2
    while size >= 1:
        for start in range(0, len(calls) - fixed - size + 1, size):
            kept = calls[:start] + calls[start + size :]
            if kept:
                yield replace(case, calls=kept)
        size //= 2
    if case.scribble:
        yield replace(case, scribble=False)
    for index, call in enumerate(calls):
        for less in _smaller_call(call):
            yield replace(case, calls=[*calls[:index], less, *calls[index + 1 :]])


def _smaller_call(call: Call) -> Iterator[Call]:
    for name in call.kwargs:
        yield Call(call.name, call.args, {key: value for key, value in call.kwargs.items() if key != name})
    for index, recipe in enumerate(call.args):
        for less in smaller_recipe(recipe):
            yield Call(call.name, [*call.args[:index], less, *call.args[index + 1 :]], call.kwargs)


def smaller_recipe(recipe: Recipe) -> Iterator[Any]:
    """Smaller values of the same kind."""
    if isinstance(recipe, str) and recipe:
        yield recipe[: len(recipe) // 2]
        if len(recipe) > 1:
            yield recipe[len(recipe) // 2 :]
            yield recipe[1:]
            yield recipe[:-1]
    elif isinstance(recipe, list) and recipe[0] in _MANY and len(recipe) > 1:
        tag, items = recipe[0], recipe[1:]
        half = len(items) // 2
        if half:
            yield [tag, *items[:half]]
            yield [tag, *items[half:]]
        for index in range(min(len(items), 8)):
            yield [tag, *items[:index], *items[index + 1 :]]
