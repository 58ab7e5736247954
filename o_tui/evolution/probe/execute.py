"""Runs one case in one module, and says what was seen. Runs in a confined process only (guardian/probing.py)."""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import inspect
import opcode
import pathlib
import sys
from collections.abc import Callable, Mapping
from types import FrameType, TracebackType
from typing import Any

import msgspec

from o_tui.evolution.probe import loop, races, stage
from o_tui.evolution.probe.case import Call, Case, Recipe
from o_tui.evolution.probe.observe import Observer
from o_tui.evolution.probe.world import BlockedError, HangError, World

_PATIENCE, _TRACED = 12, 4
_GIVEN = 12
"""So many of the things that were given are looked at in the end."""
_RAISE = opcode.opmap["RAISE_VARARGS"]
_FOREIGN: dict[str, Any] = {
    "Decimal": decimal.Decimal,
    "Fraction": fractions.Fraction,
    "datetime": datetime.datetime,
    "date": datetime.date,
    "timedelta": datetime.timedelta,
    "timezone": datetime.timezone,
    "Path": pathlib.PurePosixPath,
    "deque": collections.deque,
    "Counter": collections.Counter,
    "frozenset": frozenset,
}


class NotMadeError(Exception):
    """An argument could not be made: nothing can be said of the case."""


