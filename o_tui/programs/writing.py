"""A model writes candidates beside the operators: asked in the background, taken when it has answered.

It is shown the best program and what failed, and answers with SEARCH/REPLACE blocks, the whole block, whole functions
or the whole program. What it answers is put between the markers; everything else of the program stays as it is.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from threading import Thread

from o_tui.evolution import prompting
from o_tui.evolution.portfolio import Proposal, Scored
from o_tui.programs import markers
from o_tui.programs.search import MODEL
from o_tui.protocol.errors import OError


@dataclass(frozen=True, slots=True)
class Written:
    """What a model has answered, and how many tokens the question and it took; 0: it does not say."""

    text: str
    tokens: int = 0


Ask = Callable[[list[dict[str, str]]], Written]
"""The guardian's model: messages in, its answer out. Raises OError."""
_DEFINED = re.compile(r"(?m)^def (\w+)")
_TEXT_CHARS = 400
_ANSWER_CHARS = 1024 * 1024


class ModelWriter:
    """Implements `run.Writer`; one question at a time."""

    def __init__(self, ask: Ask, note: Callable[[str], None], model: str) -> None:
        self._ask = ask
        self._note = note
        self._name = f"{MODEL} {model}"
        self._asked: tuple[Scored, str, Future[Written]] | None = None
        self._failures: list[str] = []
        self._tried: set[str] = set()
        self.tokens = 0
        self._silent = False

    @property
    def busy(self) -> bool:
        """See `run.Writer`."""
        return self._asked is not None and not self._asked[-1].done()

    def wait(self, timeout_s: float) -> None:
        """See `run.Writer`."""
        if self._asked is not None:
            wait([self._asked[-1]], timeout_s)

    def look(self, best: Scored, failures: list[str]) -> None:
        """See `run.Writer`."""
        if self._asked is None and not self._silent:
            question = question_of(best, [*failures, *self._failures[-3:]])
            digest = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()
            self._asked = best, digest, Future()
            # no pool: its threads are waited for when the command ends, and a model may take minutes
            Thread(target=self._answer, args=(question, self._asked[-1]), daemon=True, name="model").start()

    def take(self) -> Proposal | None:
        """See `run.Writer`; an answer that is no candidate is noted, and told to the model the next time."""
        if self._asked is None or not self._asked[-1].done():
            return None
        (parent, digest, answer), self._asked = self._asked, None
        try:
            written = answer.result()
            self.tokens += written.tokens
            source = candidate_of(written.text, parent.source)
            if source in self._tried:
                raise ValueError("it was tried before")
        except OError as error:
            self._silent = True
            self._note(f"the model writes nothing more: {error}; the operators go on")
            return None
        except ValueError as error:
            self._failures.append(f"an answer: {error}")
            self._note(f"the model's answer was no candidate: {error}")
            return None
        self._tried.add(source)
        detail = f"written by a model: {written.tokens:,} tokens, prompt {digest[:12]}"
        return Proposal(source, self._name, (parent.id,), detail)

    def close(self) -> None:
        """See `run.Writer`."""
        if not self._silent and self.tokens:
            self._note(f"the model has used {self.tokens:,} tokens")
        self._silent = True

    def _answer(self, question: list[dict[str, str]], future: Future[Written]) -> None:
        try:
            future.set_result(self._ask(question))
        except Exception as error:  # noqa: BLE001 - it is raised where the answer is taken
            future.set_exception(error)


def question_of(best: Scored, failures: list[str]) -> list[dict[str, str]]:
    """What a model is asked."""
    several = len(markers.split(best.source.encode()).blocks) > 1
    block, whole = ("blocks", "program") if several else ("block", "block")
    system = (
        f"You improve the marked {block} of a Python program so that its score rises. Answer with SEARCH/REPLACE "
        f"blocks (<<<<<<< SEARCH, =======, >>>>>>> REPLACE) or with the whole new {whole} in one ```python block."
    )
    parts = [f"The program (score {best.score:g}):\n```python\n{best.source.rstrip()}\n```"]
    parts.append("Only what stands between EVOLVE-BLOCK-START and EVOLVE-BLOCK-END may change.")
    if failures:
        parts.append("These did not work:\n" + "\n".join(f"- {text[:_TEXT_CHARS]}" for text in failures))
    return [{"role": "system", "content": system}, {"role": "user", "content": "\n\n".join(parts)}]


