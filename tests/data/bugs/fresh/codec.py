"""Numbers and bytes on the wire: frames, small integers, sums, a ring of what was last said."""

from __future__ import annotations


def frame(payload: bytes) -> bytes:
    """Two bytes of length, high one first, then the payload. Raises ValueError: it is too long."""
    if len(payload) > 0xFFFF:
        raise ValueError("too long")
    return bytes([len(payload) >> 8, len(payload) & 0xFF]) + payload


def varint(number: int) -> bytes:
    """Seven bits a byte, low ones first. Raises ValueError: it is negative."""
    if number < 0:
        raise ValueError("negative")
    out = bytearray()
    while number >= 0x80:
        out.append((number & 0x7F) | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def zigzag(number: int) -> int:
    """0, -1, 1, -2, 2 … as 0, 1, 2, 3, 4 …"""
    return number * 2 if number >= 0 else -number * 2 - 1


def digest(text: str) -> int:
    """FNV-1a, 32 bits."""
    value = 0x811C9DC5
    for byte in text.encode("utf-8"):
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def packed(values: list[int]) -> list[tuple[int, int]]:
    """Runs of equal values: (value, how many), at most 255 in one."""
    out: list[tuple[int, int]] = []
    for value in values:
        if out and out[-1][0] == value and out[-1][1] < 255:
            out[-1] = (value, out[-1][1] + 1)
        else:
            out.append((value, 1))
    return out


class Ring:
    """The last `size` texts."""

    def __init__(self, size: int = 4) -> None:
        if size < 1:
            raise ValueError("size must be positive")
        self._slots: list[str] = [""] * size
        self._next = 0
        self._count = 0

    def push(self, text: str) -> str | None:
        """What fell out; None: nothing did."""
        old = self._slots[self._next] if self._count == len(self._slots) else None
        self._slots[self._next] = text
        self._next = (self._next + 1) % len(self._slots)
        self._count = min(self._count + 1, len(self._slots))
        return old

    def last(self, count: int = 1) -> list[str]:
        """The newest, newest first; fewer where there are fewer."""
        wanted = max(0, min(count, self._count))
        return [self._slots[(self._next - 1 - back) % len(self._slots)] for back in range(wanted)]

    def clear(self) -> None:
        self._count = 0
        self._next = 0
