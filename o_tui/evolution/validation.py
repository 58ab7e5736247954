"""Whether a candidate may be tried at all: stages from cheap to dear, the first no ends it. Nothing is executed.

The compiler of CPython can be made to crash, and holds the interpreter's lock: the guardian calls `validate` in a
process apart (guardian/validating.py).
"""

from __future__ import annotations

import ast
import re
import time
import unicodedata
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from o_tui.evolution import lint, signatures
from o_tui.protocol import contracts

STAGES = ("size", "encoding", "compile", "contract", "imports", "danger")
_COOKIE = re.compile(r"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")  # PEP 263


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: `detail` is its one line, "recall.py:3: what is wrong", or what it looked at."""

    name: str
    verdict: Literal["pass", "fail"]
    ms: float
    detail: str


@dataclass(frozen=True, slots=True)
class Validation:
    """All stages that ran."""

    stages: tuple[Stage, ...]

    @property
    def ok(self) -> bool:
        """Whether every stage passed."""
        return all(stage.verdict == "pass" for stage in self.stages)

    @property
    def reason(self) -> str:
        """The failed stage's line; empty where all passed."""
        return next((stage.detail for stage in self.stages if stage.verdict == "fail"), "")

    def rows(self) -> list[dict[str, Any]]:
        """The stages as plain data."""
        return [asdict(stage) for stage in self.stages]


class _No(Exception):  # noqa: N818 - not an error: a stage's answer
    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


class _Candidate:
    """What one stage leaves to the next."""

    def __init__(self, gene: str, source: bytes) -> None:
        self.gene = gene
        self.source = source
        self.text = ""
        self.tree = ast.Module([], [])


def validate(gene: str, source: str | bytes) -> Validation:
    """Judges the source of one gene.

    Args:
        gene: `respond`, `recall`, `remember` or `tools/<name>`.
        source: Its whole module; where it is text, lone surrogates stand for bytes that are not UTF-8.

    Raises:
        ValueError: There is no such gene.
    """
    path = contracts.path_of(gene)
    raw = source if isinstance(source, bytes) else source.encode("utf-8", "surrogateescape")
    candidate = _Candidate(gene, raw)
    checks: dict[str, Callable[[_Candidate], str]] = {
        "size": _size,
        "encoding": _encoding,
        "compile": _compile,
        "contract": _contract,
        "imports": _imports,
        "danger": _danger,
    }
    stages: list[Stage] = []
    for name in STAGES:
        start = time.perf_counter_ns()
        verdict: Literal["pass", "fail"] = "pass"
        try:
            detail = checks[name](candidate)
        except _No as no:
            verdict, detail = "fail", f"{path}:{no.line}: {no}" if no.line else f"{path}: {no}"
        stages.append(Stage(name, verdict, (time.perf_counter_ns() - start) / 1e6, detail))
        if verdict == "fail":
            break
    return Validation(tuple(stages))


def _size(candidate: _Candidate) -> str:
    size = len(candidate.source)
    if size > contracts.FILE_LIMIT_BYTES:
        raise _No(0, f"{size:,} bytes are too many; the limit is {contracts.FILE_LIMIT_BYTES:,}")
    if not candidate.source.strip():
        raise _No(0, "there is nothing in it")
    return f"{size:,} bytes"


def _encoding(candidate: _Candidate) -> str:
    try:
        text = candidate.source.decode("utf-8")
    except UnicodeDecodeError as error:
        line = candidate.source.count(b"\n", 0, error.start) + 1
        raise _No(line, f"byte 0x{candidate.source[error.start]:02x} is not UTF-8") from error
    if "\0" in text:
        raise _No(_line(text, text.index("\0")), "a NUL character")
    for index, name in hidden(text)[:1]:
        raise _No(_line(text, index), f"a character that a reviewer would not see as it is: {name}")
    for number, words in enumerate(text.split("\n")[:2], 1):
        cookie = _COOKIE.match(words)
        if cookie and cookie[1].lower().replace("_", "-") not in ("utf-8", "utf8"):
            raise _No(number, f"says that it is {cookie[1]}; a gene is UTF-8")
    candidate.text = text
    return "UTF-8"


def hidden(text: str) -> list[tuple[int, str]]:
    """Characters that deceive a reader: (index, "U+202E RIGHT-TO-LEFT OVERRIDE"), by the extension's rules."""
    try:
        from o_tui import _native
    except ImportError:  # a source tree whose extension is not built: the coarse rule
        bad = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
        kept = "\n\t"
        found = [(at, sign) for at, sign in enumerate(text) if sign not in kept and unicodedata.category(sign) in bad]
        return [(at, f"U+{ord(sign):04X} {unicodedata.name(sign, '')}".strip()) for at, sign in found]
    return _native.hidden(text)


def _compile(candidate: _Candidate) -> str:
    name = contracts.path_of(candidate.gene)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            candidate.tree = ast.parse(candidate.text, name)
            compile(candidate.tree, name, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise _No(error.lineno or 1, f"{type(error).__name__}: {error.msg}") from error
    except (RecursionError, MemoryError, OverflowError, ValueError) as error:
        raise _No(1, f"it cannot be compiled: {str(error) or type(error).__name__}") from error
    return f"{candidate.text.count(chr(10)) + 1} lines"


def _contract(candidate: _Candidate) -> str:
    found = signatures.functions(candidate.tree)
    wrong = contracts.problems(candidate.gene, {name: function for name, (function, _) in found.items()})
    if wrong:
        text = wrong[0].removeprefix(f"{candidate.gene}: ")
        raise _No(found.get(text.split()[0], (None, 1))[1], text)
    names = [contract.name for contract in contracts.CONTRACTS.get(candidate.gene, ())]
    return ", ".join(names or [name for name, (function, _) in found.items() if function.tool])


def _imports(candidate: _Candidate) -> str:
    for line, text in lint.imports(candidate.tree, candidate.gene):
        raise _No(line, text)
    return "within the allowed modules"


def _danger(candidate: _Candidate) -> str:
    for line, text in lint.dangers(candidate.tree)[:1]:
        raise _No(line, text)
    return "nothing that leads out of a gene"


def _line(text: str, index: int) -> int:
    return text.count("\n", 0, index) + 1
