"""The first steps of a child of the nursery. Whatever happens here, the process ends in `os._exit`."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
import traceback
import uuid
from typing import NoReturn

from o_tui import _native
from o_tui.agent import confinement, instance
from o_tui.agent.state import State
from o_tui.protocol import checkpoint, messages

SOCKET_FD = 3
FAILED_STATUS = 70
_HANDLED = (signal.SIGINT, signal.SIGUSR1)
"""What the nursery does not leave at its default."""
_OOM_SCORE = "500"  # an instance can be made anew, the guardian cannot


def serve(descriptor: int, state: State, message: messages.Fork, heartbeat_s: float) -> NoReturn:
    """Becomes an instance that speaks on the socket `descriptor`."""
    status = FAILED_STATUS
    try:
        _detach()
        _keep_only(descriptor)
        gc.enable()
        with socket.socket(fileno=SOCKET_FD) as sock:
            tier = confinement.confine("agent")
            status = instance.run(sock, state, message.role, heartbeat_s=heartbeat_s, tier=tier)
    except BaseException:  # noqa: BLE001 - the process must not go back into the nursery's frames
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(status)


def write_checkpoint(descriptor: int, state: State, message: messages.Snapshot) -> NoReturn:
    """Writes the state as a `.ckpt` file to `descriptor`; exit status 0, or 70 with the reason on stderr."""
    status = FAILED_STATUS
    try:
        _detach()
        with contextlib.suppress(OSError):
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
        with os.fdopen(descriptor, "wb") as file:
            checkpoint.write(file, state.sections(), header)
        status = 0
    except BaseException:  # noqa: BLE001 - the process must not go back into the nursery's frames
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(status)


def _detach() -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    for number in _HANDLED:
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    os.umask(0o077)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123 - no pathlib here
        file.write(_OOM_SCORE)


def _keep_only(descriptor: int) -> None:
    """The socket becomes descriptor 3; 0 to 2 lead nowhere, everything else is closed."""
    if descriptor != SOCKET_FD:
        os.dup2(descriptor, SOCKET_FD)
    os.set_inheritable(SOCKET_FD, False)
    nowhere = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    _native.close_range(SOCKET_FD + 1, 2**32 - 1)
