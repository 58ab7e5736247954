"""What a trial has shown, in words, and what the chat tells of it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from o_tui.guardian.evolving import chronicle
from o_tui.protocol.errors import BusyError
from o_tui.ui import outcome
from o_tui.ui.chat.commander import usage
from o_tui.ui.lists.columns import Column, fitted, layout
from o_tui.ui.panes import shadows
from o_tui.ui.panes.events import EVENT_COLUMNS
from o_tui.ui.panes.evidence import evidence
from o_tui.ui.panes.process_rows import process_rows
from o_tui.ui.screens.quit import QuitScreen
from o_tui.ui.screens.settings import setting_rows
from o_tui.ui.snapshot_model import Model
from tests.support import scripted_data
from tests.support.screen import view


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.76, 0.87, "19 % faster"), (0.7, 1.1, "no difference shown"), (0.0, 999.0, "too few pairs")],
)
def test_a_difference_is_named_only_where_the_interval_shows_one(low: float, high: float, words: str) -> None:
    ratio = {"ratio_median": 0.81, "ci_low": low, "ci_high": high}
    assert outcome.difference(ratio) == words
    assert (outcome.measured(ratio) == "-") is (high > 900)


def test_a_reason_that_joins_those_of_the_verdict_is_told_once() -> None:
    row = scripted_data.evolution()
    row["reason"] = "; ".join(row["evidence"]["reasons"])
    text = "\n".join(line.plain for line in evidence(row, []))
    assert text.count(row["reason"]) == 1


def test_a_promoted_standby_is_the_main() -> None:
    model = Model(status={"instances": [{**scripted_data.instance("main", 7), "name": "standby-4"}]})
    row = next(row for row in process_rows(model) if row["name"] == "main")
    assert row["instance"] == "standby-4"


def test_a_narrow_event_log_gives_the_source_to_the_text() -> None:
    assert [index for index, _ in layout(EVENT_COLUMNS, 45)] == [0, 2]
    assert [index for index, _ in layout(EVENT_COLUMNS, 78)] == [0, 1, 2]


@pytest.mark.parametrize("width", [43, 76, 116])
def test_no_verdict_of_a_shadow_is_cut(width: int) -> None:
    shown = {shadows.COLUMNS[index].title: cells for index, cells in layout(shadows.COLUMNS, width)}
    assert shown["verdict"] >= len("no evidence") and {"id", "err %", "p95", "trend"} <= shown.keys()


def test_columns_are_as_narrow_as_what_stands_in_them() -> None:
    columns = (Column("time", 11), Column("why", least=8))
    assert [column.width for column in fitted(columns, {"time": ["12:03:11"]})] == [8, 0]
    assert [column.width for column in fitted(columns, {"time": ["11-20 12:03", "12:03:11"]})] == [11, 0]
    assert fitted(columns, {"time": []}) == columns


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"state": "rejected", "verdict": "no_evidence"}, "no evidence"),
        ({"state": "rejected", "verdict": "no_evidence", "by": "ann"}, "rejected"),
        ({"state": "rejected", "verdict": "reject"}, "rejected"),
        ({"state": "pending", "verdict": "no_evidence"}, "pending"),
        ({"state": "promoted", "verdict": "no_evidence", "version": "0.2.0", "by": "ann"}, "promoted v0.2.0"),
    ],
)
def test_nothing_shown_is_no_rejection_but_what_a_person_refused_is(row: dict[str, Any], words: str) -> None:
    assert shadows.outcome_word(row) == words
    assert chronicle.outcome(row) == outcome.ending(row)


def test_an_inner_switch_is_no_setting() -> None:
    assert "brain.onboarded" not in {row["key"] for row in setting_rows({}, "")}


def test_the_use_of_a_model_is_told_once_there_is_one() -> None:
    assert usage({"calls": 2, "input_tokens": 1200, "output_tokens": 34}) == "2 calls, 1 200 tokens in, 34 out"
    assert usage({"calls": 0}) == usage(None) == ""


def test_a_population_tells_its_generation_and_the_best_so_far() -> None:
    first = {"number": 1, "of": 10, "size": 50, "measured": 50, "score": 1.2, "quality": 0.12}
    row = {"generations": [first, {"number": 2, "of": 10, "size": 50, "measured": 7, "score": 0.5}]}
    assert outcome.population(row) == "generation 2 of 10, 57 looked at, best quality +0.120"
    assert (
        outcome.population({"generations": [{"number": 1, "of": 2, "measured": 1}]}) == "generation 1 of 2, 1 looked at"
    )
    assert outcome.population({}) == outcome.population({"generations": []}) == ""
    assert "generation 2 of 10" in "\n".join(line.plain for line in evidence(scripted_data.evolution() | row, []))


def test_an_evolution_that_showed_nothing_is_not_called_rejected() -> None:
    row = scripted_data.evolution() | {"state": "rejected", "reason": "not shown better: latency -2.8 %"}
    assert "was rejected." in outcome.told(row) and "faster" in outcome.told(row)
    text = outcome.told(row | {"verdict": "no_evidence"})
    assert "has ended: nothing was shown to be better." in text and "not shown better: latency -2.8 %" in text
    assert "rejected" not in text and "faster" not in text


async def test_evolve_from_a_missing_file_says_so_and_asks_no_model() -> None:
    async with view() as v:
        v.app.chat.commander.run("evolve", "recall --from missing")
        await v.until(lambda: "missing" in v.toasts)
        assert "evolve" not in [name for name, _ in v.guardian.calls]


async def test_the_end_of_an_evolution_begun_in_the_chat_is_told_there(tmp_path: Path) -> None:
    source = tmp_path / "candidate.py"
    source.write_text("x = 1\n")
    async with view() as v:
        v.guardian.handlers["evolve"] = lambda **_params: {"evolution": "ev-18"}
        v.app.chat.commander.run("evolve", f"recall --from {source} newer first")
        assert (await v.guardian.called("evolve"))["goal"] == "newer first"
        await v.sees("ev-18")
        v.guardian.notify("evolution", scripted_data.evolution() | {"id": "ev-18"})
        await v.sees("waits for you in", "19 % faster, 0 of 60")
        assert v.text().count("/evolve recall") == 1, "nobody has said it again"


async def test_rollback_names_the_version() -> None:
    async with view() as v:
        v.guardian.handlers["rollback"] = lambda revision: {"version": "0.2.1", "to": "77aa01c2d3e4"}
        v.app.chat.commander.run("rollback", "")
        await v.until(lambda: "Rolled back to v0.1.0: it is v0.2.1 now." in v.toasts)


async def test_killing_main_tells_how_long_it_took() -> None:
    async with view() as v:
        answers = [{"recovery_ms": 0.0}, {"recovery_ms": 0.0}, {"recovery_ms": 8.0}]
        v.guardian.handlers["status"] = lambda: answers.pop(0) if len(answers) > 1 else answers[0]
        v.guardian.handlers["kill"] = lambda role: {"role": role, "pid": 7}
        v.app.chat.commander.run("kill", "main yes")
        await v.until(lambda: "back after 8.0 ms" in v.toasts)


async def test_escape_takes_the_search_of_the_chat_away() -> None:
    async with view() as v:
        await v.write("half")
        await v.press("f3")
        assert v.app.chat.prompt.text == "/memory search "
        await v.until(lambda: v.app.chat._searching)
        v.app.chat.action_cancel()
        assert v.app.chat.prompt.text == "half"


@pytest.mark.parametrize(("size", "words"), [((80, 24), ("F6", "F4", "F1")), ((40, 20), ("F1", "F6", "^Q"))])
async def test_the_footer_names_the_ways_out_of_the_chat(size: tuple[int, int], words: tuple[str, ...]) -> None:
    async with view(size) as v:
        await v.until(lambda: all(word in v.text().splitlines()[-1] for word in words))


async def test_an_embedded_guardian_cannot_be_left_running() -> None:
    async with view(embedded=True) as v:
        await v.press("ctrl+q")
        assert isinstance(v.app.screen, QuitScreen)
        await v.misses("Detach")
        await v.press("d")
        assert isinstance(v.app.screen, QuitScreen)
        await v.press("ctrl+q")
        await v.until(lambda: v.app._exit)


async def test_the_lifecycle_is_told_while_it_is_no_everyday_one() -> None:
    async with view() as v:
        v.guardian.notify("telemetry", {"lifecycle": "evolving"})
        await v.sees("evolving")
        v.guardian.notify("telemetry", {"lifecycle": "running"})
        await v.until(lambda: "evolving" not in v.text().splitlines()[0])


async def test_a_guardian_that_cannot_start_says_why_and_can_be_tried_again() -> None:
    tries = []

    def start() -> None:
        tries.append(1)
        raise BusyError("the database is locked", hint="wait for who holds it")

    async with view(connected=False, start_guardian=start) as v:
        await v.sees("the database is locked (wait for who holds it)", "F5 tries again")
        await v.press("f5")
        await v.until(lambda: len(tries) == 2)
        await v.sees("the database is locked")


async def test_leaving_does_not_wait_for_a_start() -> None:
    held = threading.Event()
    try:
        async with view(connected=False, start_guardian=held.wait) as v:
            await v.sees("Starting the guardian")
            await v.press("ctrl+q")
            await v.until(lambda: v.app._exit)
    finally:
        held.set()


def test_a_rollback_that_nobody_asked_for_is_told_with_its_reason() -> None:
    row = {"id": "ev-9", "gene": "recall", "state": "rolled_back", "reason": "rolled back by itself: slower in service"}
    assert "was rolled back" in outcome.told(row) and "slower in service" in outcome.told(row)


async def test_the_chat_tells_a_rollback_of_what_was_begun_elsewhere() -> None:
    async with view() as v:
        row = scripted_data.evolution() | {"id": "ev-9", "state": "promoted"}
        v.guardian.notify("evolution", row)
        v.guardian.notify("evolution", row | {"state": "rolled_back", "reason": "rolled back by itself: slower"})
        await v.sees("ev-9", "was rolled back", "rolled back by itself: slower")
