"""Whatever a provider's library raises, as a CallError: the one place where its exceptions are known."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx2
from pydantic_ai import exceptions

from o_tui.broker.calls import CallError
from o_tui.broker.llm.http import Wire

_OVERFLOW = re.compile(
    r"context.{0,20}(length|size|window)|exceed_context|prompt is too long|too many (input )?tokens", re.IGNORECASE
)
_RETRYABLE = {408, 409, 425, 429}
_BEYOND_JSON = (json.JSONDecodeError, UnicodeDecodeError)


def classify(error: Exception, wire: Wire, place: str, *, said: bool, timeout_s: float) -> CallError:
    """What the failure of one attempt means.

    Args:
        error: What was raised.
        wire: What the attempt had received.
        place: The endpoint's host and port.
        said: A part of the answer was already sent on.
        timeout_s: The silence that is waited for.
    """
    chain = _chain(error)
    for link in chain:
        if isinstance(link, CallError):
            return link
    if any(isinstance(link, httpx2.TimeoutException | exceptions.ModelTimeoutError) for link in chain):
        return _timeout(chain, wire, place, timeout_s)
    message = message_of(error)
    if not said and (isinstance(error, exceptions.ModelContextWindowExceededError) or _OVERFLOW.search(message)):
        return CallError(
            f"the conversation is longer than the model's context: {message}", "overflow", status=_status(error)
        )
    if any(isinstance(link, _BEYOND_JSON) or _is_bad_http(link) for link in chain):
        return CallError(f"{place} sent what is not the protocol: {_end(chain)}", "garbage")
    if getattr(error, "in_stream", False) or (isinstance(error, exceptions.ModelAPIError) and wire.is_stream):
        return _broken_off(error, wire, place, message)
    if any(isinstance(link, exceptions.ModelConnectionError | httpx2.TransportError) for link in chain):
        return _unreachable(chain, wire, place)
    if isinstance(error, exceptions.ModelHTTPError):
        return status_error(error.status_code, message, error.retry_after, _gives_up(error))
    if isinstance(status := getattr(error, "status_code", None), int) and status >= 400:
        return status_error(status, message, None, False)  # a library's own, from its list of models
    if 300 <= wire.status < 400:
        return status_error(wire.status, "", None, True)
    if wire.status == 200 and not wire.is_stream:
        return CallError(f"{place} sent no stream of events but {wire.content_type or 'something else'}", "garbage")
    # What a library says of itself here (a missing attribute, mostly) tells an operator nothing.
    detail = f": {message}" if isinstance(error, exceptions.AgentRunError) and message else ""
    return CallError(f"{place} sent what is not the protocol{detail}", "garbage")


def status_error(status: int, message: str, retry_after_s: float | None, final: bool) -> CallError:
    """The error for an HTTP status that is none of success."""
    said = f": {message}" if message else ""
    if status in (401, 403):
        return CallError(f"the endpoint refused the key (HTTP {status}){said}", "auth", status=status)
    if 300 <= status < 400:
        return CallError(f"the endpoint redirects elsewhere (HTTP {status}), which is not followed", "http")
    retryable = not final and (status in _RETRYABLE or status >= 500)
    return CallError(
        f"the endpoint answered HTTP {status}{said}",
        "http",
        retryable=retryable,
        retry_after_s=retry_after_s,
        status=status,
    )


def message_in(body: Any) -> str:
    """The words in an error's body, wherever the provider puts them; empty if there are none."""
    if isinstance(body, dict):
        inner = body.get("error", body)
        body = inner.get("message") if isinstance(inner, dict) else inner
    return body if isinstance(body, str) else ""


def message_of(error: Exception) -> str:
    """What the provider says, without the wrapping of its library."""
    message = message_in(getattr(error, "body", None))
    return message if message or hasattr(error, "status_code") else str(error)


def _timeout(chain: list[BaseException], wire: Wire, place: str, timeout_s: float) -> CallError:
    if any(isinstance(link, httpx2.ConnectTimeout) for link in chain):
        return CallError(f"{place} did not take the connection in time", "timeout", retryable=True)
    when = "no answer came" if not wire.status else "it fell silent"
    return CallError(f"{place}: {when} for {timeout_s:g} s", "timeout", retryable=True)


def _broken_off(error: Exception, wire: Wire, place: str, message: str) -> CallError:
    if isinstance(error, exceptions.ModelHTTPError) or getattr(error, "in_stream", False):
        reason = f"{place} broke the answer off with an error: {message}"
    elif not wire.received:
        reason = f"{place} sent an empty answer"
    else:
        reason = f"the connection to {place} was cut before the answer was complete"
    return CallError(reason, "cut", retryable=True)


def _unreachable(chain: list[BaseException], wire: Wire, place: str) -> CallError:
    if wire.status:
        return CallError(f"the connection to {place} was cut before the answer was complete", "cut", retryable=True)
    if any(isinstance(link, httpx2.ConnectError | httpx2.UnsupportedProtocol | httpx2.ProxyError) for link in chain):
        return CallError(f"{place} cannot be reached: {_end(chain)}", "refused", retryable=True)
    return CallError(f"{place} closed the connection without an answer", "cut", retryable=True)


def _is_bad_http(error: BaseException) -> bool:
    """Bytes that are no HTTP; a connection that only ended too early is not that."""
    ended = ("peer closed", "server disconnected")
    return isinstance(error, httpx2.RemoteProtocolError) and not str(error).lower().startswith(ended)


def _gives_up(error: Exception) -> bool:
    return isinstance(error, exceptions.ModelQuotaExceededError)


def _status(error: Exception) -> int:
    return error.status_code if isinstance(error, exceptions.ModelHTTPError) else 0


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    return chain


def _end(chain: list[BaseException]) -> str:
    """The innermost message that says something: for a refused connection, the system's."""
    for link in reversed(chain):
        if isinstance(link, OSError) and link.strerror:
            return link.strerror
    return next((str(link) for link in reversed(chain) if str(link)), type(chain[0]).__name__)
