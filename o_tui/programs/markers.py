"""What of a program may change: the lines between `# EVOLVE-BLOCK-START` and `# EVOLVE-BLOCK-END`, to the byte."""

from __future__ import annotations

import ast
import re
import warnings
from typing import NamedTuple

from o_tui.protocol.errors import UsageError

SOURCE_LIMIT_BYTES = 1024 * 1024
_START = re.compile(rb"[ \t]*#[ \t]*EVOLVE-BLOCK-START\b")
_END = re.compile(rb"[ \t]*#[ \t]*EVOLVE-BLOCK-END\b")
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_HINT = "put the lines `# EVOLVE-BLOCK-START` and `# EVOLVE-BLOCK-END` around what may change"


class Parts(NamedTuple):
    """A program cut at its markers; `before` and `after` keep the marker lines."""

    before: bytes
    block: bytes
    after: bytes


def split(program: bytes, name: str = "the program") -> Parts:
    """Cuts a program at its one pair of markers.

    Raises:
        UsageError: There is no pair, or more than one; says which lines.
    """
    at, starts, ends = 0, [], []
    for number, line in enumerate(_LINE.findall(program), 1):
        if _START.match(line):
            starts.append((number, at + len(line)))
        elif _END.match(line):
            ends.append((number, at))
        at += len(line)
    if not starts and not ends:
        raise UsageError(f"{name} has no EVOLVE-BLOCK: nothing says what may change", hint=_HINT)
    if len(starts) != 1 or len(ends) != 1 or ends[0] < starts[0]:
        lines = ", ".join(str(number) for number, _ in sorted(starts + ends))
        raise UsageError(
            f"{name} must have one EVOLVE-BLOCK-START and one EVOLVE-BLOCK-END behind it; its markers: lines {lines}",
            hint="one pair around everything that may change",
        )
    start, end = starts[0][1], ends[0][1]
    return Parts(program[:start], program[start:end], program[end:])


def read(program: bytes, name: str = "the program") -> Parts:
    """The parts of a program that somebody begins with.

    Raises:
        UsageError: It is too long, not UTF-8, does not compile, or has no one block.
    """
    if len(program) > SOURCE_LIMIT_BYTES:
        raise UsageError(f"{name} has {len(program)} bytes; a program has at most {SOURCE_LIMIT_BYTES}")
    try:
        text = program.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8 text: byte {error.start}") from error
    parts = split(program, name)
    problem = compiles(text)
    if problem:
        raise UsageError(f"{name}: {problem}")
    return parts


def compiles(text: str) -> str:
    """Why a text is no Python; "" where it is. Nothing of it runs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(text.removeprefix("\ufeff"))
        except SyntaxError as error:
            return f"line {error.lineno}: {error.msg}"
        except (ValueError, RecursionError, MemoryError) as error:
            return f"it cannot be read as Python: {error}"
    return ""


def objection(original: Parts, candidate: bytes) -> str:
    """Why a candidate may not stand for the program it came from; "" where it may."""
    if len(candidate) > SOURCE_LIMIT_BYTES:
        return f"it has {len(candidate)} bytes; a program has at most {SOURCE_LIMIT_BYTES}"
    try:
        found = split(candidate, "the candidate")
        text = candidate.decode("utf-8")
    except (UsageError, UnicodeDecodeError) as error:
        return str(error)
    if found.before != original.before or found.after != original.after:
        return "it changes lines outside the EVOLVE-BLOCK"
    return compiles(text)
