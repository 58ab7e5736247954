"""What each step of a gene does. A handler returns the step's result, or WAIT when it comes later."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Final, cast, get_args

from o_tui.agent import dsl, embedding, tools
from o_tui.agent.gene_errors import GeneError, describe
from o_tui.agent.memory import MemorySearch
from o_tui.agent.tasks import ANSWER_LIMIT_CHARS, DEPTH_LIMIT, Task
from o_tui.protocol import operations
from o_tui.protocol.operations import Operation

if TYPE_CHECKING:
    from o_tui.agent.kernel import Kernel

WAIT: Final = object()
"""A handler's answer: the result comes with a later frame, or from a generator that it pushed."""
RECALL_LIMIT = 200
_KINDS = get_args(operations.BlockKind)
_ROLES = ("user", "assistant", "tool")


def text_of(value: Any, what: str) -> str:
    """A gene's text: a str, and one that can be written as UTF-8 (lone surrogates are replaced)."""
    if type(value) is not str:
        raise GeneError(f"{what} is a {type(value).__name__}, not text")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-8", "replace").decode()
    return value


def say(kernel: Kernel, task: Task, step: dsl.Say) -> None:
    """Text of the answer; it leaves when the present input has been handled."""
    text = step.text
    if type(text) is not str or not text.isascii():
        text = text_of(text, "what Say says")
    task.chars += len(text)
    if task.chars > ANSWER_LIMIT_CHARS:
        raise GeneError(f"an answer of more than {ANSWER_LIMIT_CHARS} characters")
    said = task.said
    if len(said) == task.streamed:
        kernel.talking.append(task)
    said.append(text)


def notice(kernel: Kernel, task: Task, step: dsl.Notice) -> None:
    """A line beside the answer."""
    kernel.event(task, "notice", {"text": text_of(step.text, "a notice")[:2_000]})


def change(kernel: Kernel, task: Task, step: dsl.Step) -> Any:
    """Record, Remember, Apply, Together: operations, proposed in one go."""
    planned, result = _plan(kernel, task, step, task.position)
    return embedding.with_vectors(kernel, task, planned, lambda filled: kernel.propose(task, filled, result))


def _plan(kernel: Kernel, task: Task, step: dsl.Step, position: int) -> tuple[list[Operation], Any]:
    if type(step) is dsl.Together:
        every: list[Operation] = []
        results = []
        for part in step.steps:
            planned, result = _plan(kernel, task, part, position + len(every))
            every += planned
            results.append(result)
        return every, results
    if type(step) is dsl.Record:
        if step.role not in _ROLES:
            raise GeneError(f"a turn's role is one of {', '.join(_ROLES)}")
        identity = f"{task.request.id}.{position}"
        text = text_of(step.text, "a turn")
        now = task.context.now_ns
        return [
            operations.TurnAdd(id=identity, session=task.request.session, role=step.role, text=text, time_ns=now)
        ], None
    if type(step) is dsl.Remember:
        blocks = _blocks(task, step, position)
        return list(blocks), [block.id for block in blocks]
    if type(step) is dsl.Apply:
        if type(step.operation) not in operations.NAMES:
            raise GeneError("Apply takes an operation")
        return [step.operation], None
    raise GeneError(f"{type(step).__name__} changes nothing: Together takes Record, Remember and Apply")


def _blocks(task: Task, step: dsl.Remember, position: int) -> list[operations.MemoryAdd]:
    if step.kind not in _KINDS:
        raise GeneError(f"a memory's kind is one of {', '.join(_KINDS)}")
    text = text_of(step.text, "a memory")
    pieces = [text] if task.genome is None else task.genome.chunk(text)
    if not isinstance(pieces, list):
        raise GeneError("remember.chunk returns a list of text")
    thread = text_of(step.thread, "a thread") or thread_of(f"{task.request.id}.{position}", len(pieces))
    blocks = []
    for offset, piece in enumerate(pieces):
        blocks.append(
            operations.MemoryAdd(
                id=f"{task.request.id}.{position + offset}",
                kind=step.kind,
                text=text_of(piece, "a chunk"),
                source=text_of(step.source, "a source"),
                context=text_of(step.context, "a context"),
                time_ns=task.context.now_ns,
                importance=_importance(task, step, piece),
                thread=thread,
            )
        )
    return blocks


def thread_of(first: str, pieces: int) -> str:
    """The thread of a text that became several pieces, by the id of the first; a single piece has no neighbours."""
    return first if pieces > 1 else ""


