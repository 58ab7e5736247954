"""`o-tui` on a terminal of 120x40: from exec to the first text that it paints, and to the first full frame.

The guardian runs already (a first start makes it, and a genome, beside the paint). numpy must not be imported. Beside
it, in turns, a Textual app of one label: what no screen on Textual can be faster than.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from o_tui import client
from o_tui._native import process_cpu_ns
from tests.benchmarks import programs, report
from tests.benchmarks.report import Figure, median

RUNS = 10
LIMIT_S = 20.0
ROWS, COLUMNS = 40, 120
FULL = b"Chat"
"""What stands in the first full frame."""
_ESCAPES = re.compile(rb"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1bP[^\x1b]*\x1b\\|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]")
_QUESTIONS = {b"\x1b]11;?": b"\x1b]11;rgb:1111/1111/1111\x1b\\", b"\x1b[c": b"\x1b[?62;c"}


def visible(data: bytes) -> bytes:
    """What a terminal shows of it."""
    return bytes(byte for byte in _ESCAPES.sub(b"", data) if byte > 0x20 and byte != 0x7F)


BARE = f"""
from textual.app import App
from textual.widgets import Label
class Bare(App):
    def compose(self):
        yield Label({FULL.decode()!r})
Bare().run()
"""


class Paint(NamedTuple):
    """Milliseconds from exec to the first visible character and to the full frame; processor time until the first."""

    first: float
    full: float
    cpu: float


def _become(arguments: Sequence[str]) -> NoReturn:
    os.chdir(report.ROOT)
    os.environ.update(TERM="xterm-256color", COLORTERM="truecolor", LANG="C.UTF-8")
    os.environ.pop("NO_COLOR", None)
    os.execv(sys.executable, [sys.executable, *arguments])


def paint(*arguments: str) -> Paint:
    """Runs the interpreter with these arguments on a terminal; raises RuntimeError if nothing is painted."""
    started = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        _become(arguments)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", ROWS, COLUMNS, 0, 0))
    first_ms, cpu_ms, data = 0.0, 0.0, b""
    try:
        while FULL not in data:
            left_s = started + LIMIT_S - time.perf_counter()
            if left_s <= 0 or not select.select([terminal], [], [], left_s)[0]:
                raise RuntimeError(f"nothing was painted within {LIMIT_S:.0f} s: {data[-200:]!r}")
            piece = _read(terminal, data)
            data += piece
            now_ms = (time.perf_counter() - started) * 1000
            if not first_ms and visible(data):
                first_ms, cpu_ms = now_ms, process_cpu_ns(pid) / 1e6
        return Paint(first_ms, now_ms, cpu_ms)
    finally:
        _end(pid, terminal)


def _read(terminal: int, before: bytes) -> bytes:
    try:
        piece = os.read(terminal, 1 << 16)
    except OSError as error:
        raise RuntimeError(f"the screen ended: {before[-500:]!r}") from error
    for question, answer in _QUESTIONS.items():
        if question in piece:
            os.write(terminal, answer)
    return piece


def _end(pid: int, terminal: int) -> None:
    """SIGTERM, reading on so that it can say goodbye; SIGKILL after two seconds."""
    os.kill(pid, signal.SIGTERM)
    until_s = time.monotonic() + 2.0
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > until_s:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            break
        if select.select([terminal], [], [], 0.02)[0]:
            try:
                os.read(terminal, 1 << 16)
            except OSError:
                time.sleep(0.01)
    os.close(terminal)


def numpy_is_imported() -> bool:
    """By the screen's modules, in an interpreter of their own."""
    code = "import sys, o_tui.ui.app; sys.exit('numpy' in sys.modules)"
    return subprocess.run([sys.executable, "-c", code], cwd=report.ROOT, timeout=60, check=False).returncode != 0


def figures() -> list[Figure]:
    """The table's lines."""
    with programs.workspace() as paths, programs.guardian(paths):
        with client.connect(paths) as link:
            programs.until_served(link)
        screen = ("-m", "o_tui", "--data-dir", str(paths.data))
        paint(*screen)
        runs = [(paint(*screen), paint("-c", BARE)) for _ in range(RUNS)]
    first, full, cpu = (round(median([ours[at] for ours, _ in runs]), 1) for at in range(3))
    peer = round(median([bare.first for _, bare in runs]), 1)
    what = f"o-tui to first paint ({COLUMNS}x{ROWS}, the guardian runs)"
    return [
        Figure(what, first, "ms", 400, "max", "a Textual app of one label, ms", peer),
        Figure("… processor time until then", cpu, "ms"),
        Figure("… to the first full frame", full, "ms"),
        Figure("… numpy imported (0: no)", float(numpy_is_imported()), "", 0),
    ]


if __name__ == "__main__":
    report.main(figures)
