"""The first steps of a child of the nursery. Whatever happens here, the process ends in `os._exit`."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import contextlib
import gc
import os
import socket
import sys
import traceback
import uuid
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from o_tui import _native
from o_tui.agent import confinement, instance
from o_tui.agent.state import State
from o_tui.protocol import checkpoint, frames, messages

SOCKET_FD = 3
FAILED_STATUS = 70
# not `signal`, which makes an enumeration's member of each number: that writes to sixty pages of a new process
_HANDLED = (_signal.SIGINT, _signal.SIGUSR1)
"""What the nursery does not leave at its default."""
_IGNORED = (_signal.SIGPIPE, _signal.SIGALRM)
"""Nothing waits for them; an instance takes SIGALRM up when it watches for the guardian's end."""
_OOM_SCORE = "500"  # a checkpoint can be made anew, the guardian cannot
_OUTLIVES_NURSERY = ("main", "standby", "canary")


class Birth(NamedTuple):
    """What a child has to know of the nursery that forked it."""

    nursery: int
    readable: tuple[str, ...]
    heartbeat_s: float


def serve(
    descriptor: int, state: State, message: messages.Fork, birth: Birth, counters: _native.SharedCounters
) -> NoReturn:
    """Becomes an instance that speaks on the socket `descriptor`, and counts in `counters`."""
    status = FAILED_STATUS
    try:
        _reset_signals()
        gc.enable()
        try:  # to use contextlib for the first time writes to ten pages of a new process
            _native.set_small_pages()  # huge ones are for the state, which the nursery has
        except OSError:
            pass
        tier = _confine(descriptor, message.role, birth, counters.ring())
        with socket.socket(fileno=SOCKET_FD) as sock:
            status = instance.run(
                sock, state, message.role, heartbeat_s=birth.heartbeat_s, tier=tier, counters=counters
            )
    except BaseException:  # noqa: BLE001 - the process must not go back into the nursery's frames
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(status)


def _confine(descriptor: int, role: messages.Role, birth: Birth, ring: _native.ViolationRing) -> confinement.Tier:
    # who serves goes on without a nursery, whose end makes it look whether the guardian is still there
    # (bridge.watch_for_end); a shadow ends with it
    outlives = role in _OUTLIVES_NURSERY
    try:
        return confinement.confine(
            "agent",
            birth.readable,
            socket=descriptor,
            parent=0 if outlives else birth.nursery,
            death_signal=_signal.SIGALRM if outlives else _signal.SIGKILL,
            ring=ring,
        )
    except OSError as error:
        with contextlib.suppress(OSError), socket.socket(fileno=SOCKET_FD) as sock:
            sock.sendall(frames.encode(messages.Failed(what="kernel", text=str(error))))
        raise


def write_checkpoint(descriptors: Sequence[int], state: State, message: messages.Snapshot) -> NoReturn:
    """Writes the state as a `.ckpt` file to the first descriptor; exit status 0, or 70 with the reason on stderr.

    Where there is a second one, it is an open full checkpoint: a delta over it is written, if that pays.
    """
    status = FAILED_STATUS
    try:
        _detach()
        with contextlib.suppress(OSError):
            if message.idle:
                os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
            else:
                os.nice(5)
        header = checkpoint.Header(
            checkpoint_id=uuid.UUID(message.checkpoint_id),
            time_ns=message.time_ns,
            seq=state.seq,
            compressed_bytes=0,
            uncompressed_bytes=0,
            data_sha256=bytes(32),
            chain_digest=state.digest,
            revision=bytes.fromhex(message.revision or "00" * 20),
        )
        file = os.fdopen(descriptors[0], "wb")
        base = os.fdopen(descriptors[1], "rb") if len(descriptors) > 1 else None
        checkpoint.write(file, state.sections(), header, base)
        status = 0
    except BaseException:  # noqa: BLE001 - the process must not go back into the nursery's frames
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(status)


def _reset_signals() -> None:
    for number in _IGNORED:
        _signal.signal(number, _signal.SIG_IGN)
    for number in _HANDLED:
        _signal.signal(number, _signal.SIG_DFL)


def _detach() -> None:
    _reset_signals()
    os.setsid()
    os.umask(0o077)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123 - no pathlib here
        file.write(_OOM_SCORE)
