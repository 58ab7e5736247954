"""What a call of the broker is: its failure, and what the module of its kind is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

if TYPE_CHECKING:
    from o_tui.broker.brain import Brain

Kind = Literal[
    "auth", "timeout", "refused", "garbage", "cut", "overflow", "http", "setup", "arguments", "busy", "internal"
]
"""auth: 401, 403. timeout: no byte in time. refused: no connection. garbage: not the protocol. cut: broken off after
HTTP 200. overflow: longer than the model's context. http: another status. setup: no provider, model, key or library.
arguments: the call itself is wrong. busy: too many calls. internal: a defect of ours."""

Arguments = TypeVar("Arguments", bound=msgspec.Struct)


class CallError(Exception):
    """A call has failed.

    Attributes:
        kind: What went wrong, for code.
        retryable: The same call may succeed later.
        retry_after_s: Seconds that the endpoint asked to wait; None: it did not say.
        status: The HTTP status, 0 without one.
        text: What had been said before the failure; the caller has it as deltas already.
        attempts: How often it was tried.
    """

    def __init__(
        self,
        message: str,
        kind: Kind,
        *,
        retryable: bool = False,
        retry_after_s: float | None = None,
        status: int = 0,
        text: str = "",
    ) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        self.status = status
        self.text = text
        self.attempts = 1

    def data(self) -> dict[str, Any]:
        """The data of the `error` reply."""
        data: dict[str, Any] = {
            "error": str(self),
            "kind": self.kind,
            "retryable": self.retryable,
            "attempts": self.attempts,
        }
        if self.status:
            data["status"] = self.status
        if self.text:
            data["text"] = self.text
        return data


@dataclass(frozen=True, slots=True)
class Call:
    """One running call, as its handler sees it.

    Attributes:
        arguments: As the caller sent them, unchecked.
        delta: Sends a part of the answer; waits while the guardian is slow to read.
        log: Writes a line (level, text) into the event log.
        brain: The model that is configured.
    """

    arguments: Mapping[str, Any]
    delta: Callable[[dict[str, Any]], Awaitable[None]]
    log: Callable[[Literal["debug", "info", "warning", "error"], str], None]
    brain: Brain


Handler = Callable[[Call], Awaitable[dict[str, Any]]]
"""Runs a call and returns the data of its `done` reply, or raises CallError."""


def convert(arguments: Mapping[str, Any], struct: type[Arguments]) -> Arguments:
    """Checks a call's arguments; raises CallError of kind `arguments`."""
    try:
        return msgspec.convert(dict(arguments), struct)
    except msgspec.ValidationError as error:
        raise CallError(f"the call's arguments are wrong: {error}", "arguments") from error
