"""What people see: harmless, readable, without colour where none is wanted."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from o_tui.cli.output import Output, iso, short, size, when, with_time
from o_tui.protocol.safe_text import safe
from tests.support.patience import PATIENCE_S

EVIL = "a\x1b[31mred\x1b]0;title\x07\u202eevil\u200b\r\nb"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def output(**fields: bool) -> tuple[Output, io.StringIO]:
    stream = Terminal()
    return Output(fields.get("json", False), stream, stream), stream


@pytest.mark.parametrize("how", ["line", "title", "good", "bad", "faint", "note"])
def test_one_line_stays_one_harmless_line(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out, stream = output()
    getattr(out, how)(EVIL)
    text = stream.getvalue()
    assert text.count("\n") == 1 and text.endswith("\n")
    assert not set(text) & set("\x1b\x07\u202e\u200b\r")


def test_texts_tables_and_pairs_are_harmless_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out, stream = output()
    out.text(EVIL)
    out.part(EVIL)
    out.table(("A", "B"), [(EVIL, 1), (None, EVIL)])
    out.pairs([("key", EVIL)])
    out.diff(f"+{EVIL}\n-{EVIL}\n@@ {EVIL}")
    assert not set(stream.getvalue()) & set("\x1b\x07\u202e\u200b\r")


def test_json_hides_nothing_and_commands_nothing() -> None:
    everything = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    unseen = {c for c in everything if c != "\n" and c != "\t" and re.search("<U\\+|[\u2400-\u2421]", safe(f"a{c}b"))}
    unseen -= {chr(code) for code in range(0x2400, 0x2422)}
    out, stream = output(json=True)
    out.value({"text": "".join(everything), EVIL: EVIL})
    line = stream.getvalue()
    assert line.endswith("}\n") and not unseen & set(line.removesuffix("\n"))
    assert json.loads(line) == {"text": "".join(everything), EVIL: EVIL}


def test_colours_only_on_a_terminal_that_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    out, stream = output()
    out.good("fine")
    assert stream.getvalue() == "\x1b[32mfine\x1b[0m\n"
    plain = io.StringIO()
    Output(False, plain, plain).good("fine")
    assert plain.getvalue() == "fine\n"
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        monkeypatch.setenv(name, value)
        out, stream = output()
        out.good("fine")
        assert stream.getvalue() == "fine\n"
        monkeypatch.delenv("NO_COLOR", raising=False)


def test_a_table_is_aligned_and_says_when_it_is_empty() -> None:
    stream = io.StringIO()
    out = Output(False, stream, stream)
    out.table(("ID", "TEXT"), [("1", "one"), ("200", "two")])
    out.table(("ID",), [], "there is none")
    assert stream.getvalue() == "ID   TEXT\n1    one\n200  two\nthere is none\n"


def test_json_is_one_line_of_utf8_as_it_is() -> None:
    out, stream = output(json=True)
    out.value({"text": "é" + EVIL})
    assert stream.getvalue().count("\n") == 1
    assert json.loads(stream.getvalue())["text"] == "é" + EVIL
    assert "é" in stream.getvalue()


def test_json_hands_a_terminal_nothing_that_it_would_obey_and_stays_equal() -> None:
    unseen = "\x7f\x9b\u200b\u200f\u202a\u202e\u2066\u2069\ufeff"
    out, stream = output(json=True)
    out.value({unseen: "\\" + unseen})
    assert json.loads(stream.getvalue()) == {unseen: "\\" + unseen}
    assert not set(stream.getvalue()) & set(unseen)


def test_formats() -> None:
    assert [size(value) for value in (None, 0, 999, 1500, 2_500_000, 3e12)] == [
        "",
        "0 B",
        "999 B",
        "1.5 KB",
        "2.5 MB",
        "3000.0 GB",
    ]
    assert iso(1_700_000_000_123_456_789) == "2023-11-14T22:13:20.123Z"
    assert (iso(0), when(0), short(None), short("0123456789abcdef")) == ("", "", "", "0123456789ab")
    assert with_time({"time_ns": 0}) == {"time_ns": 0, "time": ""}


def test_a_programs_own_output_is_unchanged_in_a_pipe_and_harmless_on_a_terminal() -> None:
    terminal = Terminal()
    Output(False, terminal, io.StringIO()).raw(b"\x1b[2Jcaf\xc3\xa9\xff\n")
    assert "\x1b" not in terminal.getvalue() and "café" in terminal.getvalue()
    bytes_out = io.BytesIO()
    pipe = io.TextIOWrapper(bytes_out, encoding="utf-8")
    out = Output(False, pipe, io.StringIO())
    out.line("before")
    out.raw(b"\x1b[2J\xff\x00\n")
    assert bytes_out.getvalue() == b"before\n\x1b[2J\xff\x00\n"


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """A command line of `o-tui`, by a shell that redirects."""
    return subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m o_tui {line}"], capture_output=True, text=True, timeout=PATIENCE_S
    )


@pytest.mark.parametrize("words", ["version", "version --json", "help"])
def test_output_that_a_full_disk_does_not_take_is_one_line_and_a_code(words: str) -> None:
    done = shell(f"{words} >/dev/full")
    assert (done.returncode, done.stderr) == (69, "o-tui: No space left on device\n")


def test_an_error_that_nobody_can_be_told_has_its_code() -> None:
    assert shell("version --no-such 2>/dev/full").returncode == 2
    assert shell("version --no-such 2>&-").returncode == 2


def test_talk_that_a_full_disk_does_not_take_ends_no_command(folder: Path) -> None:
    # it says that it starts a guardian, which nobody hears
    done = shell(f"status --json --data-dir {folder} 2>/dev/full")
    assert (done.returncode, json.loads(done.stdout)["pending"]) == (0, 0)
    assert shell(f"show none --data-dir {folder} 2>/dev/full").returncode == 3


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_standard_stream_is_an_empty_one(closed: str) -> None:
    done = shell(f"version {closed}")
    assert (done.returncode, done.stderr) == (0, "")
    assert (">&-" in closed.replace("2>&-", "")) == (done.stdout == "")


def test_an_argument_of_any_length_makes_a_short_line() -> None:
    done = shell(f"version --{'x' * 50_000}")
    assert done.returncode == 2 and len(done.stderr) < 3000 and "o-tui version --help" in done.stderr
