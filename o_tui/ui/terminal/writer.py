"""Writes to the terminal without waiting for it: when it stops reading, frames are dropped and one is made anew."""

from __future__ import annotations

import errno
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic

BUSY_BYTES = 64 * 1024
"""Unwritten bytes above which no new frame is begun."""
LIMIT_BYTES = 512 * 1024
"""Unwritten bytes above which waiting frames are dropped."""
STALL_S = 0.5
"""Time without one byte going out after which waiting frames are dropped."""
STOP_S = 0.5
"""Time that the last bytes (the terminal's modes) get at the end."""
_PIECE_BYTES = 4096


def open_again(fd: int) -> tuple[int, bool]:
    """A descriptor of its own for a terminal, non-blocking; `(fd, True)`, or `(a duplicate, False)` where that fails.

    A second open file description is needed because O_NONBLOCK on the first one would be shared with the shell.
    """
    for name in (f"/proc/self/fd/{fd}", _tty_name(fd)):
        if name:
            try:
                return os.open(name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), True
            except OSError:
                continue
    return os.dup(fd), False


def _tty_name(fd: int) -> str:
    try:
        return os.ttyname(fd)
    except OSError:
        return ""


class TerminalWriter(threading.Thread):
    """A thread with a queue of frames.

    Args:
        fd: Where to write; closed at the end.
        drained: Called in the thread when a terminal that was too slow can take a whole new frame.
        gone: Called in the thread, once, when the terminal does not exist any more.
    """

    def __init__(self, fd: int, *, drained: Callable[[], None], gone: Callable[[], None]) -> None:
        super().__init__(daemon=True, name="o-terminal-writer")
        self._fd = fd
        self._drained = drained
        self._gone = gone
        self._queue: deque[tuple[bytes, bool]] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._backlog = 0
        self._dropped = False
        self._stopping = False
        self._dead = False

    @property
    def busy(self) -> bool:
        """A frame that were begun now would have to wait: it is better not made."""
        return self._dead or self._dropped or self._backlog > BUSY_BYTES

    def skipped(self) -> None:
        """A frame was not made because of `busy`: `drained` is called when one can be."""
        with self._lock:
            self._dropped = True
        self._wake.set()

    def write(self, text: str, *, keep: bool = False) -> None:
        """Queues text; what is to be kept is never dropped (modes of the terminal)."""
        if self._dead:
            return
        data = text.encode("utf-8", "replace")
        with self._lock:
            if self._dropped and not keep:
                return
            self._queue.append((data, keep))
            self._backlog += len(data)
            if self._backlog > LIMIT_BYTES:
                self._drop()
        self._wake.set()

    def flush(self) -> None:
        """Nothing to do: the thread writes at once."""

    def stop(self) -> None:
        """Writes what is left, for at most `STOP_S`; a terminal that does not read is left alone."""
        self._stopping = True
        self._wake.set()
        self.join(STOP_S + 0.2)

    def _drop(self) -> None:
        kept = [item for item in self._queue if item[1]]
        self._backlog -= sum(len(data) for data, keep in self._queue if not keep)
        self._queue = deque(kept)
        self._dropped = True

    def run(self) -> None:
        """Writes until stopped, or until the terminal is gone."""
        try:
            while self._next():
                continue
        except OSError as error:
            self._dead = True
            if error.errno not in (errno.EBADF,):
                self._gone()
        finally:
            os.close(self._fd)

    def _next(self) -> bool:
        with self._lock:
            item = self._queue.popleft() if self._queue else None
            drained = item is None and self._dropped
            if drained:
                self._dropped = False
        if item is not None:
            self._write_out(item[0])
            return not (self._stopping and self._expired)
        if drained and not self._stopping:
            self._drained()
        if self._stopping:
            return False
        self._wake.wait()
        self._wake.clear()
        return True

    _expired = False

    def _write_out(self, data: bytes) -> None:
        """All of one piece: a sequence that is cut in the middle would garble the screen."""
        view = memoryview(data)
        moved = monotonic()
        while view:
            try:
                written = os.write(self._fd, view[:_PIECE_BYTES])
            except BlockingIOError:
                written = 0
            if written:
                view = view[written:]
                with self._lock:
                    self._backlog -= written
                moved = monotonic()
                continue
            select.select([], [self._fd], [], 0.1)
            still_s = monotonic() - moved
            if still_s > STALL_S and not self._dropped:
                with self._lock:
                    self._drop()
            if self._stopping and still_s > STOP_S:
                self._expired = True
                return