class Bench:
    """One module on the bench.

    Attributes:
        module: Its names.
        words: Further modules whose classes its arguments may be of.
        library: Calls that changed an object, by class and method (grow.py).
    """

    def __init__(self, module: Mapping[str, Any], filename: str, world: World, words: Mapping[str, Any]) -> None:
        self.module = module
        self.filename = filename
        self.world = world
        self._words = words
        self._given: list[Any] = []
        self._went: dict[int, int] = {}
        self._been: set[int] = set()
        self._idle = 0
        self.library: dict[str, dict[str, list[Call]]] = {}

    # --- one case

    def traced(self, case: Case, salt: int) -> tuple[Any, list[int]]:
        """As `run`, and where it went: each pair of lines that followed each other, with how often (1, 2, 4, 8).

        Tracing takes four times as long as running: after many cases that went nowhere new only some are traced.
        """
        self._idle += 1
        if self._idle > _PATIENCE and self._idle % _TRACED:
            return self.run(case, salt), []
        self._went = {}
        sys.settrace(self._enter)
        try:
            seen = self.run(case, salt)
        finally:
            sys.settrace(None)
        went = [(pair << 3) + min(4, times.bit_length()) for pair, times in self._went.items()]
        if not self._been.issuperset(went):
            self._been.update(went)
            self._idle = 0
        return seen, went

    def _enter(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        if frame.f_code.co_filename != self.filename:
            return None
        went = self._went
        last = frame.f_lineno

        def line(inner: FrameType, event: str, _argument: Any) -> Any:
            nonlocal last
            if event == "line":
                now = inner.f_lineno
                pair = (last << 16) + now
                went[pair] = went.get(pair, 0) + 1
                last = now
            return line

        return line

    def run(self, case: Case, salt: int = 0) -> Any:
        """The observation: plain data; ["unmade"] where an argument could not be made."""
        if case.again:
            self.run(msgspec.structs.replace(case, again=False), salt)
        self.world.reset(salt)
        self._given = []
        try:
            if case.kind == "race":
                return races.run(self, case)
            target = self.target(case)
            if case.kind == "large":
                return self._large(target, case)
        except NotMadeError:
            return ["unmade"]
        except Exception as error:  # noqa: BLE001 - the border to code under test, that may raise anything
            return ["calls", self.raised(error)]
        seen = [self.call(target, call, scribble=case.scribble) for call in case.calls]
        return ["calls", *seen, self.looks(target), *([] if case.scribble else self._kept())]

    def _kept(self) -> list[Any]:
        """What was given to all calls, as it is at the end: who has kept it may have changed it since."""
        observer = Observer(self.module)
        return [["given", *map(observer.freeze, self._given[:_GIVEN])]] if self._given else []

    def target(self, case: Case) -> Any:
        """The object that is called, or the module's names."""
        if not case.target:
            return self.module
        args, kwargs = self.made(case.new)
        target = self.named(case.target)(*args, **kwargs)
        self._lend(args, kwargs, scribble=case.scribble)
        return target

    def _lend(self, args: list[Any], kwargs: dict[str, Any], *, scribble: bool) -> None:
        """What a call was given is looked at in the end, or written over by its owner now."""
        for value in (*args, *kwargs.values()):
            if isinstance(value, (list, dict, set)):
                if scribble:
                    _scribble(value)
                else:
                    self._given.append(value)

    def call(self, target: Any, call: Call, *, scribble: bool = False) -> Any:
        """One call: [value or error, arguments afterwards]."""
        try:
            args, kwargs = self.made(call)
        except NotMadeError:
            return ["unmade"]
        try:
            result = self.invoke(target, call.name, args, kwargs)
        except (BlockedError, HangError):
            return ["raises", "hang", True]
        except Exception as error:  # noqa: BLE001 - the border to code under test
            return self.raised(error)
        seen = Observer(self.module).freeze(result)
        after = self._after(args, kwargs)
        said = ["value", seen, after]
        if scribble:
            _scribble(result)
            said.append(self._after(args, kwargs))
        if target is not self.module:
            self._lend(args, kwargs, scribble=scribble)
        return said

    def invoke(self, target: Any, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Calls, reads a property, or runs a coroutine to its end."""
        if target is self.module:
            function = self.named(name)
        elif name.endswith("="):
            return setattr(target, name[:-1], *args)
        elif name == "__eq__":
            return _equal(target, *args)
        else:
            function = getattr(target, name)
            if isinstance(inspect.getattr_static(type(target), name, None), property) or not callable(function):
                return function
        result = function(*args, **kwargs)
        if inspect.iscoroutine(result):
            return _finish(result)
        if self._words and inspect.isgenerator(result):
            context = next((value for value in args if type(value).__name__ == "Context"), None)
            return stage.play(result, getattr(context, "state", None), self._words)
        return result

    def looks(self, target: Any) -> Any:
        """What an object shows of itself at the end."""
        if target is self.module:
            return None
        return Observer(self.module).freeze(target)

    def raised(self, error: BaseException) -> Any:
        """["raises", type, on purpose, where]: whether a `raise` of the module's own said so; its deepest line."""
        trace = error.__traceback__
        return ["raises", type(error).__name__, self._on_purpose(trace), self._where(trace)]

    def _where(self, trace: TracebackType | None) -> str:
        """The deepest line of the module as `function+line`: it stays when other functions change."""
        where = ""
        while trace is not None:
            code = trace.tb_frame.f_code
            if code.co_filename == self.filename:
                where = f"{code.co_name}+{trace.tb_lineno - code.co_firstlineno}"
            trace = trace.tb_next
        return where

    def _on_purpose(self, trace: TracebackType | None) -> bool:
        last = None
        while trace is not None:
            last, trace = trace, trace.tb_next
        if last is None or last.tb_frame.f_code.co_filename != self.filename:
            return False
        return last.tb_frame.f_code.co_code[last.tb_lasti] == _RAISE

    def _after(self, args: list[Any], kwargs: dict[str, Any]) -> Any:
        observer = Observer(self.module)
        given = [*args, *kwargs.values()]
        return [observer.freeze(value) if _can_change(value) else 0 for value in given]

    def _large(self, target: Any, case: Case) -> Any:
        if case.calls[0].name != "*":
            return ["calls", self.call(target, case.calls[0])]
        turns = [(call.name, *self.made(call)) for call in case.calls[1:]]
        seen = []
        for number in range(case.calls[0].args[0]):
            for name, args, kwargs in turns:
                try:
                    seen.append(self.invoke(target, name, [_other(a, number) for a in args], kwargs))
                except (Exception, HangError) as error:  # noqa: BLE001 - the border to code under test
                    seen.append(type(error).__name__)
            del seen[:-10]
        return ["calls", Observer(self.module).freeze(seen)]

    # --- recipes

    def named(self, name: str) -> Any:
        """A function or class by its name; raises NotMadeError."""
        for names in (self.module, self._words, _FOREIGN):
            if name in names:
                return names[name]
        raise NotMadeError(name)

    def made(self, call: Call) -> tuple[list[Any], dict[str, Any]]:
        """Arguments from their recipes; raises NotMadeError."""
        args = [self.make(recipe) for recipe in call.args]
        return args, {name: self.make(recipe) for name, recipe in call.kwargs.items()}

    def make(self, recipe: Recipe) -> Any:
        """A value from its recipe; raises NotMadeError."""
        if not isinstance(recipe, list):
            return recipe
        try:
            return self._made(recipe[0], recipe[1:])
        except NotMadeError:
            raise
        except Exception as error:
            raise NotMadeError(str(recipe[0])) from error

    def _made(self, tag: str, rest: list[Any]) -> Any:
        plain: dict[str, Callable[[Any], Any]] = {"list": list, "tuple": tuple, "set": set, "iter": iter}
        if tag in plain:
            return plain[tag]([self.make(item) for item in rest])
        if tag == "dict":
            return {self.make(key): self.make(value) for key, value in rest}
        if tag == "new":
            args, kwargs = self.made(Call(rest[0], rest[1], rest[2]))
            return self.named(rest[0])(*args, **kwargs)
        if tag == "member":
            return self.named(rest[0])[rest[1]]
        if tag == "call":
            args, _none = self.made(Call(rest[0], rest[1]))
            return self.named(rest[0])(*args)
        if tag == "fn":
            return _function(rest[0])
        if tag == "stage":
            return stage.make(rest, self._words)
        return _big(self, tag, rest)


def _big(bench: Bench, tag: str, rest: list[Any]) -> Any:
    if tag == "bytes":
        return bytes.fromhex(rest[0])
    if tag == "join":
        return "".join(str(bench.make(item)) for item in rest)
    if tag == "repeat":
        return rest[1] * rest[0]
    if tag == "many":
        return [bench.make(rest[1 + number % (len(rest) - 1)]) for number in range(rest[0])]
    if tag == "deep":
        return _deep(rest[0], rest[1])
    numbers = [(number * 7919) % rest[0] for number in range(rest[0])]
    ways: dict[str, Callable[[int], Any]] = {"float": float, "str": "k{}".format, "key": "k{}".format}
    names = [ways.get(rest[1], int)(number) for number in numbers]
    if tag == "range":
        return names
    if tag == "ranged":
        return {name: bench.make(rest[2]) for name in names}
    raise NotMadeError(tag)


def _deep(depth: int, kind: str) -> Any:
    made: Any = 1
    for _ in range(depth):
        made = {"a": made} if kind == "dict" else [made]
    return made


def _function(way: str) -> Callable[..., Any]:
    """A callback. Only one without arguments counts its calls: how often others are called is no promise."""
    count = 0

    def counted(*_args: Any) -> Any:
        nonlocal count
        count += 1
        return f"made {count}"

    def raises(*_args: Any) -> Any:
        raise ValueError("by the callback")

    def flaky(*_args: Any) -> Any:
        if counted() and count % 2 == 0:
            raise ValueError("by the callback, now and then")
        return f"made {count}"

    def picky(*args: Any) -> Any:
        if len(str(args[:1])) % 2:
            raise ValueError("by the callback, of some")
        return args[0] if args else 1

    ways: dict[str, Callable[..., Any]] = {
        "count": counted,
        "raise": raises,
        "flaky": flaky,
        "picky": picky,
        "size": lambda *args: len(str(args[0])) if args else 1,
        "truth": lambda *args: len(str(args[0])) % 2 == 0 if args else True,
        "text": lambda *args: str(args[0]).upper() if args else "t",
        "first": lambda *args: args[0] if args else 1,
    }
    return ways[way]


def _equal(one: Any, other: Any) -> Any:
    """Whether they are equal; what is equal has the same hash, or the two are told apart."""
    equal = one == other
    try:
        return equal if not equal or hash(one) == hash(other) else "equal, with another hash"
    except TypeError:
        return equal


def _finish(coroutine: Any) -> Any:
    """A coroutine that waits for nothing but time and others like it."""
    return loop.run(coroutine)


def _can_change(value: Any) -> bool:
    return isinstance(value, (list, dict, set, collections.deque, bytearray)) or hasattr(value, "__dict__")


def _scribble(value: Any) -> None:
    """Writes over what was returned: if that shows anywhere else, it was not the caller's own."""
    if isinstance(value, list):
        for item in value:
            if isinstance(item, (list, dict, set)):
                _scribble(item)
        value.append("scribbled")
    elif isinstance(value, set):
        value.add("scribbled")
    elif isinstance(value, dict):
        for item in list(value.values()):
            if isinstance(item, (list, dict, set)):
                _scribble(item)
        if type(value) is dict:
            value["scribbled"] = 1


def _other(value: Any, number: int) -> Any:
    """Another one of its kind for each call: names and times go on."""
    if isinstance(value, str):
        return f"{value}{number}"
    return value + number if type(value) is float else value