def _importance(task: Task, step: dsl.Remember, piece: str) -> float:
    value: Any = step.importance
    if value is None:
        value = 0.5 if task.genome is None else task.genome.importance(piece, step.kind)
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise GeneError(f"an importance is a number from 0 to 1, not {str(value)[:40]}")
    return min(1.0, max(0.0, float(value)))


def recall(kernel: Kernel, task: Task, step: dsl.Recall) -> Any:
    """Memory, ranked by the gene `recall`; WAIT while the query is embedded."""
    query = text_of(step.query, "a query")
    if not task.embedder or not kernel.state.compares(task.embedder):
        return _recalled(kernel, task, query, step.k, b"")
    return embedding.embed(kernel, task, [query], lambda vectors: _recalled(kernel, task, query, step.k, vectors[0]))


def _recalled(kernel: Kernel, task: Task, query: str, k: int, vector: bytes) -> list[dsl.Hit]:
    k = min(k, RECALL_LIMIT)
    search = MemorySearch(kernel.state, f"{task.request.id}.", vector)
    if task.genome is None:
        hits: Any = search.lexical(query, k)
    else:
        hits = task.genome.recall(query, search, k, task.context.now_ns)
    if not isinstance(hits, list) or not all(type(hit) is dsl.Hit for hit in hits):
        raise GeneError("recall returns a list of Hit")
    best: list[dsl.Hit] = hits[: max(0, k)]
    for hit in best:
        kernel.accessed[hit.block.id] = kernel.accessed.get(hit.block.id, 0) + 1
    found = [{"id": hit.block.id, "score": float(hit.score)} for hit in best]
    kernel.event(task, "recall", {"query": query[:500], "hits": found})
    return best


def ask_model(kernel: Kernel, task: Task, step: dsl.AskModel) -> Any:
    """A call of the broker; its reply resumes the task."""
    arguments: dict[str, Any] = {
        "messages": list(step.messages),
        "tools": [{"name": t.name, "description": t.description, "parameters": t.parameters} for t in step.tools],
    }
    if step.max_tokens is not None:
        arguments["max_tokens"] = step.max_tokens
    if step.temperature is not None:
        arguments["temperature"] = step.temperature
    task.heard = 0
    return kernel.ask_broker(task, "llm.chat", arguments)


def call_tool(kernel: Kernel, task: Task, step: dsl.CallTool) -> Any:
    """A tool of the genome: its text at once, or its own steps first."""
    name = text_of(step.name, "a tool's name")
    kernel.event(task, "tool_call", {"name": name, "arguments": step.arguments})
    tool = None if task.genome is None else task.genome.tools.get(name)
    if tool is None:
        known = ", ".join(sorted(task.genome.tools)) if task.genome else ""
        return tool_result(kernel, task, name, False, f"there is no tool {name}; there are: {known}")
    if len(task.stack) > DEPTH_LIMIT:
        return tool_result(kernel, task, name, False, f"tools that call tools, more than {DEPTH_LIMIT} deep")
    try:
        value = tool.call(step.arguments, task.context)
    except tools.ArgumentError as error:
        return tool_result(kernel, task, name, False, str(error))
    except BaseException as error:  # noqa: BLE001 - the border to a gene's own code, that may raise anything
        return tool_result(kernel, task, name, False, describe(error))
    if tool.steps:
        task.stack.append(cast("Generator[Any, Any, Any]", value))
        task.tool_names.append(name)
        return PUSHED
    return tool_result(kernel, task, name, True, tools.as_text(value))


PUSHED: Final = object()
"""A handler's answer: go on with the generator that is now on top."""


def tool_result(kernel: Kernel, task: Task, name: str, ok: bool, text: str) -> dsl.ToolResult:
    """What the caller of a tool is sent; views see it too."""
    text = text_of(text, "a tool's result")
    kernel.event(task, "tool_result", {"name": name, "ok": ok, "text": text[:20_000]})
    return dsl.ToolResult(ok, text)


HANDLERS: Final[dict[type, Callable[[Kernel, Task, Any], Any]]] = {
    dsl.Say: say,
    dsl.Notice: notice,
    dsl.Record: change,
    dsl.Remember: change,
    dsl.Apply: change,
    dsl.Together: change,
    dsl.Recall: recall,
    dsl.AskModel: ask_model,
    dsl.CallTool: call_tool,
}
