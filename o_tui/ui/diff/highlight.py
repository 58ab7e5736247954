"""Highlighting that is paid for line by line: a lexer is a generator, and it runs no further than what is seen.

The text of a candidate is hostile: only lexers that are known to take linear time are used, and lines that are absurdly
long are left plain (a regular expression that backtracks would stop the screen).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import PurePosixPath

from pygments.lexer import Lexer  # type: ignore[import-untyped]
from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]
from pygments.token import _TokenType  # type: ignore[import-untyped]
from textual.highlight import HighlightTheme

Span = tuple[int, int, str]
"""Start, end (characters of the line) and a style as `textual.highlight` writes it."""

LANGUAGES = {".py": "python", ".pyi": "python", ".toml": "toml", ".json": "json", ".md": "markdown"}
_FADED = re.compile(r" \d+%")
"""A colour that is mixed with its ground may come out too pale to be read: roles of the theme do not."""
LONGEST_LINE = 500
STEP_LINES = 400


@lru_cache(maxsize=8)
def _lexer(name: str) -> Lexer:
    return get_lexer_by_name(name, stripnl=False, ensurenl=True)


@lru_cache(maxsize=512)
def _style(token: _TokenType) -> str:
    kind: _TokenType | None = token
    while kind is not None:
        if found := HighlightTheme.STYLES.get(kind):
            return _FADED.sub("", found.replace("$text 60%", "$text-muted italic"))
        kind = kind.parent
    return ""


class Highlighter:
    """One side of one hunk, highlighted from its first line on, as far as was asked."""

    def __init__(self, lines: Sequence[str], path: str) -> None:
        self._amount = len(lines)
        self._done: list[list[Span]] = []
        self._skip = 0
        language = LANGUAGES.get(PurePosixPath(path).suffix, "")
        self._tokens: Iterator[tuple[str, str]] | None = None
        if language:
            # one \n a line, whatever else is in it, so that lines are counted alike here and in the diff
            text = "\n".join(line if len(line) <= LONGEST_LINE else "" for line in lines)
            inside = language == "python" and begins_inside_string(lines)
            self._tokens = self._lex(_lexer(language), '"""\n' + text if inside else text)
            self._skip = int(inside)
        self._open: list[Span] = []

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        return self._tokens is None

    def line(self, index: int) -> list[Span] | None:
        """The spans of a line; None where the lexer has not got yet (`advance` brings it there)."""
        if index >= len(self._done):
            if self._tokens is not None and index - len(self._done) > STEP_LINES:
                return None
            self.advance(index + 1 - len(self._done))
        return self._done[index] if index < len(self._done) else []

    def advance(self, lines: int = STEP_LINES) -> None:
        """Lexes that many lines more."""
        goal = min(self._amount, len(self._done) + lines)
        while self._tokens is not None and len(self._done) < goal:
            token = next(self._tokens, None)
            if token is None:
                self._end_line()
                self._tokens = None
                return
            self._add(*token)
        if len(self._done) >= self._amount:
            self._tokens = None

    @staticmethod
    def _lex(lexer: Lexer, text: str) -> Iterator[tuple[str, str]]:
        for _, kind, value in lexer.get_tokens_unprocessed(text + "\n"):
            yield _style(kind), value

    def _add(self, style: str, value: str) -> None:
        first, *rest = value.split("\n")
        self._put(style, first)
        for part in rest:
            self._end_line()
            self._put(style, part)

    def _put(self, style: str, text: str) -> None:
        if text:
            start = self._open[-1][1] if self._open else 0
            self._open.append((start, start + len(text), style))

    def _end_line(self) -> None:
        if self._skip:
            self._skip -= 1
        else:
            self._done.append(self._open)
        self._open = []


def begins_inside_string(lines: Sequence[str]) -> bool:
    """Whether a piece of Python seems to begin in the middle of a docstring: its quotes do not pair up, and the first
    ones close rather than open.
    """
    quoted = [line.strip() for line in lines if '"""' in line]
    if sum(line.count('"""') for line in quoted) % 2 == 0:
        return False
    return quoted[0].endswith('"""') and (quoted[0] == '"""' or not quoted[0].startswith('"""'))
