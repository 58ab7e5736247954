"""The HTTP client under the provider's library: with limits that no library sets, and with a record of what came.

Imported only with a provider, as it needs `httpx2` of the optional extra `llm`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass
from urllib import request
from urllib.parse import urlsplit

import httpx2

from o_tui.broker import endpoints
from o_tui.broker.calls import CallError

CONNECT_S = 10.0
RESPONSE_BYTES = 32 * 1024 * 1024
"""Largest response; past it the endpoint is not answering but flooding."""
ERROR_BYTES = 64 * 1024
"""So much of an error's body is read; the rest is cut off."""
_TAIL_BYTES = 256


@dataclass(slots=True)
class Wire:
    """What one attempt has received: tells a cut answer from a finished one, and both from no answer at all."""

    status: int = 0
    content_type: str = ""
    received: int = 0
    tail: bytes = b""

    @property
    def ended(self) -> bool:
        """The endpoint has said that this was all."""
        return b"[DONE]" in self.tail or b"message_stop" in self.tail

    @property
    def is_stream(self) -> bool:
        """The response was a stream of events."""
        return self.status == 200 and self.content_type.startswith("text/event-stream")


WIRE: ContextVar[Wire | None] = ContextVar("WIRE", default=None)
"""Where the attempt that runs in this task is recorded."""


class _LimitedStream(httpx2.AsyncByteStream):  # type: ignore[misc] # the library is not there for the type checker
    def __init__(self, inner: httpx2.AsyncByteStream, wire: Wire) -> None:
        self._inner = inner
        self._wire = wire

    async def __aiter__(self) -> AsyncIterator[bytes]:
        wire = self._wire
        limit = RESPONSE_BYTES if wire.status < 400 else ERROR_BYTES
        async for part in self._inner:
            wire.received += len(part)
            if wire.received > limit:
                if wire.status >= 400:
                    return
                raise CallError(f"the endpoint sent more than {limit >> 20} MiB; the answer was stopped", "garbage")
            wire.tail = (wire.tail + part)[-_TAIL_BYTES:]
            yield part

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Transport(httpx2.AsyncBaseTransport):  # type: ignore[misc] # as above
    """Wraps every response into the limits; refuses compressed ones, which could grow beyond them."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, *, keyless: bool) -> None:
        self._inner = inner
        self._keyless = keyless

    async def handle_async_request(self, asked: httpx2.Request) -> httpx2.Response:
        wire = WIRE.get() or Wire()
        if self._keyless:  # the libraries insist on a key and would send a made-up one
            for name in ("authorization", "x-api-key"):
                asked.headers.pop(name, None)
        response = await self._inner.handle_async_request(asked)
        wire.status = response.status_code
        wire.content_type = response.headers.get("content-type", "").strip().lower()
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise CallError("the endpoint sent a compressed answer though none was asked for", "garbage")
        response.stream = _LimitedStream(response.stream, wire)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class Client(httpx2.AsyncClient):  # type: ignore[misc] # as above
    """Asks for plain answers, follows no redirect (a key must not travel on), asks no proxy for this machine."""

    def __init__(self, base_url: str, timeout_s: float, *, keyless: bool) -> None:
        inner = httpx2.AsyncHTTPTransport(
            limits=httpx2.Limits(max_connections=64, max_keepalive_connections=8, keepalive_expiry=30.0),
            proxy=_proxy(base_url),
        )
        super().__init__(
            transport=_Transport(inner, keyless=keyless),
            timeout=httpx2.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s)),
            follow_redirects=False,
            headers={"accept-encoding": "identity"},
        )


def _proxy(base_url: str) -> str | None:
    """The proxy that the environment names for this endpoint."""
    parts = urlsplit(base_url)
    if endpoints.is_local(base_url) or request.proxy_bypass(parts.hostname or ""):
        return None
    proxies = request.getproxies()
    found = proxies.get(parts.scheme) or proxies.get("all")
    return f"http://{found}" if found and "://" not in found else found
