"""Payloads larger than a frame: cut into `chunk` frames, joined again, checked by their SHA-256."""

from __future__ import annotations

import hashlib
import itertools

from o_tui.protocol import frames, messages
from o_tui.protocol.errors import FrameError

CHUNK_BYTES = 128 * 1024
WHOLE_LIMIT_BYTES = 16 * 1024 * 1024
"""Largest payload that a `Joiner` puts together."""

_streams = itertools.count(1)


def encode(data: messages.Message, metadata: frames.Metadata | None = None) -> bytes:
    """Packs a message of any size up to `WHOLE_LIMIT_BYTES` into one frame, or into several `chunk` frames.

    Raises:
        FrameError: The payload passes `WHOLE_LIMIT_BYTES`.
    """
    metadata = metadata or frames.Metadata()
    whole = frames.encode_any(data, metadata)
    payload = memoryview(whole)[frames.HEADER_BYTES :]
    if len(payload) <= frames.FRAME_LIMIT_BYTES:
        return whole
    if len(payload) > WHOLE_LIMIT_BYTES:
        raise FrameError(f"{len(payload)} bytes pass the limit of {WHOLE_LIMIT_BYTES}")
    stream = next(_streams)
    digest = hashlib.sha256(payload).digest()
    parts: list[bytes] = []
    for index, start in enumerate(range(0, len(payload), CHUNK_BYTES)):
        last = start + CHUNK_BYTES >= len(payload)
        part = messages.Chunk(
            stream=stream,
            index=index,
            data=bytes(payload[start : start + CHUNK_BYTES]),
            last=last,
            sha256=digest if last else b"",
        )
        parts.append(frames.encode(part, metadata))
    return b"".join(parts)


class Joiner:
    """Puts `chunk` frames of one peer together again. One stream at a time, at most `limit_bytes`."""

    def __init__(self, limit_bytes: int = WHOLE_LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._stream = 0
        self._index = 0
        self._buffer = bytearray()

    def add(self, frame: frames.Frame) -> frames.Frame | None:
        """Takes any frame; returns it, or the whole one when its last chunk has come, or None in between.

        Raises:
            FrameError: Chunks out of order, too large, or not of the digest that the last one names.
        """
        chunk = frame.data
        if not isinstance(chunk, messages.Chunk):
            return frame
        if chunk.index == 0:
            self._stream, self._index = chunk.stream, 0
            self._buffer.clear()
        if chunk.stream != self._stream or chunk.index != self._index:
            raise FrameError("a chunk out of order")
        if len(self._buffer) + len(chunk.data) > self._limit_bytes:
            raise FrameError(f"chunks pass the limit of {self._limit_bytes} bytes")
        self._buffer += chunk.data
        self._index += 1
        if not chunk.last:
            return None
        payload = bytes(self._buffer)
        self._buffer.clear()
        if hashlib.sha256(payload).digest() != chunk.sha256:
            raise FrameError("chunks that do not have their digest")
        whole = frames.decode(payload)
        if isinstance(whole.data, messages.Chunk):
            raise FrameError("a chunk within chunks")
        return whole
