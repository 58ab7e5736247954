"""How much somebody may do: a burst, and so much a second."""

from __future__ import annotations

from o_tui.guardian.fleet.token_bucket import TokenBucket


def test_a_burst_is_allowed_and_then_so_much_a_second() -> None:
    now_s = 0.0
    allowance = TokenBucket(10, 2.0, lambda: now_s)
    assert sum(allowance.take() for _ in range(100)) == 10
    assert allowance.refused == 90
    now_s = 3.0
    assert sum(allowance.take() for _ in range(100)) == 6
    now_s = 1_000.0
    assert sum(allowance.take() for _ in range(100)) == 10
