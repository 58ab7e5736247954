"""One input of the prober, as plain data: it can be sent, kept, shrunk and shown.

An argument is a *recipe*: None, bool, int, float and str stand for themselves; all else is a list whose first element
says what is to be made of the others:

    ["list", r...] ["tuple", r...] ["set", r...] ["dict", [r, r]...] ["bytes", hex] ["iter", r...]
    ["new", class, [r...], {name: r}]   an instance of a class of the module     ["member", class, name]  of an Enum
    ["call", function, [r...]]          what the module's own function returns   ["join", r...]  texts in a row
    ["many", n, r...]                   n elements, those in turn                ["repeat", n, text]
    ["deep", n, list or dict]           n of them within each other
    ["fn", kind, r]                     a function: first, size, truth, text, count, raise, flaky, picky
    ["stage", ...]                      what a gene is given (stage.py)
"""

from __future__ import annotations

import json
from typing import Any, Literal, TypeAlias

import msgspec

Recipe: TypeAlias = Any
Kind = Literal["calls", "race", "large", "tests"]


class Call(msgspec.Struct, frozen=True):
    """One call; `name` is a function's of the module, or a method's or property's of its object (`x=` sets it)."""

    name: str
    args: list[Recipe] = []
    kwargs: dict[str, Recipe] = {}


class Case(msgspec.Struct, frozen=True):
    """One input.

    Attributes:
        kind: `calls` one after the other; `race`: the last two at once; `large`: timed; `tests`: the
            genome's own.
        target: The class whose object is called; empty: the module's functions.
        new: What the object is made from.
        scribble: What is returned is written over, to see whether it was anybody else's.
        again: The same was done before, with another object: what that leaves behind is seen by it.
    """

    kind: Kind
    calls: list[Call]
    target: str = ""
    new: Call = Call("")
    scribble: bool = False
    again: bool = False

    @property
    def unit(self) -> str:
        """The function or method that the case is about: the last one called."""
        name = self.calls[-1].name if self.calls else self.new.name
        return f"{self.target}.{name}" if self.target else name


def encode(case: Case) -> str:
    """JSON, the same for equal cases."""
    return json.dumps(msgspec.to_builtins(case), sort_keys=True)


def decode(text: str) -> Case:
    """Raises msgspec.ValidationError, ValueError."""
    return msgspec.convert(json.loads(text), Case)


def show(case: Case, limit: int = 160) -> str:
    """A case as a person would write it, on one line."""
    calls = [_call(call) for call in case.calls]
    if case.target:
        made = _call(Call(case.target, case.new.args, case.new.kwargs))
        calls = [f"{made}.{calls[0]}", *(f".{call}" for call in calls[1:])] if calls else [made]
    if case.again:
        calls = ["all of this twice", *calls]
    joint = " | " if case.kind == "race" else "; "
    text = joint.join(calls)
    return text if len(text) <= limit else "…" + text[-limit:]


def _call(call: Call) -> str:
    words = [_text(recipe) for recipe in call.args]
    words += [f"{name}={_text(recipe)}" for name, recipe in call.kwargs.items()]
    return f"{call.name}({', '.join(words)})"


def _text(recipe: Recipe) -> str:
    if not isinstance(recipe, list):
        return repr(recipe) if not isinstance(recipe, str) or len(recipe) < 80 else f"{recipe[:60]!r}…"
    tag, rest = recipe[0], recipe[1:]
    if tag == "list":
        return f"[{', '.join(map(_text, rest))}]"
    if tag in ("tuple", "set", "iter"):
        return f"{tag}({', '.join(map(_text, rest))})"
    if tag == "dict":
        return "{" + ", ".join(f"{_text(key)}: {_text(value)}" for key, value in rest) + "}"
    if tag == "new":
        return _call(Call(rest[0], rest[1], rest[2]))
    if tag == "call":
        return _call(Call(rest[0], rest[1]))
    if tag == "member":
        return f"{rest[0]}.{rest[1]}"
    if tag == "many":
        return f"[{', '.join(map(_text, rest[1:4]))}, … {rest[0]} in all]"
    if tag == "repeat":
        return f"{rest[1][:40]!r} * {rest[0]}"
    return f"<{' '.join(map(str, rest))[:60]}>" if tag == "fn" else f"<{tag}>"
