"""Which request goes where, when a step of a canary is over, and how a two-faced candidate is named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_tui.evolution import two_faced
from o_tui.guardian.evolving.traffic import LONGEST_S, QUIET_S, SHARES, Step, takes

SHARE = st.floats(0.0, 1.0)


@given(st.text(max_size=40), SHARE, SHARE)
def test_what_a_canary_takes_it_keeps_taking_as_its_share_grows(request_id: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert takes(request_id, low) == takes(request_id, low)
    assert takes(request_id, high) or not takes(request_id, low)
    assert takes(request_id, 1.0) and not takes(request_id, 0.0)


@pytest.mark.parametrize("share", SHARES)
def test_it_takes_its_share(share: float) -> None:
    taken = sum(takes(f"5f1c{number:06x}", share) for number in range(20_000))
    assert taken / 20_000 == pytest.approx(share, abs=0.01)


def step(**fields: Any) -> Step:
    return Step(**({"share": 0.1, "wanted": 40, "fills": True, "began_s": 100.0} | fields))


def test_a_step_needs_all_its_pairs_however_long_it_takes() -> None:
    assert not step(pairs=39, served=99).is_over(100.0 + 10 * LONGEST_S)
    assert step(pairs=39).needs_pairs() and not step(pairs=40).needs_pairs()


def test_a_step_of_a_quiet_agent_is_over_with_its_pairs() -> None:
    assert step(pairs=40).is_over(100.1)
    assert step(pairs=40, asked_s=100.0).is_over(100.0 + QUIET_S)


def test_a_step_under_load_waits_for_real_requests_but_not_for_ever() -> None:
    assert not step(pairs=40, asked_s=100.0, served=9).is_over(100.1)
    assert step(pairs=40, asked_s=100.0, served=10).is_over(100.1)
    assert step(pairs=40, asked_s=100.0 + LONGEST_S, served=0).is_over(100.0 + LONGEST_S)


def test_where_nothing_is_recorded_and_nobody_asks_there_is_nothing_to_wait_for() -> None:
    assert not step(fills=False, asked_s=100.0).is_over(100.1)
    assert step(fills=False, asked_s=100.0).is_over(100.0 + QUIET_S)


TRIAL = {"pairs": 60, "errors": {"main": 0, "candidate": 0}, "latency": {"ratio_median": 0.98}}


def test_who_behaved_on_trial_and_not_in_service_is_two_faced() -> None:
    assert two_faced.in_words(TRIAL, "it ended: exit 3") == (
        "two-faced: on trial it took 0.98 times main's time and failed 0 of 60 requests (main 0);"
        " in service: it ended: exit 3"
    )


@pytest.mark.parametrize(
    "trial",
    [{"errors": {"main": 0, "candidate": 2}}, {"latency": {"ratio_median": 1.4, "ci_low": 1.2}}],
    ids=["failed", "slow"],
)
def test_whose_trial_had_shown_it_is_not(trial: dict[str, Any]) -> None:
    said = two_faced.in_words(TRIAL | trial, "slow")
    assert said.startswith("slow; on trial it took") and "two-faced" not in said
    assert two_faced.in_words({}, "slow") == "slow"
