"""The text of an answer on its way out: in parts that fit a frame, whole characters, without keys, not endless."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from o_tui.broker.calls import CallError
from o_tui.broker.redact import RedactedStream

DELTA_BYTES = 64 * 1024
ANSWER_BYTES = 2 * 1024 * 1024
"""An answer at most, where the caller has no smaller limit."""
_DELTA_CHARS = DELTA_BYTES // 4  # UTF-8 takes four bytes for a character at most


class OverlongError(CallError):
    """The answer has reached its limit: all that fits has been taken, the rest of it is not waited for."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the answer is longer than {limit_bytes:,} bytes; it was stopped", "cut")


class Sink:
    """Takes a model's text as it comes and sends it on, `limit_bytes` of it at most."""

    def __init__(
        self, send: Callable[[str], Awaitable[None]], filter_: RedactedStream, limit_bytes: int = ANSWER_BYTES
    ) -> None:
        self._send = send
        self._filter = filter_
        self._limit_bytes = limit_bytes
        self._parts: list[str] = []
        self._size = 0
        self._half = ""

    @property
    def text(self) -> str:
        """All that has been sent."""
        return "".join(self._parts)

    async def feed(self, text: str) -> None:
        """Takes a part; raises OverlongError when no more of the answer fits."""
        text = self._half + text
        self._half = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._half, text = text[-1], text[:-1]  # JSON may cut a character in two: the other half comes next
        raw = _whole(text).encode()
        room = self._limit_bytes - self._size
        self._size += len(raw)
        await self._pass_on(self._filter.feed(raw[:room].decode(errors="ignore")))
        if len(raw) > room:
            self._half = ""
            raise OverlongError(self._limit_bytes)

    async def finish(self, last: str = "") -> None:
        """Sends what was held back, and `last` words of ours behind it."""
        held, self._half = self._half, ""
        await self._pass_on(self._filter.feed(_whole(held)) + self._filter.finish() + last)

    async def _pass_on(self, text: str) -> None:
        for start in range(0, len(text), _DELTA_CHARS):
            part = text[start : start + _DELTA_CHARS]
            self._parts.append(part)
            await self._send(part)


def _whole(text: str) -> str:
    """Joins halves of characters; a half that is alone becomes U+FFFD (a frame takes UTF-8 only)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
