"""One reducer an operation: pure functions of state and operation, the same in every replica.

They are total: an operation that decodes can be reduced (numbers are clamped, what is not there is not changed), since
an entry that one replica cannot reduce, none can.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from o_tui import _native
from o_tui.agent.state import State
from o_tui.protocol import operations
from o_tui.protocol.errors import OError
from o_tui.protocol.operations import Entry

_INT64 = 2**63 - 1
_DIGEST = re.compile(r"[0-9a-f]{64}")
_encode = msgspec.msgpack.Encoder().encode


class ReduceError(OError):
    """An entry that cannot be applied; the replica is of no use any more.

    Attributes:
        seq: The entry.
    """

    def __init__(self, seq: int, message: str) -> None:
        super().__init__(message)
        self.seq = seq


def apply(state: State, packed: bytes) -> Entry | None:
    """Applies one entry; None: the state has it already.

    Raises:
        ReduceError: There is a gap before it, or it cannot be reduced.
    """
    applied = apply_all(state, [packed])
    return applied[0] if applied else None


def apply_all(state: State, packed: Sequence[bytes], digest: bytes = b"") -> list[Entry]:
    """Applies the entries of one `committed` frame in one transaction; returns those that were new.

    `digest`, where given, is what the chain must have after the last one.

    Raises:
        ReduceError: A gap, an entry that cannot be reduced, or a digest that is not the chain's.
    """
    meta = state.meta
    applied: list[Entry] = []
    state.database.execute("BEGIN")
    for data in packed:
        seq = meta.seq + 1
        try:
            entry = operations.unpack_entry(data)
            if entry.seq <= meta.seq:
                continue
            if entry.seq != seq:
                raise ReduceError(entry.seq, f"entry {entry.seq} after {meta.seq}: there is a gap")
            operation = operations.unpack(entry.operation, entry.data)
            _REDUCERS[entry.operation](state, operation)
        except ReduceError:
            raise
        except Exception as error:  # the border to stored data: whatever it is, the entry is named
            raise ReduceError(seq, f"entry {seq} cannot be applied: {type(error).__name__}: {error}") from error
        meta.seq = seq
        meta.digest = _chained(meta.digest, data, operation)
        applied.append(entry)
    state.database.execute("COMMIT")
    if digest and applied and meta.digest != digest:
        raise ReduceError(meta.seq, f"the log's chain does not agree at entry {meta.seq}")
    return applied


def _chained(before: bytes, data: bytes, operation: operations.Operation) -> bytes:
    """The chain's digest after an entry; a stand-in carries that of the entry in whose place it is."""
    if isinstance(operation, operations.Skip) and _DIGEST.fullmatch(operation.digest):
        return bytes.fromhex(operation.digest)
    return operations.chain(before, data)


def apply_local(state: State, operation: operations.Operation) -> None:
    """Applies an operation of a shadow to its own overlay: it is in no log, so the chain stands still."""
    state.database.execute("BEGIN")
    try:
        _REDUCERS[operations.NAMES[type(operation)]](state, operation)
    finally:
        state.database.execute("COMMIT")
    state.meta.seq += 1


def _unit(number: float) -> float:
    return min(1.0, max(0.0, number)) if math.isfinite(number) else 0.5


def _integer(number: int) -> int:
    return min(_INT64, max(-_INT64, number))


def _memory_add(state: State, operation: operations.MemoryAdd) -> None:
    _forget(state, operation.id)
    number = state.database.execute(
        "INSERT INTO blocks(id, kind, text, source, context, time_ns, importance, accesses, thread)"
        " VALUES(?, ?, ?, ?, ?, ?, ?, 0, ?)",
        (
            operation.id,
            operation.kind,
            operation.text,
            operation.source,
            operation.context,
            _integer(operation.time_ns),
            _unit(operation.importance),
            operation.thread,
        ),
    ).lastrowid
    assert number is not None
    state.words.add(number, operation.text, operation.context, operation.source, operation.thread)
    if operation.vector:
        _add_vector(state, number, operation.vector, operation.embedder)


