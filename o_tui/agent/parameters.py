"""A function's parameters, read off its code object.

`inspect.signature` says the same, at the price of a quarter of a megabyte: so many pages that forks share are written
to by the functions and constants that it passes through.
"""

from __future__ import annotations

import inspect
from types import FunctionType
from typing import Any, NamedTuple

_ASYNCHRONOUS = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_VARIADIC = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS


class Parameters(NamedTuple):
    """What a function takes.

    Attributes:
        names: Those that have a name each, in order.
        defaults: Of those that have one.
        named_only: All of them may be given by name, and there are no others (`*args`).
    """

    names: tuple[str, ...]
    defaults: dict[str, Any]
    named_only: bool


def parameters(function: FunctionType) -> Parameters:
    """The parameters of a function; of the innermost one where `functools.wraps` says that it is wrapped.

    Raises:
        ValueError: It wraps itself.
    """
    inner = inspect.unwrap(function) if hasattr(function, "__wrapped__") else function
    code = inner.__code__
    positional = code.co_varnames[: code.co_argcount]
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    given = inner.__defaults__ or ()
    defaults = dict(zip(positional[len(positional) - len(given) :], given, strict=False))
    defaults |= inner.__kwdefaults__ or {}
    return Parameters(names, defaults, not code.co_posonlyargcount and not code.co_flags & _VARIADIC)


def is_generator(function: FunctionType) -> bool:
    """It yields."""
    return bool(function.__code__.co_flags & inspect.CO_GENERATOR)


def is_asynchronous(function: FunctionType) -> bool:
    """It is `async`."""
    return bool(function.__code__.co_flags & _ASYNCHRONOUS)
