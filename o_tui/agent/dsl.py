"""The words that genes are written in. A gene imports this module, its neighbours and a little of the standard library.

A gene says *what* is to happen by yielding steps; the kernel does it and sends back the result:

    def respond(request: Request, context: Context) -> Steps:
        hits = yield Recall(request.text, 5)
        yield Say(f"I know {len(hits)} things about that.")

Steps are pure data, so a gene can be replayed, compared and measured without anything happening twice.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from o_tui.protocol.operations import (
    BlockKind,
    MemoryAdd,
    MemoryRemove,
    MemoryUpdate,
    Operation,
    StateUpdate,
    TurnAdd,
)

__all__ = [
    "Apply",
    "AskModel",
    "Block",
    "BlockKind",
    "BrainError",
    "CallTool",
    "Change",
    "Context",
    "Hit",
    "MemoryAdd",
    "MemoryRemove",
    "MemoryUpdate",
    "ModelAnswer",
    "Notice",
    "Operation",
    "Recall",
    "Record",
    "Remember",
    "Request",
    "Say",
    "Search",
    "StateUpdate",
    "StateView",
    "Step",
    "Steps",
    "Together",
    "ToolCall",
    "ToolError",
    "ToolResult",
    "ToolSpec",
    "Turn",
    "TurnAdd",
    "tool",
]


# --- what a gene is given


class Request(msgspec.Struct, frozen=True):
    """What somebody wants. `time_ns` (UTC) is when it was sent: a gene's only clock."""

    id: str
    text: str
    kind: str = "chat"
    session: str = "main"
    time_ns: int = 0


class Block(msgspec.Struct, frozen=True):
    """One memory. `importance` is 0 to 1, `accesses` how often it was recalled, `time_ns` UTC."""

    id: str
    kind: BlockKind
    text: str
    source: str = ""
    context: str = ""
    time_ns: int = 0
    importance: float = 0.5
    accesses: int = 0


class Hit(msgspec.Struct, frozen=True):
    """A memory that was found. A higher score is a better one; `similarity` is the cosine, where it was measured."""

    block: Block
    score: float
    similarity: float = 0.0


class Turn(msgspec.Struct, frozen=True):
    """One turn of a conversation."""

    id: str
    session: str
    role: Literal["user", "assistant", "tool"]
    text: str
    time_ns: int


class ToolSpec(msgspec.Struct, frozen=True):
    """A tool as a model sees it; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: dict[str, Any]


class ToolCall(msgspec.Struct, frozen=True):
    """A model wants a tool called."""

    id: str
    name: str
    arguments: dict[str, Any]


class ToolResult(msgspec.Struct, frozen=True):
    """What a tool said; not `ok`: the text is the error."""

    ok: bool
    text: str


class ModelAnswer(msgspec.Struct, frozen=True):
    """What a model said. Its text has been streamed out already."""

    text: str
    tool_calls: list[ToolCall] = []
    usage: dict[str, Any] = {}
    model: str = ""


class BrainError(Exception):
    """The model could not answer (raised where `AskModel` was yielded).

    Attributes:
        kind: auth, timeout, refused, garbage, cut, overflow, http, or diverged (a shadow asked what main did not).
        retryable: Trying again may help.
    """

    def __init__(self, message: str, kind: str = "http", retryable: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.retryable = retryable


class ToolError(Exception):
    """Raised by a tool that cannot do what it was asked; the message is its result, and for people to read."""


class Search(Protocol):
    """Memory, for the gene `recall`. Every list is best first; scores of one list can be compared with each other."""

    def find(
        self,
        text: str,
        n: int,
        *,
        context: float = 0.5,
        source: float = 0.5,
        neighbour: float = 0.5,
        repeats: float = 1.2,
        length: float = 0.75,
        coverage: float = 0.7,
        meaning: float = 0.0,
    ) -> list[Hit]:
        """The `n` best by words and meaning in one call. All words of `text` count, so leave out what says nothing.

        A memory's score is BM25 (stemmed) of its text and, each by its weight, of its `context`, its `source` and the
        texts of its `neighbour`s (the two before and the two after it in its conversation). The scores are scaled so
        that the best one is the share of the words that it has.

        `repeats` (k1) is how late a repeated word counts no more, `length` (b) how much long memories are held back,
        `coverage` how much of a score depends on how many of the words are there; the last two are 0 to 1. `meaning`,
        0 to 1, is the share of the cosine of the embeddings; without an embedding model it is 0.
        """
        ...

    def lexical(self, text: str, n: int) -> list[Hit]:
        """The `n` best by words (BM25 over text, context and source; stemmed); scores are positive."""
        ...

    def semantic(self, text: str, n: int) -> list[Hit]:
        """The `n` nearest by embedding; the score is the cosine. None without an embedding model."""
        ...

    def recent(self, n: int) -> list[Hit]:
        """The `n` newest; the score counts down from 1."""
        ...


class StateView(Protocol):
    """The agent's state, to read."""

    def turns(self, session: str, n: int = 20) -> list[Turn]:
        """The last `n` turns of a session, oldest first."""
        ...

    def blocks(self, kind: BlockKind | None = None, n: int = 100) -> list[Block]:
        """The `n` newest memories, newest first."""
        ...

    def block(self, block_id: str) -> Block | None:
        """One memory."""
        ...

    def value(self, key: str, default: Any = None) -> Any:
        """A value that was stored with `StateUpdate`."""
        ...

    def count(self) -> int:
        """How many memories there are."""
        ...


