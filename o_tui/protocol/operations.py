"""Operations: the changes of agent state, as data. Results, never commands (docs/ARCHITECTURE.md, rule 2).

An operation is replayed by the same pure reducer in every replica, so nothing in it may depend on a clock, on
randomness, on a model or on the genome's code: whoever proposes it has already looked all of that up.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

from o_tui import _native

BlockKind = Literal["short_term", "long_term", "episodic", "semantic"]
Lifecycle = Literal["initializing", "running", "evolving", "suspended", "terminated"]


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the operations."""


class MemoryAdd(Operation, frozen=True, kw_only=True):
    """A block enters memory.

    Attributes:
        vector: The embedding (float32, little-endian) that a model made of it; empty: none.
        embedder: The name of that model: vectors of two models cannot be compared.
        thread: What it is a part of; blocks that follow each other in a thread are found by each other's words.
    """

    id: str
    kind: BlockKind
    text: str
    source: str
    time_ns: int
    importance: float
    context: str = ""
    vector: bytes = b""
    thread: str = ""
    embedder: str = ""


class MemoryUpdate(Operation, frozen=True, kw_only=True):
    """A block's kind and importance change (consolidation), or it was read `accesses` more times."""

    id: str
    kind: BlockKind | None = None
    importance: float | None = None
    accesses: int = 0


class MemoryRemove(Operation, frozen=True, kw_only=True):
    """Blocks leave memory: forgotten, or merged into another one."""

    ids: list[str]
    reason: str = ""


class TurnAdd(Operation, frozen=True, kw_only=True):
    """One turn of the conversation."""

    id: str
    session: str
    role: Literal["user", "assistant", "tool"]
    text: str
    time_ns: int


class StateUpdate(Operation, frozen=True, kw_only=True):
    """A value of the agent's or a gene's state; `value` None removes it."""

    key: str
    value: Any


class ToolRegister(Operation, frozen=True, kw_only=True):
    """A tool of the genome is known under a name."""

    name: str
    description: str
    parameters: dict[str, Any]
    revision: str


class LifecycleChange(Operation, frozen=True, kw_only=True):
    """The agent's lifecycle (seeds)."""

    state: Lifecycle


class GenomeSwitch(Operation, frozen=True, kw_only=True):
    """The agent runs another revision of its genome from here on."""

    revision: str
    version: str
    reason: str = ""


class StateRestore(Operation, frozen=True, kw_only=True):
    """From here on the state is the one of a checkpoint (guardian only; docs/STORAGE.md says how it is replayed)."""

    checkpoint_id: str
    checkpoint_seq: int


class Skip(Operation, frozen=True, kw_only=True):
    """Stands where a quarantined entry stood: changes nothing. `digest`: the log's chain after that entry, hex."""

    digest: str
    reason: str


TYPES: dict[str, type[Operation]] = {
    "memory_add": MemoryAdd,
    "memory_update": MemoryUpdate,
    "memory_remove": MemoryRemove,
    "turn_add": TurnAdd,
    "state_update": StateUpdate,
    "tool_register": ToolRegister,
    "lifecycle_change": LifecycleChange,
    "genome_switch": GenomeSwitch,
    "state_restore": StateRestore,
    "skip": Skip,
}
NAMES: dict[type[Operation], str] = {struct: name for name, struct in TYPES.items()}
GUARDIAN_ONLY = frozenset({"genome_switch", "state_restore", "skip", "lifecycle_change"})
"""What an instance may not propose."""

_decoders = {name: msgspec.msgpack.Decoder(struct) for name, struct in TYPES.items()}
_encoder = msgspec.msgpack.Encoder()


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One row of the WAL.

    `data` is the operation's MessagePack; `position` is its place among the operations of its request (from 0), so
    that a request that is delivered again does not repeat what it has already done.
    """

    seq: int
    time_ns: int
    epoch: int
    request_id: str
    position: int
    operation: str
    data: bytes


_entry_decoder = msgspec.msgpack.Decoder(Entry)
GENESIS = bytes(32)
"""The chain's digest before the first entry."""


def pack(operation: Operation) -> tuple[str, bytes]:
    """An operation's name and its bytes."""
    return NAMES[type(operation)], _encoder.encode(operation)


def unpack(name: str, data: bytes) -> Operation:
    """The typed operation behind a row.

    The data is checked like a frame first: it comes from an instance, and nothing has looked into it before.

    Raises:
        msgspec.DecodeError: The data is not of that operation, or breaks a limit (`frames`).
        KeyError: There is no operation of that name.
    """
    decoder = _decoders[name]
    try:
        _native.check_frame(data)
    except ValueError as error:
        raise msgspec.DecodeError(str(error)) from error
    return decoder.decode(data)


def pack_entry(entry: Entry) -> bytes:
    """The bytes that are chained, mirrored and sent to replicas."""
    return _encoder.encode(entry)


def unpack_entry(data: bytes) -> Entry:
    """The reverse of `pack_entry`; raises msgspec.DecodeError."""
    return _entry_decoder.decode(data)


def chain(previous: bytes, packed_entry: bytes) -> bytes:
    """SHA-256(previous digest, entry): 32 bytes."""
    return hashlib.sha256(previous + packed_entry).digest()
