"""The live page of a run of a user's program: what it shows, and its keys; a real run on a real terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from o_tui.cli.program_page import Process
from o_tui.ui.programs.figures import Figures, failure_of
from o_tui.ui.programs.page import EMPTY, PAUSED, ProgramPage
from o_tui.ui.text import KeyLine
from tests.support import user_programs
from tests.support.patience import PATIENCE_S
from tests.support.terminal import ROOT

OLD, NEW = "A = 3.0\nB = 2.0\n", "A = 1.25\nB = 2.0\n"


def evaluation(number: int, score: float | None, **more: Any) -> dict[str, Any]:
    row = {"event": "evaluation", "number": number, "operator": "literals", "detail": "A: 3.0 -> 1.25", "score": score}
    return row | {"metrics": {}, "error": "", "refused": [], "wall_ms": 2.0, "best": False} | more


BEGUN = {"event": "begun", "evolution": "20260102-abcd", "run": "20260102-abcd", "budget": 100, "seed": 0, "tier": "A"}
EVENTS = [
    {**BEGUN, "done": 0, "failed": 0, "initial": None, "initial_source": OLD},
    evaluation(1, 4.0, operator="initial", detail="as it was given", best=True, source=OLD),
    evaluation(2, None, operator="statements", error="ValueError: math domain error"),
    evaluation(3, None, refused=["socket"], error="PermissionError: no"),
    evaluation(4, 7.5, best=True, source=NEW),
    evaluation(5, 7.0, operator="crossover", detail="[@click=app.exit]x[/] \x1b[2J"),
]


class Told:
    """A feed that is told everything at once."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self.figures, self.state, self.asked = Figures(), "running", list[str]()
        for event in events:
            self.figures.take(event, 0.0)

    def poll(self) -> None:
        return

    def pause(self) -> None:
        self.asked.append("pause")
        self.state = "paused"

    def resume(self) -> None:
        self.asked.append("resume")
        self.state = "running"

    def stop(self) -> None:
        self.asked.append("stop")
        self.state = "ended"


def page_of(events: list[dict[str, Any]]) -> tuple[ProgramPage, Told]:
    feed = Told(events)
    page = ProgramPage(feed)
    page.clock = lambda: 3.0
    page._began = 0.0
    return page, feed


def picture(page: ProgramPage) -> str:
    lines = page.screen._compositor.render_strips(page.size)
    return "\n".join("".join(segment.text for segment in line).rstrip() for line in lines)


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
async def test_looks(size: tuple[int, int], snapshot: SnapshotAssertion) -> None:
    page, _ = page_of(EVENTS)
    async with page.run_test(size=size) as pilot:
        await pilot.pause()
        shown = picture(page)
        assert "best 7.5  as it was 4  number 4" in shown and "5 of 100" in shown and "failed 2" in shown
        assert "\x1b" not in shown
        assert shown == snapshot


@pytest.mark.parametrize("size", [(20, 5), (10, 3), (40, 20), (300, 80)])
async def test_no_size_of_the_terminal_ends_it(size: tuple[int, int]) -> None:
    page, _ = page_of(EVENTS)
    async with page.run_test(size=(80, 24)) as pilot:
        await pilot.resize_terminal(*size)
        await pilot.pause()
        page.draw()
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        page.draw()
        assert "5 of 100" in picture(page)


def test_the_tables_of_a_run_that_goes_on_are_about_all_of_it() -> None:
    figures = Figures()
    for event in EVENTS:
        figures.take(event, 0.0)
    more = {"tried": {"literals": 7, "initial": 1}, "helped": {"initial": 1}, "failures": {"ValueError": 2}}
    figures.take({**BEGUN, "done": 8, "failed": 2, **more}, 1.0)
    figures.take(evaluation(9, 8.0, best=True), 2.0)
    assert (figures.tried.total(), figures.done) == (9, 9)
    assert figures.helped == {"initial": 1, "literals": 1} and figures.failures.total() == figures.failed


async def test_it_says_what_it_waits_for_while_there_is_nothing() -> None:
    page, feed = page_of([])
    async with page.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert EMPTY in picture(page)
        await pilot.press("p")
        await pilot.pause()
        assert PAUSED in picture(page)
        await pilot.press("d")
        await pilot.pause()
        assert "there is nothing better than the program as it was yet" in picture(page)
        for event in EVENTS:
            feed.figures.take(event, 0.0)
        page.draw()
        await pilot.pause()
        assert "nothing better" not in picture(page)


async def test_keys_and_the_mouse() -> None:
    page, feed = page_of(EVENTS)
    async with page.run_test(size=(80, 24)) as pilot:
        await pilot.press("d")
        await pilot.pause(0.1)
        assert "A = 1.25" in picture(page)
        await pilot.press("escape")
        await pilot.pause()
        assert "statements" in picture(page)
        await pilot.press("p")
        assert feed.state == "paused" and "paused" in picture(page)
        keys = [key for key in page.query_one(KeyLine).query("FooterKey") if "Pause" in str(key.description)]  # type: ignore[attr-defined]
        await pilot.click(keys[0])
        assert feed.asked == ["pause", "resume"]
        await pilot.press("s")
        await pilot.pause()
    assert feed.asked[-1] == "stop" and page.return_value == 0


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"error": "ValueError: a: b"}, "ValueError"),
        ({"error": "Traceback\n  x\nKeyError: 'k'"}, "KeyError"),
        ({"error": "", "refused": []}, "no score"),
        ({"error": "OSError: x", "refused": ["connect"]}, "refused: connect"),
    ],
)
def test_kinds_of_failures(event: dict[str, Any], kind: str) -> None:
    assert failure_of(event) == kind


