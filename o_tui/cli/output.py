"""What commands print: JSON for scripts, or text for people. All foreign text is made harmless on its way."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

import msgspec

from o_tui.protocol.safe_text import safe, safe_line

_NONCHARACTERS = "".join(chr(plane + low) for plane in range(0, 0x110000, 0x10000) for low in (0xFFFE, 0xFFFF))
_UNSEEN = re.compile(
    "[\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U00013430-\U0001343f\U00016fe4\U0001bca0-\U0001bca3\U0001d159"
    f"\U0001d173-\U0001d17a\U000e0000-\U000e0fff{_NONCHARACTERS}]"
)
"""Characters that command a terminal, turn a line around or are not seen; JSON can write them as what they are."""
_BOLD, _DIM, _RED, _GREEN = "1", "2", "31", "32"


class Output:
    """stdout is data, stderr is talk."""

    def __init__(self, json: bool, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        self.json = json
        self._out = stdout or sys.stdout
        self._err = stderr or sys.stderr
        plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
        self._colours = not plain and self._out.isatty()

    def value(self, value: Any) -> None:
        """One JSON object on a line; what a terminal would obey, or nobody would see, is written as an escape."""
        line = _UNSEEN.sub(lambda found: json.dumps(found[0])[1:-1], msgspec.json.encode(value).decode())
        self._out.write(line + "\n")
        self._out.flush()

    def line(self, text: str = "") -> None:
        """One line of text for people; line feeds and whatever moves a cursor are made visible."""
        self._out.write(safe_line(text, 0) + "\n")

    def text(self, text: str) -> None:
        """Foreign text of any number of lines."""
        self._out.write(safe(text) + ("" if text.endswith("\n") else "\n"))

    def raw(self, data: bytes) -> None:
        """A program's own output: unchanged where it is read by a program, made harmless on a terminal."""
        if self._out.isatty():
            self._out.write(safe(data.decode("utf-8", "replace")))
        else:
            self._out.flush()
            self._out.buffer.write(data)
        self._out.flush()

    def flush(self) -> None:
        """Nothing waits: for what is watched while it happens."""
        self._out.flush()

    def part(self, text: str) -> None:
        """A part of a text that streams."""
        self._out.write(safe(text))
        self._out.flush()

    def title(self, text: str) -> None:
        """A line in bold."""
        self._styled(text, _BOLD)

    def good(self, text: str) -> None:
        """A line in green: the words say it too."""
        self._styled(text, _GREEN)

    def bad(self, text: str) -> None:
        """A line in red: the words say it too."""
        self._styled(text, _RED)

    def faint(self, text: str) -> None:
        """A line of little weight."""
        self._styled(text, _DIM)

    def diff(self, text: str) -> None:
        """A diff, coloured by its first columns."""
        for line in text.splitlines():
            head = line[:2]
            if head in ("++", "--"):
                self.title(line)
            elif head.startswith("@@"):
                self.faint(line)
            elif head.startswith("+"):
                self.good(line)
            elif head.startswith("-"):
                self.bad(line)
            else:
                self.line(line)

    @property
    def is_live(self) -> bool:
        """stderr is a terminal on which a line can be written anew."""
        return self._err.isatty() and os.environ.get("TERM", "dumb") != "dumb"

    def status(self, text: str) -> None:
        """Writes the line anew that says what is being done, where that is possible; empty: takes it away."""
        if self.is_live:
            self._out.flush()
            width = shutil.get_terminal_size().columns - 1
            self._err.write(f"\r\033[K{safe_line(text, 0)[:width]}")
            self._err.flush()

    def note(self, text: str, end: str = "\n") -> None:
        """A line on stderr. Where it is not taken (a full disk) the command goes on: talk is not what it is for."""
        self._out.flush()
        try:
            self._err.write(safe_line(text, 0) + end)
            self._err.flush()
        except OSError:
            let_go_of(self._err)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str = "nothing") -> None:
        """Columns of text; the last one is not padded."""
        cells: list[list[str]] = [[safe_line("" if cell is None else str(cell)) for cell in row] for row in rows]
        if not cells:
            self.faint(empty)
            return
        widths = [max(len(name), *(len(row[at]) for row in cells)) for at, name in enumerate(columns)]
        self._styled(_joined(columns, widths), _BOLD)
        for row in cells:
            self._out.write(_joined(row, widths) + "\n")

    def pairs(self, rows: Iterable[tuple[str, object]]) -> None:
        """Names and values."""
        found = [(safe_line(name), safe_line("" if value is None else str(value), 0)) for name, value in rows]
        width = max((len(name) for name, _ in found), default=0)
        for name, value in found:
            self._out.write(f"{name:<{width}}  {value}".rstrip() + "\n")

    def _styled(self, text: str, style: str) -> None:
        line = safe_line(text, 0)
        self._out.write(f"\033[{style}m{line}\033[0m\n" if self._colours else line + "\n")


def let_go_of(stream: TextIO) -> None:
    """What could not be written is not tried again when the interpreter ends: it would have an exit code of its own."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _joined(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def when(time_ns: int) -> str:
    """Local date and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time_ns / 1e9)) if time_ns else ""


def iso(time_ns: int) -> str:
    """UTC, ISO 8601, for JSON; empty for 0."""
    if not time_ns:
        return ""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time_ns // 10**9)) + f".{time_ns // 10**6 % 1000:03d}Z"


def with_time(row: dict[str, Any]) -> dict[str, Any]:
    """The row with `time` (ISO) beside its `time_ns`."""
    return row | {"time": iso(int(row.get("time_ns") or 0))}


def size(number: int | float | None) -> str:
    """Bytes, for people."""
    if number is None:
        return ""
    value = float(number)
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return ""


def short(name: str | None) -> str:
    """The first 12 characters of a digest or an id."""
    return (name or "")[:12]
