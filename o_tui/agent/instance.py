"""An instance's process from the fork to its end: kernel and bridge joined, output of genes turned into log frames."""

from __future__ import annotations

import io
import resource
import socket
import sys

from o_tui import _native
from o_tui.agent.bridge import Bridge, watch_for_end
from o_tui.agent.gene_errors import describe
from o_tui.agent.kernel import FAILED_STATUS, Kernel
from o_tui.agent.state import State
from o_tui.protocol import messages

LOG_LINES = 100
"""Lines of output that are passed on between two heartbeats."""
LOG_LINE_CHARS = 1_000


class LogStream(io.TextIOBase):
    """Stands for stdout and stderr: whole lines become `log` frames, within limits."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._line = ""
        self._lines = 0
        self._dropped = 0

    def writable(self) -> bool:
        """It is written to."""
        return True

    def write(self, text: str) -> int:
        """Takes text; an unfinished line waits for its end."""
        *lines, rest = (self._line + text).split("\n")
        self._line = rest[:LOG_LINE_CHARS]
        for line in lines:
            if self._lines < LOG_LINES:
                self._lines += 1
                self._kernel.log("info", _native.safe_text(line, LOG_LINE_CHARS, keep_newlines=False))
            else:
                self._dropped += 1
        return len(text)

    def beat(self) -> None:
        """Another heartbeat: as many lines again."""
        self._lines = 0
        if self._dropped:
            self._kernel.log("warning", f"{self._dropped} more lines of output were dropped")
            self._dropped = 0


def run(
    sock: socket.socket,
    state: State,
    role: messages.Role,
    *,
    heartbeat_s: float = 1.0,
    tier: str = "",
    counters: _native.SharedCounters | None = None,
    rehearsed: bool = False,
) -> int:
    """Serves the guardian on `sock` until its end; returns the exit status of the process.

    `counters` are those that the guardian reads; without any it counts for itself. `rehearsed`: the process is not its
    own, and keeps its output and its signals.

    0: the guardian ended or asked for the end. 70 (after a `failed` frame): an entry could not be applied, a genome
    not be loaded, or the kernel itself failed.
    """
    shared = counters or _native.SharedCounters()
    bridge = Bridge(sock, heartbeat_s, lambda busy: shared.beat(state.seq, busy))
    kernel = Kernel(state, role, bridge.send, bridge.stop, tier, shared.record)
    output = LogStream(kernel)

    def beat() -> None:
        shared.beat(state.seq, True, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        output.beat()
        kernel.beat()

    if not rehearsed:
        sys.stdout = sys.stderr = output
        watch_for_end(sock)
    kernel.ready()
    try:
        return bridge.run(kernel.handle, beat, kernel.flush)
    except Exception as error:  # noqa: BLE001 - the kernel's last line: it says why before it ends
        try:
            bridge.send(messages.Failed(what="kernel", text=describe(error), seq=state.seq))
            bridge.flush()
        except OSError:
            pass
        return FAILED_STATUS
