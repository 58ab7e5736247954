"""Code that runs in each fork, made anew in one place: to run a function writes to the page where its code lies."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType

from o_tui import _native


def gather(rehearsal: Callable[[], object]) -> None:
    """Moves the code of those functions that `rehearsal` runs; what has been learned about it is forgotten."""
    ran: set[CodeType] = set()
    sys.setprofile(lambda frame, _event, _argument: ran.add(frame.f_code))
    try:
        rehearsal()
    finally:
        sys.setprofile(None)
    moved = {id(function): function for function in _functions() if function.__code__ in ran}
    _native.fill_holes()
    for function in moved.values():
        function.__code__ = copy(function.__code__)


def copy(code: CodeType) -> CodeType:
    """The same code, and that of the functions in it, in new objects."""
    return code.replace(co_consts=tuple(copy(each) if isinstance(each, CodeType) else each for each in code.co_consts))


def _functions() -> Iterator[FunctionType]:
    for module in list(sys.modules.values()):
        for value in list(vars(module).values()):
            inner = vars(value).values() if isinstance(value, type) else (value,)
            yield from (each for each in inner if type(each) is FunctionType)
