"""The broker's end of the socketpair: frames in, frames out, and patience when the guardian reads slowly."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from o_tui.protocol import chunks, frames, messages
from o_tui.protocol.errors import FrameError

_HIGH_BYTES = 512 * 1024
_LOW_BYTES = 128 * 1024


class Link(asyncio.Protocol):
    """Frames over one stream socket.

    Attributes:
        closed: Set to None when the guardian hangs up, to a FrameError when it breaks the rules.
    """

    def __init__(self, on_frame: Callable[[frames.Frame], None]) -> None:
        self.closed: asyncio.Future[FrameError | None] = asyncio.get_running_loop().create_future()
        self._on_frame = on_frame
        self._reader = frames.FrameReader()
        self._joiner = chunks.Joiner()
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()

    @classmethod
    async def open(cls, descriptor: int, on_frame: Callable[[frames.Frame], None]) -> Link:
        """Takes over the socket with this descriptor."""
        connection = socket.socket(fileno=descriptor)
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        _, link = await loop.create_unix_connection(lambda: cls(on_frame), sock=connection)
        return link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's: the socket is ready."""
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(_HIGH_BYTES, _LOW_BYTES)
        self._transport = transport
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """asyncio's: bytes have come."""
        try:
            for payload in self._reader.feed(data):
                frame = self._joiner.add(frames.decode(payload))
                if frame is not None:
                    self._on_frame(frame)
        except FrameError as error:
            self._close(error)

    def eof_received(self) -> bool:
        """asyncio's: the guardian has gone."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's: the socket is closed."""
        self._writable.set()  # whoever waits to write finds out that nobody reads
        self._close(None)

    def pause_writing(self) -> None:
        """asyncio's: more than enough waits to be read."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """asyncio's: the guardian has caught up."""
        self._writable.set()

    @property
    def slow(self) -> bool:
        """The guardian has much to read still."""
        return not self._writable.is_set()

    async def send(self, message: messages.Message, metadata: frames.Metadata | None = None) -> None:
        """Sends a message of any size; waits while the guardian is slow to read."""
        await self._writable.wait()
        self.send_now(message, metadata)

    def send_now(self, message: messages.Message, metadata: frames.Metadata | None = None) -> None:
        """Sends a small message without waiting for anybody."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(chunks.encode(message, metadata))

    async def flush(self, timeout_s: float) -> None:
        """Closes the link when all is written, or after `timeout_s`."""
        if self._transport is None:
            return
        self._transport.close()
        await asyncio.wait([self.closed], timeout=timeout_s)

    def _close(self, error: FrameError | None) -> None:
        if not self.closed.done():
            self.closed.set_result(error)
        if self._transport is not None:
            self._transport.close()
