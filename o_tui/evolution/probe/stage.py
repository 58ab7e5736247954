"""What a gene is given on the bench: memories, a search over them, a conversation, and answers to its steps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

NOW_NS = 1_795_000_000_000_000_000
STEPS = 60
"""A gene that has not ended after so many steps has no end."""
_WORD = re.compile(r"\w+")


def make(rest: list[Any], words: Mapping[str, Any]) -> Any:
    """A `Search`, `StateView` or `Context` from its recipe: name, texts, model, turns."""
    name, texts, brain, turns = rest
    memory = Memory(texts, turns, words)
    if name == "Context":
        tools = [words["ToolSpec"]("calculator", "Calculates.", {"type": "object", "properties": {}})]
        return words["Context"](memory, brain=brain, now_ns=NOW_NS, request_id="r", tools=tools)
    return memory


class Memory:
    """A state and a search, always the same for the same texts."""

    def __init__(self, texts: list[str], turns: int, words: Mapping[str, Any]) -> None:
        self._words = words
        self.all = [
            words["Block"](
                f"b{number}",
                ("short_term", "semantic", "long_term")[number % 3],
                text,
                "chat",
                "",
                NOW_NS - number * 7_000_000_000_000,
                (number % 5) / 4,
                number % 3,
            )
            for number, text in enumerate(texts)
        ]
        self._turns = [
            words["Turn"](
                f"t{number}", "main", ("user", "assistant")[number % 2], f"turn {number}", NOW_NS - 1000 + number
            )
            for number in range(turns)
        ]

    def find(self, text: str, n: int, **_weights: float) -> list[Any]:
        """As `Search.find`: the best has the share of the words that it has."""
        wanted = set(_WORD.findall(text.lower()))
        return self._hits(wanted, n, max(1, len(wanted)))

    def lexical(self, text: str, n: int) -> list[Any]:
        """As `Search.lexical`."""
        return self._hits(set(_WORD.findall(text.lower())), n, 1)

    def semantic(self, text: str, n: int) -> list[Any]:
        """As `Search.semantic`, without a model."""
        return []

    def recent(self, n: int) -> list[Any]:
        """As `Search.recent`."""
        hit = self._words["Hit"]
        return [hit(block, 1.0 - place / max(1, len(self.all))) for place, block in enumerate(self.all[: max(0, n)])]

    def _hits(self, wanted: set[str], n: int, scale: int) -> list[Any]:
        hit = self._words["Hit"]
        found = [(len(wanted & set(_WORD.findall(block.text.lower()))), block) for block in self.all]
        hits = [hit(block, count / scale) for count, block in found if count]
        return sorted(hits, key=lambda each: (-each.score, each.block.id))[: max(0, n)]

    def turns(self, session: str, n: int = 20) -> list[Any]:
        """As `StateView.turns`."""
        return self._turns[-n:] if n > 0 else []

    def blocks(self, kind: str | None = None, n: int = 100, before: int = 0) -> list[Any]:
        """As `StateView.blocks`."""
        return [block for block in self.all if kind in (None, block.kind)][:n]

    def block(self, block_id: str) -> Any:
        """As `StateView.block`."""
        return next((block for block in self.all if block.id == block_id), None)

    def value(self, key: str, default: Any = None) -> Any:
        """As `StateView.value`."""
        return default

    def count(self) -> int:
        """As `StateView.count`."""
        return len(self.all)


def answer(step: Any, memory: Memory, words: Mapping[str, Any], asked: int) -> Any:
    """What the kernel would answer to a step; the model calls a tool once, and fails every fourth time."""
    name = type(step).__name__
    if name == "Recall":
        return memory.find(step.query, step.k)
    if name == "AskModel":
        if asked % 4 == 3:
            raise words["BrainError"]("the model could not answer", "timeout", True)
        calls = [words["ToolCall"]("c1", "calculator", {"expression": "1+1"})] if asked == 0 and step.tools else []
        return words["ModelAnswer"]("An answer." if asked else "", calls)
    if name == "CallTool":
        return words["ToolResult"](True, f"{step.name}: 2")
    if name == "Together":
        return [answer(part, memory, words, asked) for part in step.steps]
    return ["b-new"] if name == "Remember" else None


def play(steps: Any, memory: Memory | None, words: Mapping[str, Any]) -> list[Any]:
    """Runs a gene's steps: "steps", what it said (in however many pieces), the other steps, and "ended" if it did."""
    memory = memory or Memory([], 0, words)
    said, asked = "", 0
    done: list[Any] = []
    given: Any = None
    raised: Exception | None = None
    for _ in range(STEPS):
        try:
            step = steps.throw(raised) if raised is not None else steps.send(given)
        except StopIteration as end:
            return ["steps", said if end.value is None else f"{said}{end.value}", *done, "ended"]
        raised = None
        if type(step).__name__ == "Say":
            said += step.text
            given = None
            continue
        done.append(step)
        try:
            given = answer(step, memory, words, asked)
        except words["BrainError"] as error:
            raised = error
        asked += type(step).__name__ == "AskModel"
    return ["steps", said, *done]
