"""The view's model: the same notices give the same model; nothing that a guardian sends can break it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_tui.ui import arrangement, snapshot_model
from o_tui.ui.glyphs import ASCII, UNICODE
from o_tui.ui.snapshot_model import EVERYTHING, Model, apply, load
from o_tui.ui.widgets.banner import sentence
from o_tui.ui.widgets.header import compose_line, parts
from tests.support import scripted_data


def loaded() -> Model:
    model = Model(link="connected")
    assert load(model, 1, scripted_data.snapshot()) == EVERYTHING
    return model


def test_a_snapshot_is_in_the_order_of_the_log_whatever_the_clock_said() -> None:
    data = scripted_data.snapshot()
    for key in ("checkpoints", "events"):
        data[key].reverse()
    for number, row in enumerate(data["requests"]):
        row["time_ns"] = scripted_data.NOW - number
    older, newer = (
        scripted_data.evolution() | {"id": name, "time_ns": at} for name, at in (("ev-18", 2), ("ev-19", 1))
    )
    data["evolutions"] = [older, newer]
    data["pending"] = [scripted_data.evolution() | {"time_ns": 3}, newer]
    model = Model()
    load(model, 7, data)
    assert list(model.requests) == ["rq-a", "rq-b"]
    assert list(model.evolutions) == ["ev-17", "ev-18", "ev-19"]
    assert [row["id"] for row in model.checkpoints] == ["c-0004", "c-0003", "c-0002", "c-0001"]
    assert [row["id"] for row in model.events] == [1, 12, 24, 25]
    assert model.seq == 7


def test_what_waits_comes_from_either_list() -> None:
    data = scripted_data.snapshot()
    data["pending"] = data.pop("evolutions")
    model = Model()
    load(model, 1, data)
    assert [row["id"] for row in model.pending] == ["ev-17"]


def test_a_new_snapshot_forgets_the_old_one() -> None:
    model = loaded()
    load(model, 2, {})
    assert model.requests == {} and model.checkpoints == [] and model.shadows == {} and model.status == {}


@pytest.mark.parametrize(
    ("topic", "data", "changed"),
    [
        ("chat.request", {"request_id": "rq-z", "state": "running"}, {"requests"}),
        ("chat.done", {"request_id": "rq-b", "state": "done"}, {"requests"}),
        ("instance", {"instances": []}, {"status"}),
        ("telemetry", {"wal": {"seq": 9}}, {"status"}),
        ("telemetry", {"shadows": [{"id": "S-1"}]}, {"status", "shadows"}),
        ("telemetry", {"brain": {"ok": False}}, {"status", "brain"}),
        ("checkpoint", {"action": "created", "row": {"id": "c-9", "time_ns": 1}}, {"checkpoints", "status"}),
        ("evolution", {"id": "ev-1"}, {"evolutions"}),
        ("shadow", {"id": "S-9"}, {"shadows"}),
        ("event", {"id": 77}, {"events"}),
        ("brain", {"provider": "offline"}, {"brain", "status"}),
        ("config", {"screen": {}}, {"config"}),
        ("storage", {"read_only": True}, {"storage", "status"}),
        ("stopping", {"reason": "x"}, {"link"}),
        ("something.new", {"x": 1}, set()),
        ("evolution", {}, set()),
    ],
)
def test_each_notice_changes_its_parts(topic: str, data: dict[str, Any], changed: set[str]) -> None:
    assert apply(loaded(), 5, topic, data) == changed


def test_rows_are_merged_and_lists_bounded() -> None:
    model = loaded()
    apply(model, 2, "checkpoint", {"action": "pinned", "row": {"id": "c-0001", "pinned": True}})
    row = next(row for row in model.checkpoints if row["id"] == "c-0001")
    assert row["pinned"] and row["seq"] == 10_014
    apply(model, 3, "checkpoint", {"action": "removed", "row": {"id": "c-0001"}})
    assert len(model.checkpoints) == 3
    for number in range(3 * snapshot_model.EVENTS_KEPT):
        apply(model, 4, "event", {"id": 100 + number})
    assert len(model.events) <= snapshot_model.EVENTS_KEPT
    for number in range(2 * snapshot_model.REQUESTS_KEPT):
        apply(model, 4, "chat.request", {"request_id": f"x{number}"})
    assert len(model.requests) == snapshot_model.REQUESTS_KEPT


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.tuples(st.sampled_from(list(snapshot_model._TOPICS)), st.dictionaries(st.text(max_size=6), values))))
def test_unknown_fields_never_break_the_model_or_the_header(notices: list[tuple[str, dict[str, Any]]]) -> None:
    model = loaded()
    for seq, (topic, data) in enumerate(notices):
        apply(model, seq, topic, data)
    assert compose_line(parts(model, scripted_data.NOW, UNICODE), 80, lambda role: "").cell_len <= 80


@pytest.mark.parametrize("width", range(20, 200, 7))
def test_the_header_fits_every_width_and_keeps_what_waits(width: int) -> None:
    line = compose_line(parts(loaded(), scripted_data.NOW, ASCII, remote=True), width, lambda role: "")
    assert line.cell_len <= max(width, 22)
    assert "REVIEW 1" in line.plain
    assert line.plain.isascii()


def test_at_80_columns_the_header_says_which_code_runs_from_where_and_when() -> None:
    model = loaded()
    model.status["genome"] = {"version": "0.3.1"}
    line = compose_line(parts(model, scripted_data.NOW, UNICODE, remote=True), 80, lambda role: "").plain
    assert {"0.3.1", "[OK]", "ssh"} <= set(line.split()) and line.rstrip()[-3] == ":"


def test_state_is_words_and_not_only_colour() -> None:
    model = loaded()
    model.status["instances"] = [scripted_data.instance("main", 1, "restarting")]
    line = compose_line(parts(model, scripted_data.NOW, UNICODE), 160, lambda role: "").plain
    assert "main [!!] restarting" in line
    assert "standby [!!] missing" in line


@pytest.mark.parametrize("width", [80, 160])
def test_a_hold_and_a_canary_are_said(width: int) -> None:
    model = loaded()
    apply(model, 2, "telemetry", {"hold": {"held": True, "who": "ann", "reason": "a demo", "time_ns": 1}})
    apply(model, 3, "evolution", scripted_data.evolution() | {"state": "canary", "canary": {"share": 0.1}})
    line = compose_line(parts(model, scripted_data.NOW, UNICODE), width, lambda role: "").plain
    assert "HELD" in line and "canary 10%" in line
    apply(model, 4, "telemetry", {"hold": {"held": False, "who": "", "reason": "", "time_ns": 0}})
    assert "HELD" not in compose_line(parts(model, scripted_data.NOW, UNICODE), width, lambda role: "").plain


def test_where_there_is_room_the_header_shows_how_far_a_canary_is() -> None:
    model = loaded()
    served = {"share": 0.1, "requests": 12, "total": 40}
    apply(model, 2, "evolution", scripted_data.evolution() | {"state": "canary", "canary": served})
    lines = {
        (width, glyphs.mark): compose_line(parts(model, scripted_data.NOW, glyphs), width, lambda role: "").plain
        for width in (80, 200)
        for glyphs in (UNICODE, ASCII)
    }
    assert "canary 10%  ███░░░░░░░" in lines[200, UNICODE.mark] and "canary 10%  ###......." in lines[200, ASCII.mark]
    assert all("canary 10%" in line for line in lines.values()) and "█" not in lines[80, UNICODE.mark]


@pytest.mark.parametrize("width", [40, 80, 160])
def test_an_agent_that_is_not_confined_is_said_at_every_width(width: int) -> None:
    model = loaded()
    for tier, said in {"A": False, "B": False, "X": True}.items():
        model.status["instances"] = [scripted_data.instance("main", 1, "running") | {"tier": tier}]
        line = compose_line(parts(model, scripted_data.NOW, UNICODE), width, lambda role: "").plain
        assert ("NOT CONFINED" in line) == said
    model.status["instances"] = [scripted_data.instance("main", 1, "running") | {"tier": "C"}]
    assert "no Landlock" in compose_line(parts(model, scripted_data.NOW, UNICODE), 160, lambda role: "").plain


@pytest.mark.parametrize("state", ["starting", "connecting", "lost", "stopped", "refused"])
def test_every_state_of_the_link_has_a_sentence(state: str) -> None:
    assert sentence(Model(link=state, link_detail="why"))


@pytest.mark.parametrize(
    ("size", "mode", "shown"),
    [
        ((39, 40), "small", {"review"}),
        ((80, 14), "small", {"review"}),
        ((40, 15), "narrow", {"review"}),
        ((80, 24), "narrow", {"review"}),
        ((120, 29), "narrow", {"review"}),
        ((120, 40), "medium", {"review"}),
        ((200, 60), "wide", set(arrangement.PANES)),
    ],
)
def test_the_arrangement(size: tuple[int, int], mode: arrangement.Mode, shown: set[str]) -> None:
    assert arrangement.mode(*size) == mode
    assert arrangement.visible(mode, "review", False) == shown
    assert arrangement.visible(mode, "review", True) == {"review"}


@given(st.integers(1, 300), st.integers(1, 120), st.sampled_from(arrangement.PANES), st.booleans())
def test_the_pane_in_front_can_always_be_seen(width: int, height: int, active: str, zoomed: bool) -> None:
    assert active in arrangement.visible(arrangement.mode(width, height), active, zoomed)
