"""Cases near one that went somewhere new: values exchanged among each other or changed, calls added or dropped."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import msgspec

from o_tui.evolution.probe.case import Call, Case, Recipe
from o_tui.evolution.probe.harvest import Harvest
from o_tui.evolution.probe.recipes import Maker
from o_tui.evolution.probe.types import Type

_MANY = ("list", "tuple", "set", "iter")


WAYS = ("splice", "repeat", "call", "value")
"""How a case is changed; which one is taken is learned (attacks.Ways)."""


def mutated(case: Case, other: Case, way: str, harvest: Harvest, random_: random.Random) -> Case:
    """Another case from one; `other` is of the same unit and gives calls."""
    calls = list(case.calls)
    for step in range(random_.choice((1, 1, 2, 4))):
        way = way if step == 0 else random_.choice(WAYS)
        if way == "splice" and calls:
            calls = _spliced(calls, other.calls, random_)
        elif way == "repeat" and calls:
            calls.insert(random_.randint(0, len(calls)), random_.choice(calls))
        elif way == "call":
            calls = _with_new_call(case, calls, harvest, random_)
        elif calls:
            at = random_.randrange(len(calls))
            calls[at] = changed_call(calls[at], leaves(calls), harvest, random_)
    new = case.new
    if case.target and random_.random() < 0.15:
        new = changed_call(new, leaves([new, *calls]), harvest, random_)
    return msgspec.structs.replace(case, calls=calls[:60] or case.calls, new=new)


def _spliced(calls: list[Call], others: list[Call], random_: random.Random) -> list[Call]:
    if random_.random() < 0.4:
        at = random_.randrange(len(calls))
        return calls[:at] + calls[at + 1 :]
    return calls[: random_.randint(0, len(calls))] + others[random_.randint(0, len(others)) :]


def _with_new_call(case: Case, calls: list[Call], harvest: Harvest, random_: random.Random) -> list[Call]:
    known = harvest.classes.get(case.target)
    methods = (
        list(known.methods) if known else [harvest.functions[c.name] for c in calls if c.name in harvest.functions]
    )
    if not methods:
        return calls
    maker = Maker(harvest, random_)
    texts = [leaf for leaf in leaves(calls) if isinstance(leaf, str)]
    maker.learn(texts)
    method = random_.choice(methods)
    args, kwargs = maker.arguments(method.parameters, random_.choice((0.1, 0.5, 0.9)))
    at = random_.randint(0, len(calls))
    return [*calls[:at], Call(method.name, args, kwargs), *calls[at:]]


def leaves(calls: Sequence[Call]) -> list[Any]:
    """All plain values in some calls."""
    found: list[Any] = []

    def walk(recipe: Recipe) -> None:
        if not isinstance(recipe, list):
            found.append(recipe)
        elif recipe and recipe[0] in (*_MANY, "dict", "new", "call", "join"):
            for item in recipe[1 if recipe[0] in (*_MANY, "dict", "join") else 2 :]:
                for inner in item.values() if isinstance(item, dict) else item if _plain(item) else (item,):
                    walk(inner)

    for call in calls:
        for recipe in (*call.args, *call.kwargs.values()):
            walk(recipe)
    return found


def _plain(item: Any) -> bool:
    return isinstance(item, list) and not (item and isinstance(item[0], str))


def changed_call(call: Call, pool: Sequence[Any], harvest: Harvest, random_: random.Random) -> Call:
    """A call with one argument changed; `pool` has values that it may take."""
    loose = _loose(call.name, harvest)
    if call.args and (not call.kwargs or random_.random() < 0.7):
        at = random_.randrange(len(call.args))
        args = list(call.args)
        args[at] = changed(args[at], pool, harvest, random_, loose)
        return Call(call.name, args, call.kwargs)
    if call.kwargs:
        name = random_.choice(list(call.kwargs))
        return Call(call.name, call.args, {**call.kwargs, name: changed(call.kwargs[name], pool, harvest, random_)})
    return call


def _loose(name: str, harvest: Harvest) -> bool:
    """Whether anything may be within what this is given."""
    methods = (method for known in harvest.classes.values() for method in known.methods if method.name == name)
    known = next(chain((f for f in (harvest.functions.get(name),) if f), methods), None)
    return known is not None and any(_has_any(p.type, harvest, 3) for p in known.parameters)


def _has_any(kind: Type, harvest: Harvest, depth: int) -> bool:
    record = harvest.classes.get(kind.name) if kind.kind == "class" else None
    inner = [p.type for p in record.init] if record is not None else list(kind.inner)
    return kind.kind == "any" or (depth > 0 and any(_has_any(each, harvest, depth - 1) for each in inner))


def changed(
    recipe: Recipe, pool: Sequence[Any], harvest: Harvest, random_: random.Random, loose: bool = False
) -> Recipe:
    """A recipe of the same type; `loose`: of any type, now and then, within lists and dicts."""
    if isinstance(recipe, list):
        return _inside(recipe, lambda inner: changed(inner, pool, harvest, random_, loose), random_, loose)
    alike = [leaf for leaf in pool if type(leaf) is type(recipe)]
    if alike and random_.random() < 0.45:
        return random_.choice(alike)
    if isinstance(recipe, bool):
        return not recipe
    if isinstance(recipe, int):
        return random_.choice((recipe + 1, recipe - 1, recipe * 2, 0, *harvest.integers[:4]))
    if isinstance(recipe, float):
        return random_.choice((recipe + 1.0, recipe - 0.5, recipe * 2, 0.0, *map(float, harvest.floats[:4])))
    return _text(recipe, alike, harvest, random_) if isinstance(recipe, str) else recipe


def _text(text: str, alike: list[str], harvest: Harvest, random_: random.Random) -> str:
    at = random_.randint(0, len(text))
    bit = (
        random_.choice(harvest.strings) if harvest.strings and random_.random() < 0.6 else random_.choice(' a."\\\n1-')
    )
    way = random_.random()
    if way < 0.2 and harvest.choices:
        return random_.choice(harvest.choices)
    if way < 0.5:
        return text[:at] + bit + text[at:]
    if way < 0.7:
        return text[:at] + text[at + random_.randint(1, 3) :]
    if way < 0.85:
        return text[:at] + text[at : at + 4] * 2 + text[at + 4 :]
    return text + random_.choice(alike or [bit])


def alike(recipe: Recipe, random_: random.Random) -> Recipe:
    """The same, or what is easily taken for the same: texts in another case, with blanks, taken apart."""
    if isinstance(recipe, str):
        ways = (recipe, recipe.swapcase(), f" {recipe}", unicodedata.normalize("NFD", recipe))
        return random_.choice(ways)
    if isinstance(recipe, list) and recipe[:1] and recipe[0] in _MANY:
        return [recipe[0], *(alike(item, random_) for item in recipe[1:])]
    return recipe


def _is_mixed(tag: str, items: list[Any]) -> bool:
    """Values of several types are in it: one of any other may be, too."""
    values = [item[1] for item in items] if tag == "dict" else items if tag == "list" else []
    return len({type(value) for value in values}) > 1


def _inside(recipe: list[Any], change: Callable[[Any], Any], random_: random.Random, loose: bool) -> Recipe:
    tag, items = recipe[0], list(recipe[1:])
    if (_is_mixed(tag, items) or (loose and items and tag in ("list", "dict"))) and random_.random() < 0.3:
        at, other = random_.randrange(len(items)), random_.choice((None, True, False, 0, 1, 1.5, "", "a"))
        items[at] = [items[at][0], other] if tag == "dict" else other
        return [tag, *items]
    if tag in _MANY and items:
        at = random_.randrange(len(items))
        dice = random_.random()
        if dice < 0.5:
            items[at] = change(items[at])
        elif dice < 0.65:
            items.pop(at)
        elif dice < 0.8:
            items.insert(at, random_.choice(items))
        else:
            other = random_.randrange(len(items))
            items[at], items[other] = items[other], items[at]
    elif tag == "dict" and items:
        at = random_.randrange(len(items))
        key, value = items[at]
        items[at] = [change(key), value] if random_.random() < 0.3 else [key, change(value)]
    elif tag == "new" and (items[1] or items[2]):
        call = Call(items[0], items[1], items[2])
        names = list(call.kwargs)
        if call.args and (not names or random_.random() < 0.7):
            at = random_.randrange(len(call.args))
            items[1] = [*call.args[:at], change(call.args[at]), *call.args[at + 1 :]]
        else:
            name = random_.choice(names)
            items[2] = {**call.kwargs, name: change(call.kwargs[name])}
    elif tag in ("call", "join"):
        first = items[1] if tag == "call" else items
        if first:
            at = random_.randrange(len(first))
            first = [*first[:at], change(first[at]), *first[at + 1 :]]
        items = [items[0], first] if tag == "call" else first
    elif tag == "fn" and random_.random() < 0.3:
        items[0] = random_.choice(("count", "raise", "first")) if items[0] in ("count", "raise") else items[0]
    return [tag, *items]