def candidate_of(answer: str, source: str) -> str:
    """The program with what a model answered in its blocks.

    Raises:
        ValueError: It is prose, half a diff, or a diff that does not apply; says which.
    """
    parts = markers.split(source.encode())
    old = [block.decode().replace("\r\n", "\n") for block in parts.blocks]
    text = prompting.without_thoughts(answer[:_ANSWER_CHARS]).replace("\r\n", "\n")
    new = _replaced(old, text) if "<<<<" in text else _written(old, text)
    new = [block if not block or block.endswith("\n") else block + "\n" for block in new]
    if new == old:
        raise ValueError("it changes nothing")
    if any("\ud800" <= each <= "\udfff" for block in new if not block.isascii() for each in block):
        raise ValueError("it is not UTF-8 text")
    ends = ["\r\n" if b"\r\n" in (block or parts.outside[0]) else "\n" for block in parts.blocks]
    program = parts.joined([block.replace("\n", end).encode() for block, end in zip(new, ends, strict=True)]).decode()
    if problem := markers.compiles(program):
        raise ValueError(f"its code is no Python: {problem}")
    return program


def _replaced(blocks: list[str], text: str) -> list[str]:
    """The blocks after SEARCH/REPLACE; what is searched for must be there once, in any of them."""
    new = list(blocks)
    for search, replace in _pairs(text):
        times = [block.count(search) for block in new]
        if not search.strip() or sum(times) != 1:
            raise ValueError(f"a diff that does not apply: {search.strip()[:60]!r} is there {sum(times)} times")
        at = times.index(1)
        new[at] = new[at].replace(search, replace, 1)
    return new


def _written(blocks: list[str], text: str) -> list[str]:
    """The blocks as an answer writes them: a whole program with its markers, functions, or the one block itself."""
    code = max(_fenced(text), key=len, default="")
    if not code.strip():
        raise ValueError("there is no code in it")
    given = _blocks_of(code)
    if given and len(given) != len(blocks):
        raise ValueError(f"it has {len(given)} EVOLVE-BLOCKs, the program {len(blocks)}")
    if not given and _only_functions(code, blocks):
        return _spliced(blocks, code)
    if not given and len(blocks) > 1:
        raise ValueError(f"it does not say which of the {len(blocks)} EVOLVE-BLOCKs it is: their markers are missing")
    return given or [prompting.joined(blocks[0], code)]


def _spliced(blocks: list[str], code: str) -> list[str]:
    """Each function where one of its name stands; a new one in the block of the one before it."""
    new, at = list(blocks), 0
    for name, text in prompting.pieces_of(code):
        at = next((n for n, block in enumerate(blocks) if name in dict(prompting.pieces_of(block))), at)
        new[at] = prompting.splice(new[at], text)
    return new


def _pairs(text: str) -> list[tuple[str, str]]:
    """The SEARCH/REPLACE blocks, line by line: a pattern would take for ever over a hostile answer."""
    found: list[tuple[str, str]] = []
    search: list[str] | None = None
    replace: list[str] | None = None
    for line in text.splitlines(keepends=True):
        if line.startswith("<<<<<") and "SEARCH" in line:
            if search is not None:
                break
            search = []
        elif search is not None and replace is None and line.startswith("====="):
            replace = []
        elif search is not None and replace is not None and line.startswith(">>>>>") and "REPLACE" in line:
            found.append(("".join(search), "".join(replace)))
            search = replace = None
        elif replace is not None:
            replace.append(line)
        elif search is not None:
            search.append(line)
    if search is not None or not found:
        raise ValueError("half a diff: a SEARCH without its REPLACE")
    return found


def _fenced(text: str) -> list[str]:
    """What stands in fences; one that is never closed reaches to the end."""
    found: list[str] = []
    inside: list[str] | None = None
    for line in text.splitlines(keepends=True):
        if line.startswith("```"):
            if inside is None:
                inside = []
                continue
            if not line[3:].strip():
                found.append("".join(inside))
                inside = None
                continue
        if inside is not None:
            inside.append(line)
    return found if inside is None else [*found, "".join(inside)]


def _blocks_of(code: str) -> list[str]:
    """A whole program's blocks; none where it has no markers."""
    try:
        return [block.decode() for block in markers.split(code.encode()).blocks]
    except OError:
        return []


def _only_functions(code: str, blocks: list[str]) -> bool:
    """Whether functions came back, and not the whole of the one block."""
    names = set(_DEFINED.findall(code))
    return bool(names) and (len(blocks) > 1 or not set(_DEFINED.findall(blocks[0])) <= names)
