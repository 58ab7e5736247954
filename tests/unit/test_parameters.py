"""What is read off a code object is what `inspect.signature` says."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from types import FunctionType
from typing import Any, cast

import pytest

from o_tui.agent.parameters import is_asynchronous, is_generator, parameters


def _plain(a: int, b: str = "x", *, c: int, d: int = 4) -> None: ...
def _only_place(a: int, /, b: int) -> None: ...
def _any_more(*a: int) -> None: ...
def _any_name(**a: int) -> None: ...
def _none() -> None: ...


def _yields(a: int = 1) -> Iterator[int]:
    yield a


async def _waits(a: int) -> None: ...


async def _both() -> AsyncIterator[int]:
    yield 1


@functools.wraps(_plain)
def _wrapped(*arguments: Any, **named: Any) -> None: ...


@pytest.mark.parametrize(
    "function", [_plain, _only_place, _any_more, _any_name, _none, _yields, _waits, _both, _wrapped]
)
def test_it_agrees_with_inspect(function: Callable[..., Any]) -> None:
    takes = parameters(cast("FunctionType", function))
    said = inspect.signature(function).parameters.values()
    named = {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY} if (p := next(iter(said), None)) else set()
    variadic = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    assert takes.names == tuple(p.name for p in said if p.kind not in variadic)
    assert takes.defaults == {p.name: p.default for p in said if p.default is not p.empty}
    assert takes.named_only == all(p.kind in named for p in said)
    found = cast("FunctionType", function)
    assert is_generator(found) == inspect.isgeneratorfunction(function)
    assert is_asynchronous(found) == (inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function))


def test_a_function_that_wraps_itself_is_refused() -> None:
    def loops() -> None: ...

    loops.__wrapped__ = loops  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="wrapper loop"):
        parameters(cast("FunctionType", loops))
