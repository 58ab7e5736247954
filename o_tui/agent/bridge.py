"""The instance's socket: frames in, frames out, two heartbeats, and the end when the guardian ends.

The slow heartbeat is a frame. The quick one (`PULSE_S`) is a word in shared memory, that says too whether this process
waits, so that it beats, or works, so that it may be silent.

One read may bring many frames; what they cause is collected and leaves in one send. There is no event loop library
here: an instance has one socket and one clock.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import mmap
import os
import select
import socket
import time
from collections.abc import Callable
from types import FrameType

from o_tui.protocol import chunks, frames, messages
from o_tui.protocol.frames import Frame, Metadata

READ_BYTES = 256 * 1024
SEND_AT_BYTES = 256 * 1024
"""Collected output beyond this is sent at once: the socket's own back-pressure is the bound."""
KEPT_BYTES = 16 * 1024
"""What a larger read (a genome) was put into is given back: it would stay this process' own."""
PULSE_S = 0.05
_GONE = select.POLLHUP | select.POLLERR | select.POLLRDHUP
_PLAIN = Metadata()


class Bridge:
    """Frames over one stream socket, until it ends or `stop` is called."""

    def __init__(
        self, sock: socket.socket, heartbeat_s: float = 1.0, pulse: Callable[[bool], None] = lambda _busy: None
    ) -> None:
        """`pulse` is called with False at least every `PULSE_S` while nothing is to do, with True before it works."""
        sock.setblocking(True)
        self._pulse = pulse
        self._sock = sock
        self._heartbeat_s = heartbeat_s
        self._reader = frames.FrameReader()
        self._joiner = chunks.Joiner()
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._status: int | None = None

    def send(self, message: messages.Message, metadata: Metadata = _PLAIN) -> None:
        """Adds a message of any size to what leaves next.

        Raises:
            FrameError: It passes even the limit of chunked payloads.
            UnicodeEncodeError: A text in it is not Unicode (a lone surrogate).
        """
        frame = frames.encode_any(message, metadata)
        if len(frame) > frames.FRAME_LIMIT_BYTES:
            frame = chunks.encode(message, metadata)
        self._out.append(frame)
        self._out_bytes += len(frame)
        if self._out_bytes > SEND_AT_BYTES:
            self.flush()

    def flush(self) -> None:
        """Sends what was collected; blocks while the guardian does not read."""
        if self._out:
            data = b"".join(self._out)
            self._out.clear()
            self._out_bytes = 0
            self._sock.sendall(data)

    def stop(self, status: int) -> None:
        """Makes `run` return `status` once what was collected has been sent."""
        if self._status is None:
            self._status = status

    def run(self, handle: Callable[[Frame], None], beat: Callable[[], None], settle: Callable[[], None]) -> int:
        """Handles frames until the guardian's end (0) or `stop`; returns the exit status.

        Args:
            handle: Is given each frame.
            beat: Is called every heartbeat.
            settle: Is called after the frames of one read, before what they caused is sent; may add to it.

        Raises:
            FrameError: The guardian broke the protocol.
        """
        # only what is read into it takes pages; private, because those of a shared one cannot be given back
        buffer = mmap.mmap(-1, READ_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        view = memoryview(buffer)
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        beat_at = 0.0
        pulse = self._pulse
        try:
            while self._status is None:
                now = time.monotonic()
                if now >= beat_at:
                    pulse(True)
                    beat_at = now + self._heartbeat_s
                    beat()
                else:
                    pulse(False)
                    if not poll.poll(min(beat_at - now, PULSE_S) * 1000):
                        continue
                    pulse(True)
                    size = self._sock.recv_into(buffer)
                    if not size:
                        return 0
                    self._handle(view[:size], handle)
                    if size > KEPT_BYTES:
                        buffer.madvise(mmap.MADV_DONTNEED)
                settle()
                self.flush()
        except (BrokenPipeError, ConnectionResetError):
            return 0
        return self._status

    def _handle(self, data: memoryview, handle: Callable[[Frame], None]) -> None:
        decode = frames.decode
        for payload in self._reader.feed(data):
            frame = decode(payload)
            if frame.type == "chunk":
                whole = self._joiner.add(frame)
                if whole is None:
                    continue
                frame = whole
            handle(frame)
            if self._status is not None:
                return


def watch_for_end(sock: socket.socket) -> None:
    """Ends this process within a second after the guardian's end, even while a gene loops and nobody reads.

    A timer's signal looks at the socket: a hang-up is seen although unread frames stand before it. Python code is
    interrupted anywhere; an endless loop inside one C function is not (there the nursery's SIGKILL comes in).
    """
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)

    def look(_number: int, _frame: FrameType | None) -> None:
        for _descriptor, events in poll.poll(0):
            if events & _GONE:
                os._exit(0)

    _signal.signal(_signal.SIGALRM, look)
    _signal.setitimer(_signal.ITIMER_REAL, 1.0, 1.0)
