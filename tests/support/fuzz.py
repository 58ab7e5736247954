"""Frames that nobody should send: real ones that were damaged, noise, and bombs. The same seed, the same frames."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from o_tui.protocol import frames
from o_tui.protocol.document import DIRECTIONS
from o_tui.protocol.errors import FrameError

GOLDEN = Path(__file__).parents[1] / "data" / "frames.txt"
LAST = b"\xff\xff\xff\xff"
"""A header of 4 GiB: nobody survives having sent that."""
_LONGEST = 4096


def framed(payload: bytes) -> bytes:
    """With its header."""
    return len(payload).to_bytes(4, "big") + payload


def goods() -> list[bytes]:
    """A payload of every type of message."""
    return [bytes.fromhex(line.split(" ")[2]) for line in GOLDEN.read_text().splitlines()]


def envelope(kind: str, data: Any) -> bytes:
    """A whole frame of raw parts."""
    return framed(msgspec.msgpack.encode({"type": kind, "timestamp": 1, "data": data, "metadata": {}}))


def bombs() -> list[bytes]:
    """What takes memory, depth or time where nobody counts."""
    raw = msgspec.Raw
    empty_maps = b"\xdd" + (200_000).to_bytes(4, "big") + b"\x80" * 200_000
    values = [
        raw(b"\x91" * 100_000 + b"\xc0"),
        raw(b"\x81\xa1k" * 50_000 + b"\xc0"),
        raw(b"\xdd\xff\xff\xff\xff"),
        raw(b"\xdf\xff\xff\xff\xff"),
        raw(b"\xdb\xff\xff\xff\xff"),
        raw(b"\xc6\xff\xff\xff\xff"),
        raw(b"\xc9\xff\xff\xff\xff\x01"),
        raw(empty_maps),
        raw(b"\x82\xa1a\x01\xa1a\x02"),
        raw(b"\xa4\xed\xa0\x80x"),
        raw(b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"),
        msgspec.msgpack.Ext(-1, bytes(12)),
    ]
    whole = [framed(b""), framed(bytes(300 * 1024)), (1 << 31).to_bytes(4, "big") + bytes(64), LAST]
    return whole + [
        envelope(kind, {"id": 1, "method": "status", "x": value}) for kind in ("call", "done") for value in values
    ]


def damaged(dice: random.Random, known: list[bytes]) -> bytes:
    """A real payload with bytes changed, taken out, doubled, or joined with another's."""
    payload = bytearray(dice.choice(known))
    for _ in range(dice.randint(1, 4)):
        at, what = dice.randrange(len(payload)), dice.randrange(4)
        if what == 0:
            payload[at] = dice.randrange(256)
        elif what == 1:
            payload[at] ^= 1 << dice.randrange(8)
        elif what == 2:
            del payload[at : at + dice.randint(1, 3)]
            payload = payload or bytearray(b"\xc0")
        else:
            payload[at:at] = dice.choice(known)[: dice.randint(1, 40)]
    return bytes(payload)


def _wrong(dice: random.Random, known: list[bytes]) -> bytes:
    """A message whose fields have other types than they should, and one that nobody knows."""
    message = msgspec.msgpack.decode(dice.choice(known))
    odd: list[Any] = [None, -1, 1 << 63, "\x1b[2J", b"\xff", [], {}, 1.5, True, [[]] * 5]
    data = {name: dice.choice([value, dice.choice(odd)]) for name, value in message["data"].items()}
    return envelope(message["type"], data | {"unknown": dice.choice(odd)})


def fuzzed(seed: int, count: int) -> Iterator[bytes]:
    """`count` frames, headers included."""
    dice, known, bad = random.Random(seed), goods(), bombs()
    for number in range(count):
        kind = dice.randrange(100)
        if number < len(bad) or kind < 2:
            yield bad[number % len(bad)]
        elif kind < 60:
            yield framed(damaged(dice, known))
        elif kind < 85:
            yield _wrong(dice, known)
        else:
            yield framed(dice.randbytes(dice.randint(0, _LONGEST)))


def harmless(frame: bytes, sender: str) -> bool:
    """Whether a peer lives on after it has sent this: it can be decoded, and is for `sender` to send."""
    allowed = {
        name for way in DIRECTIONS if way.sender == sender and "stream" in way.carrier + "stream" for name in way.types
    }
    try:
        (payload,) = frames.FrameReader().feed(frame)
        return frames.decode(payload).type in allowed - {"chunk", "hello"}
    except (FrameError, ValueError):
        return False


def connections(source: Iterator[bytes], sender: str) -> Iterator[list[bytes]]:
    """The frames by connection: each ends with one that costs the sender its connection, if the last has not."""
    batch: list[bytes] = []
    for frame in source:
        batch.append(frame)
        if not harmless(frame, sender):
            yield batch
            batch = []
    if batch:
        yield [*batch, LAST]
