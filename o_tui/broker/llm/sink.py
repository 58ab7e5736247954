"""The text of an answer on its way out: in parts that fit a frame, whole characters, without keys, not endless."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from o_tui.broker.calls import CallError
from o_tui.broker.redact import RedactedStream

DELTA_BYTES = 64 * 1024
ANSWER_CHARS = 2 * 1024 * 1024
_DELTA_CHARS = DELTA_BYTES // 4  # UTF-8 takes four bytes for a character at most


class Sink:
    """Takes a model's text as it comes and sends it on."""

    def __init__(self, send: Callable[[str], Awaitable[None]], filter_: RedactedStream) -> None:
        self._send = send
        self._filter = filter_
        self._parts: list[str] = []
        self._size = 0
        self._half = ""

    @property
    def text(self) -> str:
        """All that has been sent."""
        return "".join(self._parts)

    async def feed(self, text: str) -> None:
        """Takes a part; raises CallError if the answer grows beyond all measure."""
        self._size += len(text)
        if self._size > ANSWER_CHARS:
            raise CallError(f"the answer is longer than {ANSWER_CHARS:,} characters; it was stopped", "cut")
        text = self._half + text
        self._half = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._half, text = text[-1], text[:-1]  # JSON may cut a character in two: the other half comes next
        await self._pass_on(self._filter.feed(_whole(text)))

    async def finish(self) -> None:
        """Sends what was held back."""
        held, self._half = self._half, ""
        await self._pass_on(self._filter.feed(_whole(held)) + self._filter.finish())

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
