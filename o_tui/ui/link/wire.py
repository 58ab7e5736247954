"""One connection to the guardian: bytes in, messages out. Knows frames and chunks, nothing of what they mean."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import cast

from o_tui.protocol import chunks, frames, messages
from o_tui.protocol.errors import FrameError, RefusedError

WRITE_LIMIT_BYTES = 4 * 1024 * 1024
"""Unsent bytes after which the guardian counts as stuck."""
_PEER = struct.Struct("3i")


class Wire(asyncio.Protocol):
    """Decodes what arrives and hands it on, all messages of one read together."""

    def __init__(
        self, receive: Callable[[list[messages.Message]], None], lost: Callable[[Exception | None], None]
    ) -> None:
        self._receive = receive
        self._lost = lost
        self._reader = frames.FrameReader()
        self._joiner = chunks.Joiner()
        self._transport: asyncio.Transport | None = None
        self._error: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Bytes have come; a frame that breaks the rules ends the connection."""
        try:
            found = [
                whole.data
                for payload in self._reader.feed(data)
                if (whole := self._joiner.add(frames.decode(payload))) is not None
            ]
        except FrameError as error:
            self._error = error
            self.close()
            return
        if found:
            self._receive(found)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed, by either end."""
        self._transport = None
        self._lost(self._error or exc)

    def send(self, message: messages.Message) -> None:
        """Queues one message of any size.

        Raises:
            ConnectionError: The connection is closed, or the guardian reads nothing any more.
            FrameError: The message is too large.
        """
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("the connection to the guardian is closed")
        if self._transport.get_write_buffer_size() > WRITE_LIMIT_BYTES:
            raise ConnectionError("the guardian does not read")
        self._transport.write(chunks.encode(message))

    def close(self) -> None:
        """Drops the connection; `lost` follows."""
        if self._transport is not None:
            self._transport.abort()


async def connect(path: Path, wire: Wire) -> None:
    """Opens the socket and makes sure that its other end is of the same user.

    Raises:
        OSError: Nobody listens there.
        RefusedError: The process behind it belongs to somebody else.
    """
    loop = asyncio.get_running_loop()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, str(path))
        _pid, uid, _gid = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        if uid not in (os.geteuid(), 0):
            raise RefusedError(f"the socket {path} is served by uid {uid}, you are {os.geteuid()}")
        await loop.create_connection(lambda: wire, sock=sock)
    except BaseException:
        sock.close()
        raise
