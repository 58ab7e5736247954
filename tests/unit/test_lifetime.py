"""How long a guardian stays."""

from __future__ import annotations

import pytest

from o_tui.guardian.lifetime import WHY, Lifetime


@pytest.fixture
def stopped() -> list[str]:
    return []


@pytest.fixture
def lifetime(stopped: list[str]) -> Lifetime:
    return Lifetime(stopped.append)


def test_it_stays_where_nobody_says_anything(lifetime: Lifetime, stopped: list[str]) -> None:
    lifetime.alone()
    lifetime.alone()
    assert not stopped and lifetime.kept


def test_until_alone_it_ends_once_with_the_last_connection(lifetime: Lifetime, stopped: list[str]) -> None:
    lifetime.alone()
    lifetime.until_alone()
    assert not stopped
    lifetime.alone()
    lifetime.alone()
    assert stopped == [WHY]


@pytest.mark.parametrize("first", ["keep", "until_alone"])
def test_a_wish_that_it_stays_is_heard_whoever_was_first(lifetime: Lifetime, stopped: list[str], first: str) -> None:
    for name in (first, "keep", "until_alone"):
        getattr(lifetime, name)()
    lifetime.alone()
    assert not stopped and lifetime.kept
