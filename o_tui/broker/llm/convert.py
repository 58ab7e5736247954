"""Our messages, tools and calls as pydantic-ai's, and back."""

from __future__ import annotations

import json
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.tools import ToolDefinition

from o_tui.broker.calls import CallError
from o_tui.broker.llm.types import ChatMessage, ToolSpec, parse_arguments


def messages(chat: list[ChatMessage]) -> list[ModelMessage]:
    """The library's messages. Neighbours of one side become parts of one, as the providers want it.

    Raises:
        CallError: A tool's result answers no call that went before it.
    """
    done: list[ModelMessage] = []
    names: dict[str, str] = {}
    for message in chat:
        names |= {call.id: call.name for call in message.tool_calls}
        if message.role == "assistant":
            done.append(ModelResponse(parts=_assistant(message)))
            continue
        part = _part(message, names)
        if done and isinstance(done[-1], ModelRequest):
            done[-1] = ModelRequest(parts=[*done[-1].parts, part])
        else:
            done.append(ModelRequest(parts=[part]))
    return done


def _assistant(message: ChatMessage) -> list[Any]:
    parts: list[Any] = [TextPart(content=message.content)] if message.content else []
    for call in message.tool_calls:
        arguments = call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments)
        parts.append(ToolCallPart(tool_name=call.name, args=arguments or "{}", tool_call_id=call.id))
    return parts


def _part(message: ChatMessage, names: dict[str, str]) -> Any:
    content = message.content or ""
    if message.role == "system":
        return SystemPromptPart(content=content)
    if message.role == "user":
        return UserPromptPart(content=content)
    if message.tool_call_id not in names:
        raise CallError(f"a tool's result answers no call: {message.tool_call_id!r}", "arguments")
    return ToolReturnPart(tool_name=names[message.tool_call_id], content=content, tool_call_id=message.tool_call_id)


def tool(spec: ToolSpec) -> ToolDefinition:
    """The library's description of a tool."""
    schema = spec.parameters or {"type": "object", "properties": {}}
    return ToolDefinition(name=spec.name, description=spec.description, parameters_json_schema=schema, strict=False)


def call(part: ToolCallPart) -> dict[str, Any]:
    """A model's call as it goes to the instance; `invalid` says why the arguments could not be read."""
    arguments, invalid = parse_arguments(part.args)
    data: dict[str, Any] = {"id": str(part.tool_call_id), "name": str(part.tool_name), "arguments": arguments}
    if invalid:
        data |= {"invalid": invalid, "raw": str(part.args)[:4096]}
    return data