def test_the_rate_is_of_the_last_seconds() -> None:
    figures = Figures()
    for number in range(1, 101):
        figures.take(evaluation(number, 1.0), number / 10)
    assert 9.0 <= figures.rate(10.0) <= 11.0
    assert figures.rate(100.0) == 0.0


class Terminal:
    """A command on a terminal of its own; the test reads what it draws."""

    def __init__(self, folder: Path, *words: str, environment: Mapping[str, str] | None = None) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 40, 120, 0, 0))
        given = {"TERM": "xterm-256color", "PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}
        given |= environment or {}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "o_tui", *words, "--data-dir", str(folder / "w")],
            stdin=slave, stdout=slave, stderr=slave, env=given, cwd=ROOT, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.output = ""

    def sees(self, pattern: str, seconds: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.output):
            if time.monotonic() > deadline or not self._read(deadline - time.monotonic()):
                raise AssertionError(f"{pattern!r} is not in {self.output[-2000:]!r}")

    def _read(self, wait_s: float) -> bool:
        ready, _, _ = select.select([self.master], [], [], max(0.0, wait_s))
        try:
            data = os.read(self.master, 1 << 16) if ready else b""
        except OSError:
            return False
        self.output += data.decode("utf-8", "replace")
        return bool(data)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)


def test_a_run_on_a_terminal_pauses_goes_on_and_leaves_its_end_behind(folder: Path) -> None:
    program, evaluator = user_programs.files(folder / "p")
    terminal = Terminal(folder, "evolve", str(program), str(evaluator), "--budget", "40", "--seed", "1")
    try:
        terminal.sees("literals")
        os.write(terminal.master, b"p")
        terminal.sees(r"paused|\x1b\[\?1049l")  # so short a run may have been over first
        if "paused" in terminal.output:
            os.write(terminal.master, b"p")
        terminal.sees(r"\x1b\[\?1049l[^$]*improved, 40 evaluations")
        terminal.sees("best program: ")
        assert terminal.process.wait(PATIENCE_S) == 0
    finally:
        terminal.close()


def test_on_a_console_without_colours_it_sends_none_and_no_more_than_ascii(folder: Path) -> None:
    program, evaluator = user_programs.files(folder / "p")
    plain = {"TERM": "linux", "NO_COLOR": "1"}
    terminal = Terminal(folder, "evolve", str(program), str(evaluator), "--budget", "100000", environment=plain)
    try:
        terminal.sees("literals")
        os.write(terminal.master, b"d")
        terminal.sees("@@ -")
        os.write(terminal.master, b"s")
        terminal.sees("go on with o-tui evolve --resume")
        page = terminal.output.partition("\x1b[?1049l")[0]
        styles = {code for found in re.findall(r"\x1b\[([\d;]*)m", page) for code in found.split(";")}
        assert page.isascii() and styles <= {"", "0", "1", "2", "3", "4", "7", "9", "39", "49"}
    finally:
        terminal.close()


def test_a_pause_before_the_run_has_begun_is_said_at_once_and_kept(folder: Path) -> None:
    program, evaluator = user_programs.files(folder / "p")
    process = Process([str(program), str(evaluator), "--budget=100000", f"--data-dir={folder / 'w'}"], [])
    try:
        process.pause()
        assert process.state == "pausing"
        deadline = time.monotonic() + PATIENCE_S
        while process.state == "pausing" and time.monotonic() < deadline:
            process._reader.join(0.05)
            process.poll()
        assert process.state == "paused"
        assert process.figures.name
    finally:
        process.close()


def test_a_run_that_is_stopped_can_be_resumed_and_says_how(folder: Path) -> None:
    program, evaluator = user_programs.files(folder / "p")
    terminal = Terminal(folder, "evolve", str(program), str(evaluator), "--budget", "100000")
    try:
        terminal.sees("literals")
        os.write(terminal.master, b"s")
        terminal.sees(r"go on with o-tui evolve --resume \S+")
        assert terminal.process.wait(PATIENCE_S) == 130
    finally:
        terminal.close()


def test_a_run_that_is_stopped_after_a_pause_says_it_once_and_nothing_else(folder: Path) -> None:
    program, evaluator = user_programs.files(folder / "p")
    terminal = Terminal(folder, "evolve", str(program), str(evaluator), "--budget", "100000")
    try:
        terminal.sees("literals")
        os.write(terminal.master, b"p")
        terminal.sees("paused")
        os.write(terminal.master, b"p")
        terminal.sees("goes on")
        os.write(terminal.master, b"s")
        terminal.sees(r"go on with o-tui evolve --resume \S+")
        assert terminal.process.wait(PATIENCE_S) == 130
        left = terminal.output.rpartition("\x1b[?1049l")[2]
        assert left.count("stopped after") == 1 and "\u2400" not in left and "\x00" not in left
    finally:
        terminal.close()


def test_a_terminal_that_asks_for_lines_gets_them(folder: Path) -> None:
    program, evaluator = user_programs.files(folder / "p")
    terminal = Terminal(folder, "evolve", str(program), str(evaluator), "--budget", "8", "--plain")
    try:
        terminal.sees("8 evaluations, ")
        assert "\x1b[?1049h" not in terminal.output
    finally:
        terminal.close()
