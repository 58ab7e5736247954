"""Calls between a candidate's process and its evaluator's, over one socket, plain data only.

The same on both sides, but not the same rights: of the candidate's objects everything may be asked; of the
evaluator's only those functions may be called, and nothing else be done, that it has handed over itself.
"""

from __future__ import annotations

import builtins
import inspect
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from o_tui.programs import plain

FRAME_LIMIT_BYTES = 16 * 1024 * 1024
TEXT_CHARS = 2000
MODULE, LOAD, RUN = 0, 1, 2
"""Numbers of what a candidate's process gives from the beginning: the module, what loads it, what runs it."""
_LENGTH = struct.Struct("<I")
_CALL, _OK, _RAISED = "call", "ok", "raised"


class ProgramEndedError(RuntimeError):
    """The program's process has gone."""


class ProgramError(RuntimeError):
    """The program raised something of its own."""


class Peer:
    """One end. `opened`: what may be done with our objects beside calling those that were handed over."""

    def __init__(self, sock: socket.socket, *, opened: bool) -> None:
        self._sock = sock
        self._opened = opened
        self._objects: dict[int, Any] = {}
        self._numbers = 0
        self._calls = os.getpid() << 24
        # a call back comes while a call of this thread waits
        self._lock = threading.RLock()

    def keep(self, value: Any) -> int:
        """Gives an object of ours a number."""
        number = self._numbers
        self._numbers += 1
        self._objects[number] = value
        return number

    # --- asking

    def ask(self, do: str, number: int, *arguments: Any, **named: Any) -> Any:
        """Has the peer do something with an object of its own; raises what that raises, and ProgramEndedError."""
        with self._lock:
            self._calls += 1
            mine = self._calls
            self._write(self._frame([_CALL, mine, do, number, list(arguments), named]))
            while True:
                kind, of, *rest = self._receive()
                if kind == _CALL:
                    self._serve(of, *rest)
                elif of == mine:  # what another has asked for and does not wait for any more is dropped
                    return rest[0] if kind == _OK else _raise(*rest)

    def serve(self) -> None:
        """Answers until the other end goes."""
        while True:
            try:
                with self._lock:  # another thread of a candidate's may be asking something
                    kind, of, *rest = self._receive()
            except ProgramEndedError:
                return
            if kind == _CALL:
                self._serve(of, *rest)

    # --- answering

    def _serve(self, of: int, do: str, number: int, arguments: list[Any], named: dict[str, Any]) -> None:
        try:
            payload = self._frame([_OK, of, self._do(do, self._objects[number], arguments, named)])
        except Exception as error:  # noqa: BLE001 - whatever code of the user's raises goes to who asked
            payload = self._frame([_RAISED, of, type(error).__name__, *described(error)])
        with self._lock:
            self._write(payload)

    def _do(self, do: str, value: Any, arguments: list[Any], named: dict[str, Any]) -> Any:
        if do == "call":
            return awaited(value(*arguments, **named))
        if not self._opened:
            raise PermissionError(f"{do} of an object of the evaluator's")
        return _ABOUT[do](value, *arguments)

    # --- objects

    def _export(self, value: Any) -> tuple[bool, Any]:
        theirs = getattr(value, "_of_peer", None)
        if theirs is not None and theirs[0] is self:
            return True, theirs[1]
        if not self._opened and not callable(value):
            raise plain.PlainError(f"a {type(value).__name__} cannot be handed to the program: it is no plain data")
        return False, [self.keep(value), *_shape(value)]

    def _import(self, ours: bool, what: Any) -> Any:
        if ours:
            return self._objects[what]
        return stand_for(self, *what)

    # --- frames

    def _frame(self, value: list[Any]) -> bytes:
        payload = plain.pack(value, self._export)
        if len(payload) > FRAME_LIMIT_BYTES:
            raise plain.PlainError(f"{len(payload)} bytes are too much for one call or one result")
        return _LENGTH.pack(len(payload)) + payload

    def _write(self, frame: bytes) -> None:
        try:
            self._sock.sendall(frame)
        except OSError as error:
            raise ProgramEndedError("the program's process has ended") from error

    def _receive(self) -> list[Any]:
        (size,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        if size > FRAME_LIMIT_BYTES:
            raise ProgramEndedError(f"the program sent {size} bytes at once")
        frame = plain.unpack(self._exactly(size), self._import)
        if not isinstance(frame, list) or len(frame) < 3:
            raise ProgramEndedError("the program's process does not speak the protocol")
        return frame

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            try:
                piece = self._sock.recv(min(size - len(data), 1 << 20))
            except OSError:
                piece = b""
            if not piece:
                raise ProgramEndedError("the program's process has ended")
            data += piece
        return bytes(data)


def awaited(value: Any) -> Any:
    """The result of what may be a coroutine."""
    if not inspect.iscoroutine(value):
        return value
    import asyncio

    return asyncio.run(value)


def described(error: BaseException) -> tuple[str, int]:
    """An exception in one line, and the line of the program that raised it; 0: none did."""
    line, step = 0, error.__traceback__
    while step is not None:
        if step.tb_frame.f_globals.get("__name__") in ("program", "__main__"):
            line = step.tb_lineno
        step = step.tb_next
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an exception of the program's own
        text = "?"
    return text[:TEXT_CHARS], line


def _raise(name: str, text: str, line: int = 0) -> NoReturn:
    found = getattr(builtins, str(name), None)
    known = isinstance(found, type) and issubclass(found, Exception) and found is not StopIteration
    try:
        error = found(text) if known and found is not None else ProgramError(f"{name}: {text}")
    except TypeError:  # UnicodeDecodeError and its like want more
        error = ProgramError(f"{name}: {text}")
    if line:
        error.add_note(f"line {line} of the program")
    raise error


def _next(value: Any) -> list[Any]:
    for item in value:
        return [item]
    return []


_ABOUT: dict[str, Callable[..., Any]] = {
    "get": getattr,
    "has": hasattr,
    "names": lambda value: sorted(name for name in dir(value) if not name.startswith("__")),
    "text": lambda value: repr(value)[:TEXT_CHARS],
    "item": lambda value, key: value[key],
    "size": len,
    "iterate": iter,
    "next": _next,
}
"""What may be done with an object of the candidate's."""


def _shape(value: Any) -> list[Any]:
    """What the other side sees of an object without asking: function or object, name, doc, parameters, async."""
    if not inspect.isfunction(value):
        return ["object", str(getattr(value, "__name__", type(value).__name__))[:200], "", [], False]
    parameters = [
        [each.name, int(each.kind), each.default is not each.empty]
        for each in inspect.signature(value).parameters.values()
    ]
    doc = str(value.__doc__ or "")[:TEXT_CHARS]
    return ["function", value.__name__, doc, parameters, inspect.iscoroutinefunction(value)]


def stand_for(
    peer: Peer, number: int, kind: str, name: str, doc: str, parameters: list[Any], asynchronous: bool
) -> Any:
    """What stands here for an object of the other side's."""
    if kind != "function":
        return Remote(peer, number, name)

    def call(*arguments: Any, **named: Any) -> Any:
        return peer.ask("call", number, *arguments, **named)

    async def call_async(*arguments: Any, **named: Any) -> Any:
        return peer.ask("call", number, *arguments, **named)

    function: Any = call_async if asynchronous else call
    function.__name__, function.__qualname__, function.__doc__ = name, name, doc
    function._of_peer = (peer, number)
    kinds = list(inspect._ParameterKind)
    function.__signature__ = inspect.Signature([
        inspect.Parameter(each, kinds[how], default=... if optional else inspect.Parameter.empty)
        for each, how, optional in parameters
    ])  # fmt: skip
    return function


class Remote:
    """Stands for an object of the program's: everything that is done with it is done there."""

    def __init__(self, peer: Peer, number: int, name: str) -> None:
        self._of_peer = (peer, number)
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        peer, number = self._of_peer
        return peer.ask("get", number, name)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Calls it there."""
        peer, number = self._of_peer
        return peer.ask("call", number, *arguments, **named)

    def __getitem__(self, key: Any) -> Any:
        peer, number = self._of_peer
        return peer.ask("item", number, key)

    def __len__(self) -> int:
        peer, number = self._of_peer
        return int(peer.ask("size", number))

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        peer, number = self._of_peer
        _, steps = peer.ask("iterate", number)._of_peer
        while found := peer.ask("next", steps):
            yield found[0]

    def __repr__(self) -> str:
        peer, number = self._of_peer
        return str(peer.ask("text", number))
