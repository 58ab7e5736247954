"""One request while it runs: a stack of suspended generators, and what it has said and proposed so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from o_tui.agent.dsl import Context, Request
from o_tui.protocol.frames import Metadata

if TYPE_CHECKING:
    from o_tui.agent.genome_loader import Genome
    from o_tui.protocol.messages import BrokerReply

STEPS_LIMIT = 20_000
"""Steps of one request."""
OPERATIONS_LIMIT = 2_000
"""Operations of one request."""
ANSWER_LIMIT_CHARS = 4 * 1024 * 1024
"""Characters of one answer."""
DEPTH_LIMIT = 8
"""Tools that call tools."""


class Task:
    """A request in hand.

    Attributes:
        stack: The gene's generator, and above it those of the tools that it called.
        started_ns: When it began (monotonic).
        said: The pieces of the answer; the first `streamed` of them have left as events.
        position: Operations proposed so far; those below `committed` were durable before this attempt.
        awaited: The position whose commit resumes it; -1: none.
        call_id: The broker's call whose reply resumes it; "": none.
        then: Makes the step's result of that reply; None: it is a model's answer.
        embedder: The model that embeds memories and queries; "": there is none.
        heard: Characters that the present call of the model has streamed.
        tool_names: The tools whose generators are on the stack above the gene's.
        result: What the generator is sent when the awaited commit has come.
        internal: The kernel's own (consolidation): nobody waits for its `done`.
    """

    __slots__ = (
        "awaited",
        "call_id",
        "calls",
        "chars",
        "committed",
        "context",
        "embedder",
        "genome",
        "heard",
        "internal",
        "metadata",
        "position",
        "request",
        "result",
        "said",
        "stack",
        "started_ns",
        "steps",
        "streamed",
        "then",
        "tool_names",
    )

    def __init__(
        self,
        request: Request,
        context: Context,
        metadata: Metadata,
        generator: Generator[Any, Any, Any],
        genome: Genome | None,
        *,
        committed: int = 0,
        embedder: str = "",
        internal: bool = False,
    ) -> None:
        self.request = request
        self.context = context
        self.metadata = metadata
        self.stack = [generator]
        self.started_ns = time.monotonic_ns()
        self.genome = genome
        self.said: list[str] = []
        self.streamed = 0
        self.chars = 0
        self.steps = 0
        self.position = 0
        self.committed = committed
        self.awaited = -1
        self.calls = 0
        self.call_id = ""
        self.then: Callable[[BrokerReply], Any] | None = None
        self.embedder = embedder
        self.heard = 0
        self.tool_names: list[str] = []
        self.result: Any = None
        self.internal = internal

    def text(self) -> str:
        """The answer so far."""
        return "".join(self.said)

    def unsent(self) -> str:
        """What has been said and not streamed yet; from here on it counts as streamed."""
        text = "".join(self.said[self.streamed :])
        self.streamed = len(self.said)
        return text

    def close(self) -> None:
        """Ends its generators; what they raise while closing is theirs."""
        for generator in reversed(self.stack):
            try:
                generator.close()
            except BaseException:  # noqa: BLE001 - the border to a gene's own code, that may raise anything
                pass
        self.stack.clear()
