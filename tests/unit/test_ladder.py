"""The decision what comes after a supervisor has given up."""

from __future__ import annotations

import pytest

from o_tui.guardian.fleet.ladder import (
    FALLS_LIMIT,
    FORGET_NS,
    PAUSES_S,
    Action,
    Fall,
    Group,
    Rung,
    Standing,
    decide,
)

CRASHED = 3


@pytest.mark.parametrize(
    ("rung", "has_previous", "action"),
    [
        ("newest", True, "previous"),
        ("newest", False, "safe"),
        ("previous", True, "safe"),
        ("previous", False, "safe"),
        ("safe", True, "stop"),
        ("safe", False, "stop"),
    ],
)
def test_agents_that_crash_go_down_one_rung_at_a_time(rung: Rung, has_previous: bool, action: Action) -> None:
    move = decide([Fall("agents", 0, CRASHED)], Standing(rung, has_previous))
    assert move.action == action and move.why


@pytest.mark.parametrize("rung", ["newest", "previous", "safe"])
def test_agents_that_others_kill_keep_their_genome_however_often(rung: Rung) -> None:
    falls = [Fall("agents", at, CRASHED, CRASHED) for at in range(50)]
    move = decide(falls, Standing(rung, True))
    assert (move.action, move.pause_s) == ("again", PAUSES_S[0])


def test_a_broker_is_no_reason_to_stop_but_waits_longer_each_time() -> None:
    falls: list[Fall] = []
    pauses = []
    for at in range(6):
        falls.append(Fall("effects", at))
        move = decide(falls, Standing())
        assert move.action == "again"
        pauses.append(move.pause_s)
    assert pauses == [*PAUSES_S, PAUSES_S[-1], PAUSES_S[-1]]


@pytest.mark.parametrize("group", ["forks", "start"])
def test_without_a_nursery_it_stops_only_when_nobody_serves(group: Group) -> None:
    falls = [Fall(group, at) for at in range(FALLS_LIMIT)]
    assert decide(falls[:-1], Standing()).action == "again"
    assert decide(falls, Standing(serving=True)).action == "again"
    assert decide(falls, Standing()).action == "stop"


def test_what_is_long_ago_does_not_count() -> None:
    falls = [Fall("forks", at) for at in range(FALLS_LIMIT)]
    late = Fall("forks", FORGET_NS + FALLS_LIMIT)
    move = decide([*falls, late], Standing())
    assert (move.action, move.pause_s) == ("again", PAUSES_S[0])


def test_the_falls_of_others_do_not_count() -> None:
    falls = [Fall("effects", 0), Fall("effects", 1), Fall("agents", 2, CRASHED), Fall("forks", 3)]
    assert decide(falls, Standing()).pause_s == PAUSES_S[0]


def test_agents_that_could_not_be_started_are_tried_again_after_longer_and_longer() -> None:
    falls: list[Fall] = []
    moves = []
    for at in range(len(PAUSES_S) + 1):
        falls.append(Fall("agents", at))
        moves.append(decide(falls, Standing("newest", True)))
    assert {move.action for move in moves} == {"again"}
    assert [move.pause_s for move in moves] == [*PAUSES_S, PAUSES_S[-1]]
