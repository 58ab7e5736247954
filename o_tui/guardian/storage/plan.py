"""From which checkpoint a state is built again: a pure function of what the vault and the log hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from o_tui.protocol.errors import CorruptError


@dataclass(frozen=True, slots=True)
class Known:
    """A checkpoint that the vault has, as far as planning needs it; `own`: it is of this very log."""

    checkpoint_id: str
    seq: int
    own: bool = True


@dataclass(frozen=True, slots=True)
class Restored:
    """A `state_restore` entry of the log."""

    seq: int
    digest: bytes
    checkpoint_id: str


@dataclass(frozen=True, slots=True)
class RecoveryPlan:
    """One way to a state: load a checkpoint, then apply the entries after `after_seq`.

    Attributes:
        checkpoint_id: Which; empty: the empty state.
        seq: What the loaded state's sequence number becomes (messages.Restore.seq); -1: the checkpoint's own.
        digest: The chain's digest that goes with `seq`; empty with -1.
        after_seq: Entries up to this one are in the state.
        problem: What is lost on this way; empty if nothing.
    """

    checkpoint_id: str
    seq: int = -1
    digest: bytes = b""
    after_seq: int = 0
    problem: str = ""


def plans(
    checkpoints: Sequence[Known], restores: Sequence[Restored], base_seq: int, base_digest: bytes
) -> list[RecoveryPlan]:
    """All ways, best first; the last one is the empty state.

    The newest checkpoint is the base, unless the log behind it holds a `state_restore`: then the checkpoint that was
    restored is the base, relabelled with that entry's number, and only what came after the entry is applied.

    Args:
        checkpoints: Undamaged as far as is known, in any order.
        restores: The `state_restore` entries that are still in the log, oldest first.
        base_seq: Entries up to this one were compacted: nothing older can be caught up.
        base_digest: The chain's digest there.
    """
    ids = {known.checkpoint_id for known in checkpoints}
    whole: list[RecoveryPlan] = []
    lossy: list[RecoveryPlan] = []
    usable = [known for known in checkpoints if known.own and known.seq >= base_seq]
    for known in sorted(usable, key=lambda known: -known.seq):
        restored = _last_after(restores, known.seq)
        if restored is None:
            whole.append(RecoveryPlan(known.checkpoint_id, after_seq=known.seq))
        elif restored.checkpoint_id in ids:
            whole.append(RecoveryPlan(restored.checkpoint_id, restored.seq, restored.digest, restored.seq))
        else:
            lossy.append(RecoveryPlan(known.checkpoint_id, after_seq=known.seq, problem=_missing(restored)))
    restored = _last_after(restores, base_seq)
    if restored is not None and restored.checkpoint_id in ids:
        whole.append(RecoveryPlan(restored.checkpoint_id, restored.seq, restored.digest, restored.seq))
    elif base_seq:
        text = f"no checkpoint is left for the entries up to {base_seq}: what they made is lost"
        lossy.append(RecoveryPlan("", base_seq, base_digest, base_seq, text))
    else:
        lossy.append(RecoveryPlan("", problem=_missing(restored) if restored else ""))
    return list(dict.fromkeys(whole + lossy))


def _last_after(restores: Sequence[Restored], seq: int) -> Restored | None:
    return next((restored for restored in reversed(restores) if restored.seq > seq), None)


def _missing(restored: Restored) -> str:
    return f"checkpoint {restored.checkpoint_id}, restored at entry {restored.seq}, is gone: the restore is left out"


def best(
    checkpoints: Sequence[Known], restores: Sequence[Restored], base_seq: int = 0, base_digest: bytes = bytes(32)
) -> RecoveryPlan:
    """The first of `plans`."""
    found = plans(checkpoints, restores, base_seq, base_digest)
    if not found:
        raise CorruptError("there is no way to a state")
    return found[0]


def needed(restores: Sequence[Restored]) -> frozenset[str]:
    """The checkpoints that replaying the log needs, whatever their age."""
    return frozenset(restored.checkpoint_id for restored in restores)
