"""A model writes candidates beside the operators: asked in the background, taken when it has answered.

It is shown the best program and what failed, and answers with SEARCH/REPLACE blocks, the whole block, or whole
functions. What it answers is put between the markers; everything else of the program stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Thread

from o_tui.evolution import prompting
from o_tui.evolution.portfolio import Proposal, Scored
from o_tui.programs import markers
from o_tui.programs.search import MODEL
from o_tui.protocol.errors import OError

Ask = Callable[[list[dict[str, str]]], str]
"""The guardian's model: messages in, text out. Raises OError."""
_THINKING = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL)
_TEXT_CHARS = 400
_ANSWER_CHARS = 1024 * 1024


class ModelWriter:
    """Implements `run.Writer`; one question at a time."""

    def __init__(self, ask: Ask, note: Callable[[str], None], model: str) -> None:
        self._ask = ask
        self._note = note
        self._name = f"{MODEL} {model}"
        self._asked: tuple[Scored, Future[str]] | None = None
        self._failures: list[str] = []
        self._tried: set[str] = set()
        self._silent = False

    @property
    def busy(self) -> bool:
        """See `run.Writer`."""
        return self._asked is not None and not self._asked[1].done()

    def wait(self, timeout_s: float) -> None:
        """See `run.Writer`."""
        if self._asked is not None:
            wait([self._asked[1]], timeout_s)

    def look(self, best: Scored, failures: list[str]) -> None:
        """See `run.Writer`."""
        if self._asked is None and not self._silent:
            question = question_of(best, [*failures, *self._failures[-3:]])
            self._asked = best, Future()
            # no pool: its threads are waited for when the command ends, and a model may take minutes
            Thread(target=self._answer, args=(question, self._asked[1]), daemon=True, name="model").start()

    def take(self) -> Proposal | None:
        """See `run.Writer`; an answer that is no candidate is noted, and told to the model the next time."""
        if self._asked is None or not self._asked[1].done():
            return None
        (parent, answer), self._asked = self._asked, None
        try:
            source = candidate_of(answer.result(), parent.source)
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
        return Proposal(source, self._name, (parent.id,), "written by a model")

    def close(self) -> None:
        """See `run.Writer`."""
        self._silent = True

    def _answer(self, question: list[dict[str, str]], future: Future[str]) -> None:
        try:
            future.set_result(self._ask(question))
        except Exception as error:  # noqa: BLE001 - it is raised where the answer is taken
            future.set_exception(error)


def question_of(best: Scored, failures: list[str]) -> list[dict[str, str]]:
    """What a model is asked."""
    system = (
        "You improve the marked block of a Python program so that its score rises. Answer with SEARCH/REPLACE blocks "
        "(<<<<<<< SEARCH, =======, >>>>>>> REPLACE) or with the whole new block in one ```python block."
    )
    parts = [f"The program (score {best.score:g}):\n```python\n{best.source.rstrip()}\n```"]
    parts.append("Only what stands between EVOLVE-BLOCK-START and EVOLVE-BLOCK-END may change.")
    if failures:
        parts.append("These did not work:\n" + "\n".join(f"- {text[:_TEXT_CHARS]}" for text in failures))
    return [{"role": "system", "content": system}, {"role": "user", "content": "\n\n".join(parts)}]


def candidate_of(answer: str, source: str) -> str:
    """The program with what a model answered in its block.

    Raises:
        ValueError: It is prose, half a diff, or a diff that does not apply; says which.
    """
    before, block, after = (part.decode() for part in markers.split(source.encode()))
    newline = "\r\n" if "\r\n" in block else "\n"
    text, old = _THINKING.sub("", answer[:_ANSWER_CHARS]).replace("\r\n", "\n"), block.replace("\r\n", "\n")
    if "<<<<" in text:
        new = _replaced(old, text)
    else:
        fences = _fenced(text)
        if not any(each.strip() for each in fences):
            raise ValueError("there is no code in it")
        new = _inside(max(fences, key=len))
        if markers.compiles(new):
            raise ValueError(f"its code is no Python: {markers.compiles(new)}")
        if _only_functions(new, old):
            new = prompting.splice(old, new)
    new = new if new.endswith("\n") else new + "\n"
    if new == old:
        raise ValueError("it changes nothing")
    if not new.isascii() and any("\ud800" <= each <= "\udfff" for each in new):
        raise ValueError("it is not UTF-8 text")
    return before + new.replace("\n", newline) + after


def _replaced(block: str, text: str) -> str:
    for search, replace in _pairs(text):
        if not search.strip() or block.count(search) != 1:
            raise ValueError(
                f"a diff that does not apply: {search.strip()[:60]!r} is there {block.count(search)} times"
            )
        block = block.replace(search, replace, 1)
    return block


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


def _inside(code: str) -> str:
    """A whole program's block, or the code itself where it has no markers."""
    try:
        return markers.split(code.encode()).block.decode()
    except OError:
        return code


def _only_functions(code: str, block: str) -> bool:
    """Whether a part of the block's functions came back, and not the whole block."""
    names = set(re.findall(r"(?m)^def (\w+)", code))
    return bool(names) and not set(re.findall(r"(?m)^def (\w+)", block)) <= names
