"""Whether the terminal is dark or light: asked by OSC 11 before the view starts, with a time-out."""

from __future__ import annotations

import os
import re
import select
import termios
import tty
from collections.abc import Mapping
from time import monotonic

QUERY = "\x1b]11;?\x1b\\\x1b[c"
"""The colour, and then a question (DA1) that every terminal answers: its answer means that no colour will come."""
TIMEOUT_S, TIMEOUT_REMOTE_S = 0.1, 0.4
_COLOR = re.compile(rb"\x1b\]11;rgba?:([0-9a-fA-F]{1,4})/([0-9a-fA-F]{1,4})/([0-9a-fA-F]{1,4})")
_END = re.compile(rb"\x1b\[\?[0-9;]*c")
_LIMIT_BYTES = 1024


def is_dark(fd_in: int, fd_out: int, *, remote: bool = False, environment: Mapping[str, str] | None = None) -> bool:
    """Asks the terminal; without an answer COLORFGBG decides, without that it counts as dark."""
    environment = os.environ if environment is None else environment
    answer = b"" if environment.get("TERM") in ("dumb", "linux") else _ask(fd_in, fd_out, remote)
    return dark_of(answer, environment)


def dark_of(answer: bytes, environment: Mapping[str, str]) -> bool:
    """The decision, from the terminal's answer (may be empty) and the environment."""
    found = _COLOR.search(answer)
    if found:
        red, green, blue = (int(part, 16) / (16 ** len(part) - 1) for part in found.groups())
        return bool(0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.5)
    last = environment.get("COLORFGBG", "").rpartition(";")[2]
    return int(last) not in (7, 15) if last.isdigit() else True


def _ask(fd_in: int, fd_out: int, remote: bool) -> bytes:
    try:
        before = termios.tcgetattr(fd_in)
    except termios.error:
        return b""
    answer = b""
    try:
        tty.setcbreak(fd_in, termios.TCSANOW)
        os.write(fd_out, QUERY.encode())
        until = monotonic() + (TIMEOUT_REMOTE_S if remote else TIMEOUT_S)
        while (left := until - monotonic()) > 0 and len(answer) < _LIMIT_BYTES and not _END.search(answer):
            if not select.select([fd_in], [], [], left)[0]:
                break
            data = os.read(fd_in, 256)
            if not data:
                break
            answer += data
    except OSError:
        return answer
    finally:
        termios.tcsetattr(fd_in, termios.TCSANOW, before)
    return answer
