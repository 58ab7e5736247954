"""Turns a planned case into one that gets somewhere: calls that only fail are tried with other arguments, or left out.

Random calls of an object mostly fail at the door (no such key, not running). So the reference is asked: names that were
good in one call are used in the next, and a call that raises is kept now and then only. Runs where the reference runs.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from o_tui.evolution.probe.case import Call, Case, Recipe
from o_tui.evolution.probe.harvest import AMONG_EACH_OTHER, Harvest
from o_tui.evolution.probe.mutate import alike, changed_call, leaves

if TYPE_CHECKING:
    from o_tui.evolution.probe.execute import Bench

TRIES = 3
_KEPT_FAILURES = 0.12
_LIBRARY = 12
_ALIKE = 0.03
"""A name is taken in another way to write it."""
_SHARES = (0.0, 0.5, 1.0)
"""How often a plain text is taken from the known names: new names are wanted as well as old ones."""
_FINGERPRINT = 8_000


def grown(bench: Bench, case: Case, harvest: Harvest, random_: random.Random) -> Case:
    """The case as it is run."""
    if case.kind != "calls":
        return case
    bench.world.reset(0)
    if not case.target:
        return _function(bench, case, harvest, random_)
    target, case = _target(bench, case, harvest, random_)
    if target is None:
        return case
    calls: list[Call] = []
    good: list[str] = []
    library = bench.library.setdefault(case.target, {})
    inside = _inside(target)
    idle: dict[str, int] = {}
    for planned in case.calls:
        if library and (idle.get(planned.name, 0) > 1 or not calls) and random_.random() < 0.6:
            planned = random_.choice(library[random_.choice(list(library))])  # one that is known to do something
        call, seen = _tried(bench, target, planned, good, harvest, random_)
        if seen[0] == "value" or random_.random() < _KEPT_FAILURES:
            calls.append(call)
        if seen[0] == "value":
            good += _good(call, seen[1])
            del good[:-12]
        before, inside = inside, _inside(target)
        if before == inside:
            idle[planned.name] = idle.get(planned.name, 0) + 1
        elif seen[0] == "value":
            _keep(library, call)
    return msgspec.structs.replace(case, calls=calls or case.calls)


def _tried(
    bench: Bench, target: Any, planned: Call, good: Sequence[str], harvest: Harvest, random_: random.Random
) -> tuple[Call, Any]:
    """The call as it was made last, and what came of it."""
    as_planned = planned.name in AMONG_EACH_OTHER and random_.random() < 0.5
    call = planned if as_planned else _familiar(planned, good, random_.choice(_SHARES), random_)
    seen = bench.call(target, call)
    for _ in range(TRIES - 1):
        if seen[0] == "value":
            break
        call = _familiar(planned, good, random_.choice(_SHARES), random_)
        if random_.random() < 0.5:
            call = changed_call(call, good, harvest, random_)
        seen = bench.call(target, call)
    return call, seen


def _inside(target: Any) -> str:
    """All that an object holds, to see whether a call has changed it."""
    try:
        return repr(getattr(target, "__dict__", ""))[:_FINGERPRINT]
    except Exception:  # noqa: BLE001 - the border to code under test: a __repr__ may raise anything
        return ""


def _target(bench: Bench, case: Case, harvest: Harvest, random_: random.Random) -> tuple[Any, Case]:
    for _ in range(TRIES):
        try:
            return bench.target(case), case
        except Exception:  # noqa: BLE001 - the border to code under test
            new = changed_call(case.new, leaves([case.new]), harvest, random_)
            case = msgspec.structs.replace(case, new=new)
    return None, case


def _function(bench: Bench, case: Case, harvest: Harvest, random_: random.Random) -> Case:
    calls = []
    for planned in case.calls:
        call = planned
        if random_.random() < 0.35:
            call = _familiar(planned, [leaf for leaf in leaves([planned]) if isinstance(leaf, str)], 0.5, random_)
        library = bench.library.setdefault("", {})
        for _ in range(TRIES):
            seen = bench.call(bench.module, call)
            if seen[0] == "value":
                _keep(library, call)
            if seen[0] == "value" or random_.random() < _KEPT_FAILURES:
                break
            call = _mixed(call, library.get(call.name, []), random_)
            call = changed_call(call, leaves([call]), harvest, random_) if random_.random() < 0.5 else call
        calls.append(call)
    return msgspec.structs.replace(case, calls=calls)


def _keep(library: dict[str, list[Call]], call: Call) -> None:
    """Calls are kept by what they are given: one with a rare argument is not pushed out by the others."""
    shape = "/".join(str(isinstance(r, list) and len(r) > 1) for r in call.args)
    for key in (call.name, f"{call.name}/{shape}/{'/'.join(call.kwargs)}"):
        library.setdefault(key, []).append(call)
        del library[key][:-_LIBRARY]


def _mixed(call: Call, known: Sequence[Call], random_: random.Random) -> Call:
    """Some arguments of a call that went well, some of this one."""
    if not known:
        return call
    other = random_.choice(known)
    args = [random_.choice(pair) for pair in zip(call.args, other.args, strict=False)]
    mixed = Call(call.name, [*args, *call.args[len(args) :]], random_.choice((call.kwargs, other.kwargs)))
    texts = [leaf for leaf in leaves([mixed]) if isinstance(leaf, str)]
    return _familiar(mixed, texts, 0.2, random_)


def _good(call: Call, result: Any) -> list[str]:
    texts = [leaf for leaf in leaves([call]) if isinstance(leaf, str) and len(leaf) < 24]
    return [*texts[:3], *([result] * 2 if isinstance(result, str) and len(result) < 24 else [])]


def _familiar(call: Call, good: Sequence[str], share: float, random_: random.Random) -> Call:
    """The call, with names that are known already in place of some of its own."""
    if not good:
        return call

    def known(recipe: Recipe, share: float = share) -> Recipe:
        if isinstance(recipe, str):
            taken = random_.choice(good) if random_.random() < share else recipe
            return alike(taken, random_) if random_.random() < _ALIKE else taken
        if isinstance(recipe, list) and recipe[0] in ("list", "tuple", "set", "iter"):
            return [recipe[0], *(known(item, max(share, 0.8)) for item in recipe[1:])]
        if isinstance(recipe, list) and recipe[0] == "dict":
            return ["dict", *([known(key), value] for key, value in recipe[1:])]
        if isinstance(recipe, list) and recipe[0] == "new":
            return ["new", recipe[1], [known(r) for r in recipe[2]], {k: known(r) for k, r in recipe[3].items()}]
        return recipe

    return Call(call.name, [known(recipe) for recipe in call.args], {k: known(r) for k, r in call.kwargs.items()})