class Context:
    """What a gene may look at while it handles a request.

    Attributes:
        brain: The model that answers, "" in offline mode.
        now_ns: The request's time (UTC).
        prompts: The genome's `prompts/*.md`, by name without the suffix.
        tools: Every tool that can be called.
        state: The agent's state, read-only.
        version: The genome's version; `revision` its commit.
    """

    __slots__ = ("brain", "now_ns", "prompts", "request_id", "revision", "session", "state", "tools", "version")

    def __init__(
        self,
        state: StateView,
        *,
        brain: str = "",
        now_ns: int = 0,
        prompts: dict[str, str] | None = None,
        request_id: str = "",
        revision: str = "",
        session: str = "main",
        tools: Sequence[ToolSpec] = (),
        version: str = "",
    ) -> None:
        self.state = state
        self.brain = brain
        self.now_ns = now_ns
        self.prompts = prompts if prompts is not None else {}
        self.request_id = request_id
        self.revision = revision
        self.session = session
        self.tools = tools
        self.version = version

    @property
    def turns(self) -> list[Turn]:
        """The session's recent turns, oldest first, without those of the request itself."""
        own = f"{self.request_id}."
        return [turn for turn in self.state.turns(self.session, 40) if not turn.id.startswith(own)]


# --- what a gene yields


class Step(msgspec.Struct, frozen=True):
    """Base of the steps."""


class Say(Step, frozen=True):
    """Text for whoever asked; the pieces of one request make its answer. Result: None."""

    text: str


class Record(Step, frozen=True):
    """A turn of the conversation is kept. Result: None, once it is durable."""

    role: Literal["user", "assistant", "tool"]
    text: str


class Remember(Step, frozen=True):
    """Text enters memory, cut by the gene `remember`. Result: the ids of its blocks, once they are durable.

    `importance` None: `remember.importance` judges. `context` is searched too, with less weight. Memories that follow
    each other in a `thread` are found by each other's words; the pieces of one text do so by themselves.
    """

    text: str
    source: str
    kind: BlockKind = "short_term"
    importance: float | None = None
    context: str = ""
    thread: str = ""


class Apply(Step, frozen=True):
    """One of MemoryAdd, MemoryUpdate, MemoryRemove, TurnAdd, StateUpdate. Result: None, once durable."""

    operation: Operation


class Together(Step, frozen=True):
    """Several Record, Remember and Apply at once: durable together. Result: the list of theirs."""

    steps: Sequence[Step]


class Recall(Step, frozen=True):
    """Memory is searched by the gene `recall`. Result: list of Hit, best first."""

    query: str
    k: int = 5


class AskModel(Step, frozen=True):
    """The model is asked; its text streams out as it comes. Result: ModelAnswer; raises BrainError.

    `messages` are `{role, content, tool_calls?, tool_call_id?}` as in the OpenAI API.
    """

    messages: list[dict[str, Any]]
    tools: Sequence[ToolSpec] = ()
    max_tokens: int | None = None
    temperature: float | None = None


class CallTool(Step, frozen=True):
    """A tool is called. Result: ToolResult; a wrong name, wrong arguments and a raising tool are results too."""

    name: str
    arguments: dict[str, Any] = {}


class Notice(Step, frozen=True):
    """A short line beside the answer ("3 memories recalled"). Result: None."""

    text: str


Steps = Generator[Step, Any, None]
"""What `respond` returns."""


class Change(msgspec.Struct, frozen=True):
    """What consolidation wants for one block: another kind, another importance, or that it goes."""

    id: str
    kind: BlockKind | None = None
    importance: float | None = None
    remove: bool = False


# --- tools

_Function = TypeVar("_Function", bound=Callable[..., str | Iterator[Step] | Generator[Step, Any, str]])


def tool(function: _Function) -> _Function:
    """Makes a function a tool: its name, docstring and type hints are what a model sees.

    The docstring's first paragraph describes it; lines `name: text` under `Args:` describe arguments. A parameter
    annotated `Context` is filled in by the kernel. A tool returns its answer as text, or is a generator that yields
    steps and returns the text.
    """
    function.__o_tool__ = True  # type: ignore[attr-defined]
    return function
