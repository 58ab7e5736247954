"""A chat as data, independent of any provider and of any library."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, Protocol

import msgspec

_DEPTH = 16
"""Deepest nesting of a tool call's arguments: they go on in frames, which have a limit of their own."""
_ARGUMENTS_CHARS = 1024 * 1024

Emit = Callable[[str], Awaitable[None]]


class Function(msgspec.Struct, kw_only=True):
    """The inner part of a tool call as the OpenAI API writes it."""

    name: str
    arguments: dict[str, Any] | str = {}


class ToolCall(msgspec.Struct, kw_only=True):
    """A tool that the model has called: {id, name, arguments}, or as in the OpenAI API with a `function` in it."""

    id: str
    name: str = ""
    arguments: dict[str, Any] | str = {}
    function: Function | None = None

    def __post_init__(self) -> None:
        if self.function is not None:
            self.name, self.arguments = self.function.name, self.function.arguments
        if not self.name:
            raise ValueError("a tool call without a name")


class ChatMessage(msgspec.Struct, kw_only=True):
    """One message. `tool_call_id` says which call a message of role `tool` answers."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = ""
    tool_calls: list[ToolCall] = []
    tool_call_id: str = ""


class ToolSpec(msgspec.Struct, kw_only=True):
    """A tool that the model may call; `parameters` is a JSON schema."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_\-]{1,64}$")]
    description: str = ""
    parameters: dict[str, Any] = {}


class ChatRequest(msgspec.Struct, kw_only=True):
    """The arguments of `llm.chat`.

    Attributes:
        answer_bytes: A longer answer ends here, with a line that says so; None: an endless one is an error.
    """

    messages: Annotated[list[ChatMessage], msgspec.Meta(min_length=1)]
    tools: list[ToolSpec] = []
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    answer_bytes: Annotated[int, msgspec.Meta(ge=1)] | None = None


class EmbedRequest(msgspec.Struct, kw_only=True):
    """The arguments of `llm.embed`."""

    texts: Annotated[list[str], msgspec.Meta(min_length=1, max_length=16)]


class Embeddings(msgspec.Struct, kw_only=True):
    """What an embedding model has answered: a vector a text (float32, little-endian), in the texts' order."""

    vectors: list[bytes]
    input_tokens: int = 0
    model: str = ""


class Answer(msgspec.Struct, kw_only=True):
    """What a model has answered, without the text: that went out in parts."""

    tool_calls: list[dict[str, Any]] = []
    input_tokens: int = 0
    output_tokens: int = 0
    model: str = ""
    finish: str = ""


class Model(Protocol):
    """One model at one endpoint."""

    async def chat(self, request: ChatRequest, emit: Emit) -> Answer:
        """Sends the request once and emits the text as it comes; raises CallError. Cancelling closes the stream."""

    async def embed(self, name: str, texts: list[str]) -> Embeddings:
        """The embeddings of texts by the endpoint's model `name`; raises CallError."""

    async def models(self) -> list[str]:
        """The names of the endpoint's models; raises CallError."""

    async def close(self) -> None:
        """Closes the connections."""


def parse_arguments(raw: str | dict[str, Any] | None) -> tuple[dict[str, Any], str]:
    """A tool call's arguments as a dict, and what is wrong with them (empty: nothing).

    What a model writes here is anybody's guess, so it is checked for all that a frame does not take.
    """
    value: Any = raw
    if raw is None or (isinstance(raw, str) and not raw.strip()):
        return {}, ""
    if isinstance(raw, str):
        if len(raw) > _ARGUMENTS_CHARS:
            return {}, "the arguments are too long"
        try:
            value = json.loads(raw, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            return {}, "the arguments are not JSON"
    if not isinstance(value, dict):
        return {}, "the arguments are not an object"
    return (
        (value, "") if _is_plain(value, _DEPTH) else ({}, "the arguments are too deep or hold what is not plain data")
    )


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _is_plain(value: Any, depth: int) -> bool:
    if depth == 0:
        return False
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, list):
        return all(_is_plain(item, depth - 1) for item in value)
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_plain(k, 1) and _is_plain(v, depth - 1) for k, v in value.items())
    return False
