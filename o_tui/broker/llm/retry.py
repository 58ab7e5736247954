"""When a failed call is tried again: a pure function, so that it can be tested without a clock."""

from __future__ import annotations

from o_tui.broker.calls import CallError

ATTEMPTS = 4
REFUSED_ATTEMPTS = 2
"""A server that is not there is tried once more only: the operator should hear of it soon."""
BASE_S = 0.5
CAP_S = 20.0
ASKED_LIMIT_S = 60.0
"""If the endpoint asks to wait longer than this, the operator decides, not we."""


def pause_s(error: CallError, attempt: int, chance: float) -> float | None:
    """Seconds until the next attempt; None: there is none.

    Args:
        error: How attempt number `attempt` (from 1) failed, before any of its text was sent.
        attempt: Attempts made so far.
        chance: A random number in [0, 1), so that many brokers do not come back at the same moment.
    """
    if not error.retryable or error.text or error.kind == "timeout":
        return None  # after a silence of `timeout_s` nobody wants to wait as long again
    if attempt >= (REFUSED_ATTEMPTS if error.kind == "refused" else ATTEMPTS):
        return None
    backoff_s = min(CAP_S, BASE_S * 2.0 ** (attempt - 1)) * (0.5 + chance / 2)
    if error.retry_after_s is None:
        return backoff_s
    if error.retry_after_s > ASKED_LIMIT_S:
        return None
    # Never sooner than asked, and a little later, each at a time of its own.
    return max(0.0, error.retry_after_s) + backoff_s * 0.2
