"""Whether a candidate may be tried at all: stages from cheap to dear, the first no ends it. Nothing is executed here.

The compiler of CPython can be made to crash, and holds the interpreter's lock: the guardian calls `validate` in a
process apart, and goes on from there with the stages that need other processes (guardian/validating.py).
"""

from __future__ import annotations

import ast
import re
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from o_tui.evolution import lint, signatures
from o_tui.evolution.attacks import Attack
from o_tui.evolution.validation import changes
from o_tui.protocol import contracts
from o_tui.protocol.safe_text import hidden

STAGES = ("size", "encoding", "compile", "contract", "imports", "danger", "changes")
"""What is read off the source alone."""
RUN = ("attacks", "probe", "tests", "smoke")
"""What runs it, in the prober."""
_COOKIE = re.compile(r"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")  # PEP 263


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: `detail` is its one line, "recall.py:3: what is wrong", or what it looked at."""

    name: str
    verdict: Literal["pass", "fail", "skip"]
    ms: float
    detail: str


@dataclass(frozen=True, slots=True)
class Validation:
    """All stages that ran.

    Attributes:
        attack: The input that a new fault was found with, for the archive.
        probed_s: CPU seconds of what ran in the prober; its stages' `ms` are time that passed.
    """

    stages: tuple[Stage, ...]
    attack: Attack | None = None
    probed_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether no stage failed."""
        return all(stage.verdict != "fail" for stage in self.stages)

    @property
    def reason(self) -> str:
        """The failed stage's line; empty where all passed."""
        return next((stage.detail for stage in self.stages if stage.verdict == "fail"), "")

    @property
    def cpu_s(self) -> float:
        """What it cost. The stages that only read wait for nothing: their time counts as it passed."""
        return self.probed_s + sum(stage.ms for stage in self.stages if stage.name not in RUN) / 1000

    def rows(self) -> list[dict[str, Any]]:
        """The stages as plain data."""
        return [asdict(stage) for stage in self.stages]


class _No(Exception):  # noqa: N818 - not an error: a stage's answer
    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


class _Candidate:
    """What one stage leaves to the next."""

    def __init__(self, gene: str, source: bytes, reference: bytes | None) -> None:
        self.gene = gene
        self.source = source
        self.text = ""
        self.tree = ast.Module([], [])
        self.reference = _tree(reference)


def validate(gene: str, source: str | bytes, reference: bytes | None = None) -> Validation:
    """Judges the source of one gene, or of any module.

    Args:
        gene: `respond`, `recall`, `remember` or `tools/<name>`; empty: a module that is no gene.
        source: Its whole module; where it is text, lone surrogates stand for bytes that are not UTF-8.
        reference: What it is to take the place of.

    Raises:
        ValueError: There is no such gene.
    """
    path = name_of(gene)
    raw = source if isinstance(source, bytes) else source.encode("utf-8", "surrogateescape")
    candidate = _Candidate(gene, raw, reference)
    checks: dict[str, Callable[[_Candidate], str]] = {
        "size": _size,
        "encoding": _encoding,
        "compile": _compile,
        "contract": _contract,
        "imports": _imports,
        "danger": _danger,
        "changes": _changes,
    }
    stages: list[Stage] = []
    for name in STAGES:
        start = time.perf_counter_ns()
        verdict: Literal["pass", "fail", "skip"] = "pass"
        try:
            detail = checks[name](candidate)
        except _No as no:
            verdict, detail = "fail", f"{path}:{no.line}: {no}" if no.line else f"{path}: {no}"
        stages.append(Stage(name, verdict, (time.perf_counter_ns() - start) / 1e6, detail))
        if verdict == "fail":
            break
    return Validation(tuple(stages))


def name_of(gene: str) -> str:
    """The file that findings name. Raises ValueError: there is no such gene."""
    return contracts.path_of(gene) if gene else "module.py"


def _tree(source: bytes | None) -> ast.Module | None:
    if source is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


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


def _compile(candidate: _Candidate) -> str:
    name = name_of(candidate.gene)
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
    if not candidate.gene:
        return _public(candidate)
    wrong = contracts.problems(candidate.gene, {name: function for name, (function, _) in found.items()})
    if wrong:
        text = wrong[0].removeprefix(f"{candidate.gene}: ")
        raise _No(found.get(text.split()[0], (None, 1))[1], text)
    names = [contract.name for contract in contracts.CONTRACTS.get(candidate.gene, ())]
    return ", ".join(names or [name for name, (function, _) in found.items() if function.tool])


def _public(candidate: _Candidate) -> str:
    """A module that is no gene offers what its reference offers."""
    if candidate.reference is None:
        return "not a gene, and nothing to compare its names with"
    offered = signatures.offered(candidate.tree)
    promised = [
        n for n in candidate.reference.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    ]
    wanted = signatures.offered(candidate.reference)
    for name, (parameters, _line) in ((n.name, wanted[n.name]) for n in promised if n.name in wanted):
        if name not in offered:
            raise _No(1, f"{name} is missing; the reference has it")
        now, line = offered[name]
        if parameters is not None and now is not None and parameters != now[: len(parameters)]:
            raise _No(line, f"{name} takes ({', '.join(now)}); the reference takes ({', '.join(parameters)})")
    return "not a gene: public names as in the reference"


def _imports(candidate: _Candidate) -> str:
    if not candidate.gene:
        return "not a gene: it may import what it likes, and runs confined"
    for line, text in lint.imports(candidate.tree, candidate.gene):
        raise _No(line, text)
    return "within the allowed modules"


def _danger(candidate: _Candidate) -> str:
    if not candidate.gene:
        return "not a gene: it runs confined"
    for line, text in lint.dangers(candidate.tree)[:1]:
        raise _No(line, text)
    return "nothing that leads out of a gene"


def _changes(candidate: _Candidate) -> str:
    if candidate.reference is None:
        return "nothing to compare with"
    for line, text in changes.faults(candidate.reference, candidate.tree):
        raise _No(line, text)
    return "; ".join(changes.remarks(candidate.reference, candidate.tree)) or "nothing is taken away"


def _line(text: str, index: int) -> int:
    return text.count("\n", 0, index) + 1
