"""What a run, its fork servers and their evaluators say to each other: MessagePack with a length before it."""

from __future__ import annotations

import array
import socket
import struct
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from o_tui.programs.convention import Kind, Result, Settings
from o_tui.protocol.refusals import Refusal

FRAME_LIMIT_BYTES = 16 * 1024 * 1024
_LENGTH = struct.Struct("<I")
_T = TypeVar("_T")


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What all evaluations of a run share.

    Attributes:
        evaluator: Where the evaluator's file is; what of it counts is `source`, as it was read once.
        text: The evaluator reads the program's file: it gets the program's text there.
        program: The program's file name.
        modules: Installed modules that program and evaluator import.
        beside: What lies in the evaluator's folder, by path below it, where that folder is elsewhere; None: it is here.
    """

    evaluator: str
    source: bytes
    kind: Kind
    settings: Settings
    text: bool = False
    program: str = "program.py"
    modules: tuple[str, ...] = ()
    beside: dict[str, bytes] | None = None


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One evaluation."""

    number: int
    source: bytes
    seed: int = 0


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """A server serves, or says why it cannot: the evaluator's own error.

    Attributes:
        depth: Orders that it may have at once: of a fork server one that it does and one that waits.
    """

    error: str = ""
    depth: int = 2


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """How an evaluation ended.

    Attributes:
        exit: How the candidate's process ended by itself; -9: it was there until the end, and killed.
        refused: What the sandbox refused the candidate.
        left: Processes that the evaluator had left behind.
    """

    number: int
    result: Result
    wall_ms: float = 0.0
    exit: int = 0
    refused: tuple[Refusal, ...] = ()
    left: int = 0


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a cluster's client says.

    Attributes:
        workers: How many there are now; None: as many as before.
        problem: Why it can go no further.
    """

    answer: Answer | None = None
    workers: int | None = None
    problem: str = ""


class EndedError(Exception):
    """The other end has gone."""


def send(sock: socket.socket, value: msgspec.Struct, descriptors: Sequence[int] = ()) -> None:
    """Sends one message, with descriptors beside it. Raises EndedError."""
    payload = msgspec.msgpack.encode(value)
    data = _LENGTH.pack(len(payload)) + payload
    try:
        if descriptors:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
            data = data[sock.sendmsg([data], rights) :]
        sock.sendall(data)
    except OSError as error:
        raise EndedError(str(error)) from error


def receive(sock: socket.socket, kind: type[_T]) -> tuple[_T, list[int]]:
    """One message and its descriptors.

    Raises:
        EndedError: The other end has gone, or said what is no such message.
    """
    try:
        head, descriptors, _flags, _address = socket.recv_fds(sock, _LENGTH.size, 4)
        head += _exactly(sock, _LENGTH.size - len(head)) if head else b""
        if not head:
            raise EndedError("the other end has gone")
        return _message(sock, head, kind), descriptors
    except (OSError, msgspec.MsgspecError) as error:
        raise EndedError(str(error)) from error


def receive_alone(sock: socket.socket, kind: type[_T]) -> _T:
    """One message without descriptors, by calls that a confined candidate may make. Raises EndedError, as `receive`."""
    try:
        return _message(sock, _exactly(sock, _LENGTH.size), kind)
    except (OSError, msgspec.MsgspecError) as error:
        raise EndedError(str(error)) from error


def _message(sock: socket.socket, head: bytes, kind: type[_T]) -> _T:
    (size,) = _LENGTH.unpack(head)
    if size > FRAME_LIMIT_BYTES:
        raise EndedError(f"a message of {size} bytes")
    return msgspec.msgpack.decode(_exactly(sock, size), type=kind)


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = sock.recv(min(size - len(data), 1 << 20))
        if not piece:
            raise EndedError("the other end has gone")
        data += piece
    return bytes(data)
