"""Frames: `length: u32 big-endian` + a MessagePack map `{type, timestamp, data, metadata}` (seeds, ADR-002).

A frame is checked before anything decodes it: its size by its header, its structure by one pass of the extension
(depth, number of values, extension types, UTF-8, NaN, keys, lengths). Nothing of the announced size is ever allocated.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from o_tui import _native
from o_tui.protocol import messages
from o_tui.protocol.errors import FrameError
from o_tui.protocol.safe_text import Untrusted

FRAME_LIMIT_BYTES = 256 * 1024
"""Largest payload of one frame."""
DEPTH_LIMIT = 32
"""Deepest nesting of a payload."""
VALUES_LIMIT = 256 * 1024
"""Most values in a payload, keys included: what bounds the memory of a payload that came in chunks."""
HEADER_BYTES = 4


class Metadata(msgspec.Struct, omit_defaults=True, frozen=True):
    """What travels beside the data: whose it is."""

    request_id: str = ""
    instance: str = ""
    epoch: int = 0


class Frame(msgspec.Struct, frozen=True):
    """One decoded frame; `data` is the struct that docs/PROTOCOL.md lists for `type`."""

    type: str
    timestamp: int
    data: Any
    metadata: Metadata


class _Incoming(msgspec.Struct):
    type: str
    timestamp: int
    data: msgspec.Raw
    metadata: Metadata


_NO_METADATA = Metadata()


def _as_str(text: object) -> str:
    if isinstance(text, Untrusted):
        return text.raw
    raise TypeError(f"{type(text).__name__} has no place in a frame")


def _as_untrusted(_kind: type, text: object) -> Untrusted:
    if isinstance(text, str):
        return Untrusted(text)
    raise ValueError(f"Expected `str`, got `{type(text).__name__}`")


_encoder = msgspec.msgpack.Encoder(enc_hook=_as_str)
_envelope = msgspec.msgpack.Decoder(_Incoming)
_decoders = {name: msgspec.msgpack.Decoder(struct, dec_hook=_as_untrusted) for name, struct in messages.TYPES.items()}


def encode_any(data: messages.Message, metadata: Metadata) -> bytes:
    """Packs one message of any size, header included: the raw material of `encode` and `chunks.encode`.

    Raises:
        FrameError: A text with lone surrogates, or an integer beyond 64 bits.
    """
    frame = Frame(messages.NAMES[type(data)], time.time_ns(), data, metadata)
    buffer = bytearray(HEADER_BYTES)
    try:
        _encoder.encode_into(frame, buffer, HEADER_BYTES)
    except (UnicodeEncodeError, OverflowError) as error:
        raise FrameError(f"a message that cannot be packed: {error}") from error
    buffer[:HEADER_BYTES] = (len(buffer) - HEADER_BYTES).to_bytes(HEADER_BYTES, "big")
    return bytes(buffer)


def encode(data: messages.Message, metadata: Metadata = _NO_METADATA) -> bytes:
    """Packs one message into a frame, header included.

    Raises:
        FrameError: The payload passes `FRAME_LIMIT_BYTES` (send it with `chunks.encode`), or cannot be packed.
    """
    frame = encode_any(data, metadata)
    if len(frame) - HEADER_BYTES > FRAME_LIMIT_BYTES:
        raise FrameError(f"a frame of {len(frame)} bytes passes the limit of {FRAME_LIMIT_BYTES}")
    return frame


def decode(payload: bytes) -> Frame:
    """Unpacks one payload (without its header).

    Raises:
        FrameError: The payload breaks a limit, is not MessagePack, or is of an unknown type.
    """
    try:
        _native.check_frame(payload, DEPTH_LIMIT, VALUES_LIMIT)
        envelope = _envelope.decode(payload)
        decoder = _decoders.get(envelope.type)
        if decoder is None:
            raise FrameError(f"a frame of unknown type {envelope.type[:40]!r}")
        return Frame(envelope.type, envelope.timestamp, decoder.decode(envelope.data), envelope.metadata)
    except (ValueError, msgspec.DecodeError) as error:
        raise FrameError(f"a bad frame: {error}") from error


class FrameReader:
    """Cuts a byte stream into payloads.

    `feed` keeps at most one frame and one read beyond it.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> list[bytes]:
        """Adds received bytes; returns the payloads that are now whole.

        Raises:
            FrameError: A header announces more than the limit.
        """
        buffer = self._buffer
        buffer += data
        payloads: list[bytes] = []
        position = 0
        available = len(buffer)
        while available - position >= HEADER_BYTES:
            size = int.from_bytes(buffer[position : position + HEADER_BYTES], "big")
            if size > FRAME_LIMIT_BYTES:
                buffer.clear()
                raise FrameError(f"a frame announces {size} bytes, the limit is {FRAME_LIMIT_BYTES}")
            end = position + HEADER_BYTES + size
            if end > available:
                break
            payloads.append(bytes(buffer[position + HEADER_BYTES : end]))
            position = end
        if position:
            del buffer[:position]
        return payloads
