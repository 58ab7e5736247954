"""How long a guardian stays."""

from __future__ import annotations

import pytest

from o_tui.guardian.staying import WHY, Staying


@pytest.fixture
def stopped() -> list[str]:
    return []


@pytest.fixture
def staying(stopped: list[str]) -> Staying:
    return Staying(stopped.append)


def test_it_stays_where_nobody_says_anything(staying: Staying, stopped: list[str]) -> None:
    staying.alone()
    staying.alone()
    assert not stopped and staying.kept


def test_until_alone_it_ends_once_with_the_last_connection(staying: Staying, stopped: list[str]) -> None:
    staying.alone()
    staying.until_alone()
    assert not stopped
    staying.alone()
    staying.alone()
    assert stopped == [WHY]


@pytest.mark.parametrize("first", ["keep", "until_alone"])
def test_who_wishes_that_it_stays_is_heard_whoever_was_first(staying: Staying, stopped: list[str], first: str) -> None:
    for name in (first, "keep", "until_alone"):
        getattr(staying, name)()
    staying.alone()
    assert not stopped and staying.kept
