"""A stage for the genome's own tests: a memory, and somebody who answers the steps of a gene."""

from __future__ import annotations

from typing import Any

from o_tui.agent.dsl import Block, Context, Hit, Request, Say, Step, Steps, Together, Turn

NOW_NS = 1_795_000_000_000_000_000  # 18 November 2026


class Memory:
    """A state and a search over a few blocks, by the words that they share with a query."""

    def __init__(self, *texts: str) -> None:
        self.all = [
            Block(f"b{number}", "semantic", text, "test", time_ns=NOW_NS - number) for number, text in enumerate(texts)
        ]
        self.past: list[Turn] = []

    def find(self, text: str, n: int, **weights: float) -> list[Hit]:
        wanted = max(1, len(text.split()))
        return [Hit(hit.block, hit.score / wanted) for hit in self.lexical(text, n)]

    def lexical(self, text: str, n: int) -> list[Hit]:
        words = set(text.lower().split())
        hits = [Hit(block, float(len(words & set(block.text.lower().split())))) for block in self.all]
        return sorted((hit for hit in hits if hit.score > 0), key=lambda hit: -hit.score)[:n]

    def semantic(self, text: str, n: int) -> list[Hit]:
        return [Hit(hit.block, hit.score / 10, hit.score / 10) for hit in self.lexical(text, n)]

    def recent(self, n: int) -> list[Hit]:
        return [Hit(block, 1.0) for block in self.all[:n]]

    def turns(self, session: str, n: int = 20) -> list[Turn]:
        return self.past[-n:]

    def blocks(self, kind: str | None = None, n: int = 100) -> list[Block]:
        return [block for block in self.all if kind in (None, block.kind)][:n]

    def block(self, block_id: str) -> Block | None:
        return next((block for block in self.all if block.id == block_id), None)

    def value(self, key: str, default: Any = None) -> Any:
        return default

    def count(self) -> int:
        return len(self.all)


def play(gene: Any, text: str, *answers: Any, memory: Memory | None = None, brain: str = "") -> tuple[str, list[Step]]:
    """Runs a gene: what it said, and its steps. `answers` are the results of Recall, AskModel and CallTool in turn."""
    context = Context(memory or Memory(), brain=brain, now_ns=NOW_NS, request_id="r")
    steps: Steps = gene(Request("r", text, time_ns=NOW_NS), context)
    given = iter(answers)
    said: list[str] = []
    done: list[Step] = []
    result: Any = None
    while True:
        try:
            step = steps.send(result)
        except StopIteration:
            return "".join(said), done
        done.append(step)
        result = None
        if isinstance(step, Say):
            said.append(step.text)
        elif type(step).__name__ in ("Recall", "AskModel", "CallTool"):
            result = next(given)


def changes(steps: list[Step]) -> list[Step]:
    """What a gene wanted kept, in order."""
    return [part for step in steps if isinstance(step, Together) for part in step.steps]
