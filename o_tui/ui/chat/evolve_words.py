"""What `/evolve GENE …` asks for: a goal in words, or a file, and the options that `o-tui evolve` has for a gene."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from o_tui.ui.chat.commands import looks_like_file

_TEXTS = {"metric": "metric", "source": "origin"}
"""Options with a word, and what the guardian calls them."""
_NUMBERS = ("candidates", "population", "generations")
_DIGITS = 9
_OPTIONS = ("from", "goal", *_TEXTS, *_NUMBERS)


class OptionError(ValueError):
    """What follows a gene cannot be understood; the text is one line."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An evolution that an operator wants: of `gene`, from `file` (empty: none) or by a source, for a goal."""

    gene: str
    file: str
    goal: str
    params: dict[str, Any]


def read(rest: str, folder: Path) -> Asked:
    """What stands behind `/evolve `; the first word behind the gene may be a file in `folder`.

    Raises:
        OptionError: An option is none, or has no value that fits.
    """
    gene, _, text = rest.strip().partition(" ")
    words = iter(text.split())
    file, goal, params = "", list[str](), dict[str, Any]()
    for number, word in enumerate(words):
        if word.startswith("--") and len(word) > 2:
            name, given, value = word[2:].partition("=")
            if name == "goal":
                goal += [value] if given else []
            elif name == "from":
                file = value or _value(name, words)
            else:
                params |= _option(name, value if given else _value(name, words))
        elif number == 0 and looks_like_file(word, folder):
            file = word
        else:
            goal.append(word)
    return Asked(gene, file, " ".join(goal), params)


def _value(name: str, words: Iterator[str]) -> str:
    if name not in _OPTIONS:
        raise OptionError(f"/evolve has no --{name}; it has --{', --'.join(_OPTIONS)}")
    value = next(words, "")
    if not value or value.startswith("--"):
        raise OptionError(f"--{name} of /evolve wants a value")
    return value


def _option(name: str, value: str) -> dict[str, Any]:
    if name in _TEXTS:
        return {_TEXTS[name]: value}
    if name in _NUMBERS and value.isascii() and value.isdecimal() and len(value) <= _DIGITS:
        return {name: int(value)}
    raise OptionError(f"--{name} of /evolve wants a number" if name in _NUMBERS else f"/evolve has no --{name}")
