"""Small things done to text."""

from __future__ import annotations

import re
import textwrap
from typing import Literal

from o_tui.agent.dsl import tool

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


@tool
def count_text(text: str) -> str:
    """Counts the words, characters, sentences and lines of a text.

    Args:
        text: The text.
    """
    words = len(_WORD.findall(text))
    sentences = len(re.findall(r"[^.!?…]+[.!?…]+|[^.!?…]*\w[^.!?…]*$", text))
    counts = {"word": words, "character": len(text), "sentence": sentences, "line": len(text.splitlines())}
    return ", ".join(f"{count:,} {name}{'' if count == 1 else 's'}" for name, count in counts.items())


@tool
def change_text(text: str, how: Literal["upper", "lower", "title", "reverse", "sort lines", "unique lines"]) -> str:
    """Changes a text.

    Args:
        text: The text.
        how: What to do with it.
    """
    lines = text.splitlines()
    changes = {
        "upper": text.upper,
        "lower": text.lower,
        "title": text.title,
        "reverse": lambda: text[::-1],
        "sort lines": lambda: "\n".join(sorted(lines, key=str.casefold)),
        "unique lines": lambda: "\n".join(dict.fromkeys(lines)),
    }
    return changes[how]()


@tool
def wrap_text(text: str, width: int = 80) -> str:
    """Breaks the lines of a text anew.

    Args:
        text: The text; blank lines part its paragraphs.
        width: Longest line, 20 to 200 characters.
    """
    width = max(20, min(200, width))
    return "\n\n".join(textwrap.fill(" ".join(part.split()), width) for part in re.split(r"\n\s*\n", text.strip()))
