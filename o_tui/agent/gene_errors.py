"""What went wrong inside a gene, as one safe line: the exception's type, its words, the deepest line of the genome."""

from __future__ import annotations

from types import TracebackType

from o_tui import _native
from o_tui.agent.dsl import BrainError, ToolError

LINE_LIMIT_CHARS = 300
GENOME_PREFIX = "genome:"
"""How the file names of a genome's code begin (`genome:respond.py`)."""


class GeneError(Exception):
    """A gene broke a rule of the kernel: not a step, a wrong type, too much of something."""


def describe(error: BaseException) -> str:
    """One line for `done`, the log and the deduplication of failures, harmless on a terminal."""
    try:
        words = str(error)
    except Exception:  # noqa: BLE001 - a gene's exception may have any __str__
        words = "(its text cannot be had)"
    plain = isinstance(error, GeneError | BrainError | ToolError)
    kind = "" if plain else f"{type(error).__name__}: "
    place = "" if isinstance(error, BrainError | ToolError) else _deepest(error.__traceback__)
    if isinstance(error, SyntaxError) and (error.filename or "").startswith(GENOME_PREFIX):
        place = f"{_file(error.filename or '')}:{error.lineno}"
        words = error.msg
    line = f"{kind}{words}".rstrip(": ")
    line = _native.safe_text(line, LINE_LIMIT_CHARS, keep_newlines=False)
    return f"{line} ({place})" if place else line


def _deepest(trace: TracebackType | None) -> str:
    place = ""
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename.startswith(GENOME_PREFIX):
            place = f"{_file(code.co_filename)}:{trace.tb_lineno} in {code.co_name}"
        trace = trace.tb_next
    return place


def _file(name: str) -> str:
    return name.removeprefix(GENOME_PREFIX)
