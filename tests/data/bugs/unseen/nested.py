"""Nested data: lists and dicts in each other."""

from __future__ import annotations

from typing import Any


def flatten(items: list[Any]) -> list[Any]:
    """All leaves, left to right, however deep."""
    out: list[Any] = []
    stack = [iter(items)]
    while stack:
        for item in stack[-1]:
            if isinstance(item, list):
                stack.append(iter(item))
                break
            out.append(item)
        else:
            stack.pop()
    return out


def merge(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Both, `more` wins; dicts are merged, neither argument is changed."""
    out = dict(base)
    for name, value in more.items():
        old = out.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            out[name] = merge(old, value)
        else:
            out[name] = value
    return out


def lookup(data: dict[str, Any], path: str) -> Any:
    """The value at `a.b.c`. Raises KeyError: nothing is there."""
    here: Any = data
    for name in path.split("."):
        if not isinstance(here, dict) or name not in here:
            raise KeyError(path)
        here = here[name]
    return here


def kind(value: Any) -> str:
    """One word for what it is."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "flag"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "text"
    return "list" if isinstance(value, (list, tuple)) else "table" if isinstance(value, dict) else "other"


def leaves(data: dict[str, Any], at: str = "") -> list[tuple[str, Any]]:
    """Each path and its value, in the order of the data; an empty table is a leaf."""
    found = []
    for name, value in data.items():
        path = f"{at}.{name}" if at else name
        if isinstance(value, dict) and value:
            found += leaves(value, path)
        else:
            found.append((path, value))
    return found


def without(data: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """A copy without these keys, at any depth; tables inside are copies too."""
    return {
        name: without(value, names) if isinstance(value, dict) else value
        for name, value in data.items()
        if name not in names
    }
