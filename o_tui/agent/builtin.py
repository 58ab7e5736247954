"""What the kernel does without a gene `respond`: the guardian's own kinds of request, and idle work.

A request of these kinds carries JSON in its text and is answered with JSON (`done.text`):

| kind | text | answer |
|---|---|---|
| `memory.add` | an *item* {"text", "source"?, "kind"?, "importance"?, "context"?, "time_ns"?, "thread"?} | {"ids"} |
| `memory.add` | {"items": [item]}, each with an "id" too, where it has one | {"ids"} |
| `memory.search` | {"text", "k"?} | [block + "score"] |
| `memory.list` | {"kind"?, "limit"?, "before"? (time_ns)} | {"blocks": [block], "count"} |
| `memory.known` | {"ids": [...]} | {"ids"}, those of them that are there |
| `memory.remove` | {"ids": [...]} | {"ids": [...]} |
| `turns.list` | {"session"?, "limit"?} | [turn] |
| `state.digest` | {} | {"seq", "logical", "chain"} (hex) |
| `strategy.choose` | {"outcomes": [{...}], "options": [...]} | the option that the gene `strategy` chooses |
| `genome.tests` | {} | {"passed", "failed": [{"name", "error"}]} |
| `genome.migrate` | {"gene", "old_version"} | {"operations"} |
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from o_tui.agent.dsl import (
    Apply,
    BlockKind,
    Change,
    Context,
    Hit,
    MemoryRemove,
    MemoryUpdate,
    Recall,
    Request,
    Say,
    Step,
    Steps,
    Together,
)
from o_tui.agent.gene_errors import GeneError, describe
from o_tui.agent.genome_loader import Genome
from o_tui.agent.memory import View
from o_tui.agent.state import State
from o_tui.agent.steps import thread_of
from o_tui.agent.tasks import OPERATIONS_LIMIT
from o_tui.protocol import contracts
from o_tui.protocol.operations import MemoryAdd, ToolRegister

if TYPE_CHECKING:
    from o_tui.agent.kernel import Kernel

CONSOLIDATE_AFTER = 32
"""New memories after which they are consolidated as soon as nothing else is to do."""
IDLE_BEATS = 30
"""Heartbeats without a request after which even one new memory is."""
CONSOLIDATE_BLOCKS = 400
_ACCESSES_AT = 64


class _Item(msgspec.Struct):
    text: str
    source: str = "import"
    kind: BlockKind = "semantic"
    importance: float | None = None
    context: str = ""
    time_ns: int = 0
    thread: str = ""
    id: str = ""


class _Add(msgspec.Struct):
    text: str | None = None
    source: str = "operator"
    kind: BlockKind = "semantic"
    importance: float | None = None
    context: str = ""
    time_ns: int = 0
    thread: str = ""
    items: list[_Item] = []


class _Search(msgspec.Struct):
    text: str
    k: int = 10


class _List(msgspec.Struct):
    kind: BlockKind | None = None
    limit: int = 100
    before: int = 0


class _Ids(msgspec.Struct):
    ids: list[str]


class _Choose(msgspec.Struct):
    outcomes: list[dict[str, Any]]
    options: list[str]


class _Migrate(msgspec.Struct):
    gene: str
    old_version: str


class _Turns(msgspec.Struct):
    session: str = "main"
    limit: int = 50


# made here, not when the first request comes: reading a struct's hints writes to much of what forks share
_add = msgspec.json.Decoder(_Add)
_search = msgspec.json.Decoder(_Search)
_list = msgspec.json.Decoder(_List)
_ids = msgspec.json.Decoder(_Ids)
_choose = msgspec.json.Decoder(_Choose)
_migrate = msgspec.json.Decoder(_Migrate)
_turns = msgspec.json.Decoder(_Turns)


def _json(value: Any) -> Say:
    return Say(msgspec.json.encode(value).decode())


def _row(hit: Hit) -> dict[str, Any]:
    return {**msgspec.to_builtins(hit.block), "score": hit.score, "similarity": hit.similarity}


def _memory_add(request: Request, context: Context, genome: Genome | None, state: State) -> Steps:
    asked = _add.decode(request.text)
    items = list(asked.items)
    if asked.text is not None:
        items.insert(
            0,
            _Item(asked.text, asked.source, asked.kind, asked.importance, asked.context, asked.time_ns, asked.thread),
        )
    planned: list[Step] = []
    ids: list[str] = []
    for item in items:
        for operation in _added(item, request, context, genome, len(planned)):
            planned.append(Apply(operation))
            ids.append(operation.id)
    if len(planned) > OPERATIONS_LIMIT:  # before the first one: a text is kept whole or not at all
        raise GeneError(f"the text makes {len(planned)} memories; at most {OPERATIONS_LIMIT} at once: add it in parts")
    for start in range(0, len(planned), 200):  # some hundred at a time: a frame and a transaction of moderate size
        yield Together(planned[start : start + 200])
    yield _json({"ids": ids})


def _added(item: _Item, request: Request, context: Context, genome: Genome | None, position: int) -> list[MemoryAdd]:
    """The operations for one text: one a piece, from `position` on among those of the request.

    A text that has an id has the same in each request, and its pieces are numbered for themselves.
    """
    base, first = (item.id, 0) if item.id else (request.id, position)
    pieces = genome.chunk(item.text) if genome else [item.text]
    thread = item.thread or thread_of(f"{request.id}.{position}", len(pieces))
    added = []
    for offset, piece in enumerate(pieces):
        importance = item.importance
        if importance is None:
            importance = genome.importance(piece, item.kind) if genome else 0.5
        added.append(
            MemoryAdd(
                id=f"{base}.{first + offset}",
                kind=item.kind,
                text=piece,
                source=item.source,
                context=item.context,
                time_ns=item.time_ns or context.now_ns,
                importance=importance,
                thread=thread,
            )
        )
    return added


def _memory_search(request: Request, context: Context, genome: Genome | None, state: State) -> Steps:
    asked = _search.decode(request.text)
    hits = yield Recall(asked.text, asked.k)
    yield _json([_row(hit) for hit in hits])


def _memory_list(request: Request, context: Context, genome: Genome | None, state: State) -> Steps:
    asked = _list.decode(request.text or "{}")
    view = View(state)
    blocks = view.blocks(asked.kind, asked.limit, asked.before)
    yield _json({"blocks": [msgspec.to_builtins(block) for block in blocks], "count": view.count()})


def _memory_known(request: Request, context: Context, genome: Genome | None, state: State) -> Steps:
    asked = _ids.decode(request.text)
    yield _json({"ids": [block_id for block_id in asked.ids if context.state.block(block_id) is not None]})


def _memory_remove(request: Request, context: Context, genome: Genome | None, state: State) -> Steps:
    asked = _ids.decode(request.text)
    there = [block_id for block_id in asked.ids if context.state.block(block_id) is not None]
    if there:
        yield Apply(MemoryRemove(ids=there, reason="operator"))
    yield _json({"ids": there})


def _turns_list(request: Request, context: Context, genome: Genome | None, state: State) -> Steps:
    asked = _turns.decode(request.text or "{}")
    yield _json([msgspec.to_builtins(turn) for turn in context.state.turns(asked.session, asked.limit)])


def _state_digest(request: Request, context: Context, genome: Genome | None, state: State) -> Steps:
    yield _json({"seq": state.seq, "logical": state.logical_digest().hex(), "chain": state.digest.hex()})


def _strategy_choose(request: Request, context: Context, genome: Genome | None, state: State) -> Steps:
    asked = _choose.decode(request.text)
    if genome is None or genome.choose is None:
        raise GeneError("the genome has no gene strategy")
    chosen = genome.choose(asked.outcomes, asked.options)
    if chosen not in asked.options:
        raise GeneError("strategy.choose returns one of the options")
    yield _json(chosen)


def _genome_tests(request: Request, context: Context, genome: Genome | None, state: State) -> Steps:
    if genome is None:
        raise GeneError("no genome is loaded")
    passed, failed = 0, []
    for module_name in genome.test_modules():
        try:
            found = vars(genome.module(module_name))
            tests = [(name, value) for name, value in found.items() if name.startswith("test_") and callable(value)]
        except BaseException as error:  # noqa: BLE001 - the border to the genome's own code, that may raise anything
            failed.append({"name": module_name, "error": describe(error)})
            continue
        for name, test in tests:
            try:
                test()
                passed += 1
            except BaseException as error:  # noqa: BLE001 - the same border
                failed.append({"name": f"{module_name}::{name}", "error": describe(error)})
    yield _json({"passed": passed, "failed": failed})


def _genome_migrate(request: Request, context: Context, genome: Genome | None, state: State) -> Steps:
    """The hook of one gene: its operations, some hundred at a time as everywhere."""
    asked = _migrate.decode(request.text)
    if genome is None:
        raise GeneError("no genome is loaded")
    hook = getattr(genome.module(asked.gene), contracts.MIGRATE.name, None)
    planned: Any = hook(asked.old_version, context.state) if callable(hook) else []
    if not isinstance(planned, list):
        raise GeneError(f"{asked.gene}.{contracts.MIGRATE.name} returns a list of operations")
    steps: list[Step] = [Apply(operation) for operation in planned]
    for start in range(0, len(steps), 200):
        yield Together(steps[start : start + 200])
    yield _json({"operations": len(steps)})


Kind = Callable[[Request, Context, Genome | None, State], Steps]
KINDS: dict[str, Kind] = {
    "memory.add": _memory_add,
    "memory.search": _memory_search,
    "memory.list": _memory_list,
    "memory.known": _memory_known,
    "memory.remove": _memory_remove,
    "turns.list": _turns_list,
    "state.digest": _state_digest,
    "strategy.choose": _strategy_choose,
    "genome.tests": _genome_tests,
    "genome.migrate": _genome_migrate,
}


class IdleWork:
    """What main does when nobody asks: makes its tools known, writes accesses down, consolidates memory.

    Attributes:
        additions: Memories added since the last consolidation.
    """

    def __init__(self) -> None:
        self.additions = 0
        self._beats = 0
        self._registered = ""

    def start(self, kernel: Kernel, genome: Genome) -> None:
        """Starts one piece of work, if there is any; called at a heartbeat with no request in hand."""
        self._beats += 1
        if self._registered != genome.revision:
            self._registered = genome.revision
            missing = unregistered(genome, kernel.state)
            if missing:
                kernel.start_internal("tools", iter_steps(missing), genome)
                return
        due = self.additions >= CONSOLIDATE_AFTER or (self.additions and self._beats >= IDLE_BEATS)
        if due or len(kernel.accessed) >= _ACCESSES_AT:
            self._beats, self.additions = 0, 0
            accessed, kernel.accessed = kernel.accessed, {}
            kernel.start_internal("consolidate", consolidation(genome, View(kernel.state), accessed), genome)


def iter_steps(planned: list[Step]) -> Steps:
    """One step that does all of them."""
    yield Together(planned)


def unregistered(genome: Genome, state: State) -> list[Step]:
    """Operations for the tools of a genome that the state does not know at its revision."""
    known = state.tools()
    return [
        Apply(
            ToolRegister(
                name=spec.name, description=spec.description, parameters=spec.parameters, revision=genome.revision
            )
        )
        for spec in genome.specs
        if known.get(spec.name) != genome.revision
    ]


def consolidation(genome: Genome, view: View, accessed: dict[str, int]) -> Steps:
    """What the gene `remember.consolidate` wants done with the short-term memories, and how often what was read."""
    now_ns = time.time_ns()
    counts = [
        Apply(MemoryUpdate(id=block_id, accesses=count))
        for block_id, count in sorted(accessed.items())
        if view.block(block_id) is not None
    ]
    if counts:
        yield Together(counts)
    # the oldest too: what is to be forgotten would else never be seen behind many that are new
    newest = view.blocks("short_term", CONSOLIDATE_BLOCKS)
    blocks = {block.id: block for block in [*newest, *view.oldest("short_term", CONSOLIDATE_BLOCKS // 4)]}
    changes: Any = genome.consolidate(list(blocks.values()), now_ns)
    if not isinstance(changes, list) or not all(type(change) is Change for change in changes):
        raise GeneError("remember.consolidate returns a list of Change")
    planned: list[Step] = [
        Apply(MemoryUpdate(id=change.id, kind=change.kind, importance=change.importance))
        for change in changes
        if not change.remove
    ]
    removed = [change.id for change in changes if change.remove]
    if removed:
        planned.append(Apply(MemoryRemove(ids=removed, reason="consolidated")))
    if planned:
        yield Together(planned)
