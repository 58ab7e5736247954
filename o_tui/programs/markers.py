"""What of a program may change: the lines between `# EVOLVE-BLOCK-START` and `# EVOLVE-BLOCK-END`, to the byte.

A program may have several such blocks; the text before, between and behind them stays as it is.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from o_tui.protocol.errors import UsageError

SOURCE_LIMIT_BYTES = 1024 * 1024
_START = re.compile(rb"(?:\xef\xbb\xbf)?[ \t]*#[ \t]*EVOLVE-BLOCK-START\b")
_END = re.compile(rb"[ \t]*#[ \t]*EVOLVE-BLOCK-END\b")
"""A marker may stand in the first line, behind a byte order mark."""
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_HINT = "put the lines `# EVOLVE-BLOCK-START` and `# EVOLVE-BLOCK-END` around what may change"


class Parts(NamedTuple):
    """A program cut at its markers.

    Attributes:
        outside: What stays, marker lines and all: before, between and behind the blocks.
        blocks: What may change.
    """

    outside: tuple[bytes, ...]
    blocks: tuple[bytes, ...]

    def joined(self, blocks: Sequence[bytes]) -> bytes:
        """The program with other blocks."""
        return self.outside[0] + b"".join(block + after for block, after in zip(blocks, self.outside[1:], strict=True))


def split(program: bytes, name: str = "the program") -> Parts:
    """Cuts a program at its pairs of markers.

    Raises:
        UsageError: There is none, or one that is no pair; says which lines.
    """
    at, edges, paired = 0, [0], True
    lines: list[int] = []
    for number, line in enumerate(_LINE.findall(program), 1):
        start, end = _START.match(line), _END.match(line)
        if start or end:
            paired = paired and bool(end) == len(lines) % 2
            edges.append(at + len(line) if start else at)
            lines.append(number)
        at += len(line)
    if not lines:
        raise UsageError(f"{name} has no EVOLVE-BLOCK: nothing says what may change", hint=_HINT)
    if not paired or len(lines) % 2:
        told = ", ".join(map(str, lines))
        raise UsageError(
            f"each EVOLVE-BLOCK-START of {name} must have one EVOLVE-BLOCK-END behind it; its markers: lines {told}",
            hint="one pair around each part that may change",
        )
    pieces = [program[start:end] for start, end in pairwise([*edges, len(program)])]
    return Parts(tuple(pieces[::2]), tuple(pieces[1::2]))


def read(program: bytes, name: str = "the program") -> Parts:
    """The parts of a program that somebody begins with.

    Raises:
        UsageError: It is too long, not UTF-8, does not compile, or has no block.
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
            return f"line {error.lineno}: {error.msg}" if error.lineno else f"it cannot be read as Python: {error.msg}"
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
    if found.outside != original.outside:
        return "it changes lines outside the EVOLVE-BLOCK"
    return compiles(text)