def _add_vector(state: State, number: int, vector: bytes, embedder: str) -> None:
    """Keeps an embedding. Those of another model, or of another size, cannot be compared with it, and go."""
    vectors = state.vectors
    try:
        if vectors is None or len(vector) != 4 * vectors.dimensions or not state.compares(embedder):
            vectors = _native.VectorIndex(len(vector) // 4)
        vectors.add(number, vector)
    except ValueError:
        return  # not a whole number of numbers, too many, or not a number among them: as good as none
    state.vectors = vectors
    state.meta.dimensions = vectors.dimensions
    state.meta.embedder = embedder


def _forget(state: State, block_id: str) -> None:
    row = state.database.execute("SELECT n FROM blocks WHERE id = ?", (block_id,)).fetchone()
    if row is None:
        return
    state.database.execute("DELETE FROM blocks WHERE n = ?", row)
    state.words.remove(row[0])
    if state.vectors is not None:
        state.vectors.remove(row[0])


def _memory_update(state: State, operation: operations.MemoryUpdate) -> None:
    row = state.database.execute(
        "SELECT n, kind, importance, accesses FROM blocks WHERE id = ?", (operation.id,)
    ).fetchone()
    if row is None:
        return
    number, kind, importance, accesses = row
    state.database.execute(
        "UPDATE blocks SET kind = ?, importance = ?, accesses = ? WHERE n = ?",
        (
            operation.kind or kind,
            importance if operation.importance is None else _unit(operation.importance),
            _integer(accesses + max(0, operation.accesses)),
            number,
        ),
    )


def _memory_remove(state: State, operation: operations.MemoryRemove) -> None:
    for block_id in operation.ids:
        _forget(state, block_id)


def _turn_add(state: State, operation: operations.TurnAdd) -> None:
    state.database.execute(
        "INSERT OR REPLACE INTO turns(id, session, role, text, time_ns) VALUES(?, ?, ?, ?, ?)",
        (operation.id, operation.session, operation.role, operation.text, _integer(operation.time_ns)),
    )


def _state_update(state: State, operation: operations.StateUpdate) -> None:
    if operation.value is None:
        state.database.execute("DELETE FROM state_values WHERE key = ?", (operation.key,))
    else:
        state.database.execute(
            "INSERT OR REPLACE INTO state_values(key, value) VALUES(?, ?)", (operation.key, _encode(operation.value))
        )


def _tool_register(state: State, operation: operations.ToolRegister) -> None:
    state.database.execute(
        "INSERT OR REPLACE INTO tools(name, description, parameters, revision) VALUES(?, ?, ?, ?)",
        (operation.name, operation.description, _encode(operation.parameters), operation.revision),
    )


def _lifecycle_change(state: State, operation: operations.LifecycleChange) -> None:
    state.meta.lifecycle = operation.state


def _genome_switch(state: State, operation: operations.GenomeSwitch) -> None:
    state.meta.revision, state.meta.version = operation.revision, operation.version


def _state_restore(state: State, operation: operations.StateRestore) -> None:
    # A replica cannot become a checkpoint that it does not have: the guardian forks new ones from a nursery that
    # was given the checkpoint with this entry's seq. Until it ends this one, the replica only keeps step.
    state.meta.restored = operation.checkpoint_id


def _skip(state: State, operation: operations.Skip) -> None:
    pass


_REDUCERS: dict[str, Callable[[State, Any], None]] = {
    "memory_add": _memory_add,
    "memory_update": _memory_update,
    "memory_remove": _memory_remove,
    "turn_add": _turn_add,
    "state_update": _state_update,
    "tool_register": _tool_register,
    "lifecycle_change": _lifecycle_change,
    "genome_switch": _genome_switch,
    "state_restore": _state_restore,
    "skip": _skip,
}
