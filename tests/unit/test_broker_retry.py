"""When a call is tried again, and after how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_tui.broker.calls import CallError
from o_tui.broker.llm.retry import ASKED_LIMIT_S, ATTEMPTS, CAP_S, pause_s


def busy(retry_after_s: float | None = None, text: str = "") -> CallError:
    return CallError("busy", "http", retryable=True, retry_after_s=retry_after_s, text=text)


@given(attempt=st.integers(1, ATTEMPTS - 1), chance=st.floats(0, 0.999))
def test_pauses_grow_with_jitter_up_to_a_cap(attempt: int, chance: float) -> None:
    pause = pause_s(busy(), attempt, chance)
    assert pause is not None
    whole = min(CAP_S, 0.5 * 2 ** (attempt - 1))
    assert whole / 2 <= pause <= whole


@given(asked=st.floats(0, ASKED_LIMIT_S), attempt=st.integers(1, ATTEMPTS - 1), chance=st.floats(0, 0.999))
def test_never_sooner_than_asked(asked: float, attempt: int, chance: float) -> None:
    pause = pause_s(busy(asked), attempt, chance)
    assert pause is not None
    assert asked <= pause <= asked + CAP_S


def test_it_ends() -> None:
    assert pause_s(busy(), ATTEMPTS, 0.5) is None
    assert pause_s(busy(ASKED_LIMIT_S + 1), 1, 0.5) is None
    assert pause_s(CallError("", "refused", retryable=True), 1, 0.5) is not None
    assert pause_s(CallError("", "refused", retryable=True), 2, 0.5) is None


@pytest.mark.parametrize(
    "error",
    [busy(text="said"), CallError("", "auth"), CallError("", "timeout", retryable=True), CallError("", "garbage")],
)
def test_what_is_not_tried_again(error: CallError) -> None:
    assert pause_s(error, 1, 0.5) is None
