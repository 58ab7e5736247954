"""What a model's answer makes of a gene: a whole module, whole functions, SEARCH/REPLACE blocks, or a unified diff.

Whatever it is not is one clear line, which is said to the model and shown to the operator.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from o_tui.evolution import prompting

LIMIT_CHARS = 1_000_000
_SEARCH = re.compile(r"[ \t]*<{5,9} ?(?:SEARCH|ORIGINAL)\b.*")
_DIVIDER = re.compile(r"[ \t]*={5,9}[ \t]*")
_REPLACE = re.compile(r"[ \t]*>{5,9} ?(?:REPLACE|UPDATED)\b.*")
_HUNK = re.compile(r"@@ .*@@.*|@@")
_SHOWN_CHARS = 80


class AnswerError(ValueError):
    """An answer that is no candidate; the text is one line that says why."""


@dataclass(frozen=True, slots=True)
class _Block:
    search: list[str]
    replace: list[str]
    line: int


def read(answer: str, gene: str, source: str) -> str:
    """The gene's new module.

    Args:
        answer: What the model said.
        gene: The gene's name.
        source: Its module as it is; empty for one that is to be written.

    Raises:
        AnswerError: There is no code in it, a block is cut off, does not apply or fits in two places, or nothing
            would change.
    """
    if len(answer) > LIMIT_CHARS:
        raise AnswerError(f"the answer has {len(answer):,} characters; at most {LIMIT_CHARS:,} are read")
    text = prompting.without_thoughts(answer).replace("\r\n", "\n")
    if not text.strip():
        raise AnswerError("the answer is empty")
    lines = text.split("\n")
    if any(_SEARCH.fullmatch(line) or _REPLACE.fullmatch(line) for line in lines):
        made = _apply(source, _blocks(lines))
    elif any(_HUNK.fullmatch(line) for line in lines):
        made = _apply(source, _hunks(lines))
    else:
        made = prompting.extract(text, gene, source)
        if not made:
            raise AnswerError("there is no Python code in the answer, only words")
    if made == source:
        raise AnswerError("nothing would change: the answer is the module as it is")
    return made


def _blocks(lines: list[str]) -> list[_Block]:
    found: list[_Block] = []
    at = 0
    while at < len(lines):
        if _REPLACE.fullmatch(lines[at]):
            raise AnswerError(f"half a block: line {at + 1} ends one that has not begun with <<<<<<< SEARCH")
        if not _SEARCH.fullmatch(lines[at]):
            at += 1
            continue
        middle = _next(lines, at + 1, _DIVIDER, "=======", at)
        end = _next(lines, middle + 1, _REPLACE, ">>>>>>> REPLACE", at)
        found.append(_Block(lines[at + 1 : middle], lines[middle + 1 : end], at + 1))
        at = end + 1
    return found


def _next(lines: list[str], start: int, pattern: re.Pattern[str], name: str, begun: int) -> int:
    for at in range(start, len(lines)):
        if pattern.fullmatch(lines[at]):
            return at
        if _SEARCH.fullmatch(lines[at]):
            break
    raise AnswerError(f"half a block: the one that begins in line {begun + 1} has no {name}")


def _hunks(lines: list[str]) -> list[_Block]:
    """The hunks of a unified diff, by what they say and not by the numbers, which models count wrongly."""
    found: list[_Block] = []
    at = 0
    while at < len(lines):
        if not _HUNK.fullmatch(lines[at]):
            at += 1
            continue
        begun, search, replace = at, [], []
        at += 1
        while at < len(lines) and (lines[at][:1] in (" ", "+", "-", "\\") or not lines[at]):
            line = lines[at]
            if line.startswith(("--- ", "+++ ")) and at + 1 < len(lines) and lines[at + 1].startswith(("+++ ", "@@")):
                break
            if not line.startswith(("+", "\\")):
                search.append(line[1:])
            if not line.startswith(("-", "\\")):
                replace.append(line[1:])
            at += 1
        while search and replace and not search[-1] and not replace[-1]:  # blank lines behind the diff
            search.pop()
            replace.pop()
        if search == replace:
            raise AnswerError(f"an empty diff: the hunk in line {begun + 1} changes nothing")
        found.append(_Block(search, replace, begun + 1))
    return found


def _apply(source: str, blocks: list[_Block]) -> str:
    lines = source.split("\n")
    for number, block in enumerate(blocks, 1):
        name = f"block {number} (line {block.line})"
        if not any(line.strip() for line in block.search):
            if source.strip():
                raise AnswerError(f"{name} does not apply: there is nothing to search for")
            lines = [*block.replace, ""]
            continue
        places = _places(lines, block.search)
        if not places:
            first = next(line for line in block.search if line.strip()).strip()
            raise AnswerError(f"{name} does not apply: the module has no such lines, from {first[:_SHOWN_CHARS]!r} on")
        if len(places) > 1:
            raise AnswerError(f"{name} does not apply: its lines are there {len(places)} times; search for more")
        lines[places[0] : places[0] + len(block.search)] = block.replace
    return "\n".join(lines)


def _places(lines: list[str], search: list[str]) -> list[int]:
    """Where the lines stand; to the byte, else with other blanks at their ends."""
    for same in (str, str.rstrip):
        wanted, known = [same(line) for line in search], [same(line) for line in lines]
        places = [at for at in range(len(known) - len(wanted) + 1) if known[at : at + len(wanted)] == wanted]
        if places:
            return places
    return []
