"""Memories and queries get the vectors of an embedding model before they are used, where one is configured.

The vector travels in the `memory_add` operation: entries of the log are results, and a replay asks nobody. What the
model cannot embed just now is kept and found by its words alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from o_tui.protocol import messages
from o_tui.protocol.operations import MemoryAdd, Operation

if TYPE_CHECKING:
    from o_tui.agent.kernel import Kernel
    from o_tui.agent.tasks import Task

TEXTS = 16
"""Texts of one call."""
_TEXT_CHARS = 8_000
"""So much of a text is embedded: what most models read at the most."""

Use = Callable[[Sequence[bytes]], Any]
"""Goes on with the vectors, one a text (empty: none was to be had); returns what the gene's step results in."""


def with_vectors(kernel: Kernel, task: Task, planned: list[Operation], go: Callable[[list[Operation]], Any]) -> Any:
    """`go(planned)`, in which every new memory has its vector; WAIT while the model is asked for them."""
    first = max(0, task.committed - task.position)  # what is durable already has its vector
    bare = [at for at, each in enumerate(planned) if at >= first and isinstance(each, MemoryAdd) and not each.vector]
    if not task.embedder or not bare:
        return go(planned)

    def use(vectors: Sequence[bytes]) -> Any:
        filled = list(planned)
        for at, vector in zip(bare, vectors, strict=True):
            filled[at] = msgspec.structs.replace(filled[at], vector=vector, embedder=task.embedder if vector else "")
        return go(filled)

    return embed(kernel, task, [_text(planned[at]) for at in bare], use)


def _text(operation: Operation) -> str:
    assert isinstance(operation, MemoryAdd)
    return operation.text


def embed(kernel: Kernel, task: Task, texts: Sequence[str], use: Use) -> Any:
    """Asks the model for the vectors of texts, `TEXTS` at a time, then goes on with `use`; WAIT."""
    vectors: list[bytes] = []

    def ask() -> Any:
        part = [text[:_TEXT_CHARS] for text in texts[len(vectors) : len(vectors) + TEXTS]]
        return kernel.ask_broker(task, "llm.embed", {"texts": part}, lambda reply: answered(reply, len(part)))

    def answered(reply: messages.BrokerReply, count: int) -> Any:
        found = reply.data.get("vectors") if reply.state == "done" else None
        if not isinstance(found, list) or len(found) != count or not all(isinstance(each, bytes) for each in found):
            return use([*vectors, *_without(kernel, reply, len(texts) - len(vectors))])
        kernel.embeds = True
        vectors.extend(found)
        return ask() if len(vectors) < len(texts) else use(vectors)

    return ask()


def _without(kernel: Kernel, reply: messages.BrokerReply, count: int) -> list[bytes]:
    """The rest gets no vectors; that is said once, until the model answers again."""
    if kernel.embeds:
        kernel.embeds = False
        why = str(reply.data.get("error", "its answer cannot be read"))[:300]
        kernel.log("warning", f"memories get no embedding just now, they are found by their words: {why}")
    return [b""] * count
