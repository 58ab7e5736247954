"""Frames over a stream socket, on asyncio: read in place, decoded, joined; written in one batch a loop turn.

What cannot be decoded closes the channel with its typed error. A peer that does not read is closed too, when what
waits for it passes a limit: nothing here ever waits for a peer.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from o_tui.protocol import chunks, frames, messages
from o_tui.protocol.errors import FrameError, OError, PeerError

READ_BYTES = 128 * 1024
WAITING_LIMIT_BYTES = 32 * 1024 * 1024
"""What may wait for a peer: more than the largest message (chunks.WHOLE_LIMIT_BYTES)."""
_NO_METADATA = frames.Metadata()


class Channel(asyncio.BufferedProtocol):
    """One peer.

    `on_frame` gets every whole frame. `on_closed` is called once, with None when the peer ended it (or we did), or
    with the error that ended it. `on_drained` is called when the socket has taken everything that it could not take
    at once.
    """

    def __init__(
        self,
        on_frame: Callable[[frames.Frame], None],
        on_closed: Callable[[OError | None], None],
        *,
        on_drained: Callable[[], None] | None = None,
        limit_bytes: int = WAITING_LIMIT_BYTES,
    ) -> None:
        self._on_frame = on_frame
        self._on_closed = on_closed
        self._on_drained = on_drained
        self._limit_bytes = limit_bytes
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = frames.FrameReader()
        self._joiner = chunks.Joiner()
        self._view = memoryview(bytearray(READ_BYTES))
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._error: OError | None = None
        self._closed = False
        self._ended: asyncio.Future[None] = self._loop.create_future()

    @classmethod
    async def connect(
        cls,
        peer: socket.socket,
        on_frame: Callable[[frames.Frame], None],
        on_closed: Callable[[OError | None], None],
        *,
        on_drained: Callable[[], None] | None = None,
        limit_bytes: int = WAITING_LIMIT_BYTES,
    ) -> Channel:
        """A channel over a connected stream socket, which it owns from here on."""
        channel = cls(on_frame, on_closed, on_drained=on_drained, limit_bytes=limit_bytes)
        await channel._loop.create_unix_connection(lambda: channel, sock=peer)
        return channel

    # --- sending

    @property
    def closed(self) -> bool:
        """Nothing can be sent any more."""
        return self._closed

    @property
    def waiting_bytes(self) -> int:
        """What the peer has not taken yet."""
        buffered = self._transport.get_write_buffer_size() if self._transport is not None else 0
        return buffered + self._out_bytes

    def send(self, message: messages.Message, metadata: frames.Metadata = _NO_METADATA) -> None:
        """Sends a message of any size up to chunks.WHOLE_LIMIT_BYTES; does nothing on a closed channel.

        Raises:
            FrameError: It passes that size.
        """
        self.send_bytes(chunks.encode(message, metadata))

    def send_bytes(self, packed: bytes) -> None:
        """Sends whole frames that are packed already (one packing for many peers)."""
        if self._closed:
            return
        if not self._out:
            self._loop.call_soon(self.flush)
        self._out.append(packed)
        self._out_bytes += len(packed)

    def flush(self) -> None:
        """Hands what was sent in this turn to the socket; happens by itself at the turn's end."""
        if not self._out or self._transport is None or self._closed:
            return
        packed = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out.clear()
        self._out_bytes = 0
        self._transport.write(packed)
        if self._transport.get_write_buffer_size() > self._limit_bytes:
            self.close(PeerError(f"a peer does not read: {self._limit_bytes} bytes wait for it"))

    def pause_reading(self) -> None:
        """Takes nothing more from the peer until `resume_reading`."""
        if self._transport is not None and not self._closed:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Goes on reading."""
        if self._transport is not None and not self._closed:
            self._transport.resume_reading()

    def close(self, error: OError | None = None, *, drop: bool = False) -> None:
        """Ends it. What was sent is still delivered, but not with an error, and not with `drop`."""
        if self._transport is not None and drop:
            self._transport.abort()
        if self._closed:
            return
        if error is None and not drop:
            self.flush()
        self._closed = True
        self._error = error
        if self._transport is None:
            return
        if error is None:
            self._transport.close()
        else:
            self._transport.abort()

    async def wait_closed(self) -> None:
        """Returns when `on_closed` has been called."""
        await asyncio.shield(self._ended)

    # --- asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Is called by the loop."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=0)
        if self._closed:
            transport.abort()
        elif self._out:
            self._loop.call_soon(self.flush)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Is called by the loop."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Is called by the loop."""
        try:
            for payload in self._reader.feed(self._view[:nbytes]):
                frame = self._joiner.add(frames.decode(payload))
                if frame is not None:
                    self._on_frame(frame)
                if self._closed:
                    return
        except FrameError as error:
            # another one, because the traceback of this one holds on to what was read
            self.close(FrameError(str(error)))
        except Exception as error:  # noqa: BLE001 - a defect in whoever listens ends this peer, not the guardian
            text = "a frame could not be dealt with"
            self._loop.call_exception_handler({"message": text, "exception": error, "protocol": self})
            self.close(OError(f"{text}: {type(error).__name__}: {error}"))

    def eof_received(self) -> bool:
        """Is called by the loop."""
        return False

    def resume_writing(self) -> None:
        """Is called by the loop."""
        if self._on_drained is not None and not self._closed:
            self._on_drained()

    def connection_lost(self, error: Exception | None) -> None:
        """Is called by the loop."""
        self._closed = True
        self._out.clear()
        self._out_bytes = 0
        # whoever remembers a dead peer for a while does not keep what it sent, or room for more
        self._reader, self._joiner, self._view = frames.FrameReader(), chunks.Joiner(), memoryview(bytearray())
        if not self._ended.done():
            self._ended.set_result(None)
            # a reset is how a killed peer's end may look: not an error of ours
            failed = error is not None and not isinstance(error, ConnectionError)
            if failed and self._error is None:
                self._error = PeerError(f"a peer's socket failed: {error}")
            self._on_closed(self._error)
