"""The kernel: takes requests, runs genes step by step, proposes operations, applies what is committed.

It is the part of an agent that does not evolve. It knows no socket (`bridge` has it), no file and no clock but for
idle work; everything comes as frames and leaves as messages. Request ids that begin with `~` are its own: operations of
idle work (consolidation, tool registration), for which there is no `event` and no `done`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator
from typing import Any, Final

import msgspec

from o_tui import _native
from o_tui.agent import builtin, reducers, steps, tools
from o_tui.agent.dsl import BrainError, Context, ModelAnswer, Request, Say, Step
from o_tui.agent.gene_errors import GeneError, describe
from o_tui.agent.genome_loader import Genome, GenomeError, GenomeShelf
from o_tui.agent.memory import View
from o_tui.agent.state import State
from o_tui.agent.steps import HANDLERS, PUSHED, WAIT
from o_tui.agent.tasks import OPERATIONS_LIMIT, STEPS_LIMIT, Task
from o_tui.protocol import messages, operations
from o_tui.protocol.frames import Frame, Metadata
from o_tui.protocol.safe_text import Untrusted

FAILED_STATUS = 70
"""Exit status of an instance that cannot go on (after `failed`)."""
TEXT_PIECE_CHARS = 32 * 1024
"""Longest text of one event."""
_REFUSING = ("suspended", "terminated")
_PLAIN: Final = Metadata()


class Kernel:
    """One agent.

    Attributes:
        state: Its replica.
        role: main, standby, canary or shadow. A shadow applies its operations itself, to its own copy.
        tasks: Requests in hand, by id.
        calls: Tasks that wait for the broker, by call id.
        talking: Tasks that have said something since the last `flush`.
        embeds: The embedding model has answered the last time.
        accessed: Memories recalled since idle work last wrote it down.
    """

    def __init__(
        self,
        state: State,
        role: messages.Role,
        send: Callable[[messages.Message, Metadata], None],
        stop: Callable[[int], None],
        tier: str = "",
        record: Callable[[int, bool], None] = lambda _latency_us, _ok: None,
    ) -> None:
        """`record` is told of each request that has ended: how many microseconds it took, and whether it went well."""
        self.state = state
        self.role = role
        self.genome: Genome | None = None
        self.tasks: dict[str, Task] = {}
        self.calls: dict[str, Task] = {}
        self.talking: list[Task] = []
        self.accessed: dict[str, int] = {}
        self.embeds = True
        self.requests = 0
        self._rested = (0, state.seq)
        self._shares = True
        self.errors = 0
        self.send = send
        self._stop = stop
        self._tier = tier
        self._record = record
        self._view = View(state)
        self._shelf = GenomeShelf()
        self._idle = builtin.IdleWork()
        self._ends_at: float | None = None

    # --- what the bridge calls

    def handle(self, frame: Frame) -> None:
        """Handles one frame; what an instance has no use for is ignored."""
        handler = _HANDLERS.get(type(frame.data))
        if handler is not None:
            handler(self, frame.data, frame)

    def flush(self) -> None:
        """Sends the text that was said since the last time, for requests that have not ended meanwhile."""
        if self.talking:
            for task in self.talking:
                if task.stack:
                    self._stream(task)
            self.talking.clear()

    def beat(self) -> None:
        """Every heartbeat: says that it lives, and does idle work."""
        self.send(
            messages.Heartbeat(seq=self.state.seq, busy=len(self.tasks), requests=self.requests, errors=self.errors),
            _PLAIN,
        )
        done = self.requests, self.state.seq
        if not self.tasks and done != self._rested:
            self._rested = done
            self._shares = False
            self.state.rest()  # who waits shares its pages with the nursery
        elif not self.tasks and not self._shares and self.role == "shadow":
            self._shares = True
            _native.share_again()  # milliseconds, and as many pages to copy again: not while it is being measured
        if self._ends_at is not None and (not self.tasks or time.monotonic() >= self._ends_at):
            self._stop(0)
        elif self.role == "main" and not self.tasks and self.genome is not None:
            self._idle.start(self, self.genome)

    def ready(self) -> None:
        """Says what it is: once at its start, and after each genome."""
        self.send(
            messages.Ready(
                pid=os.getpid(),
                seq=self.state.seq,
                digest=self.state.digest,
                revision=self.genome.revision if self.genome else "",
                tier=self._tier,
            ),
            _PLAIN,
        )

    # --- requests

    def _process_request(self, data: messages.ProcessRequest, frame: Frame) -> None:
        identity = frame.metadata.request_id
        request = Request(identity, data.text, data.kind, data.session, data.time_ns or frame.timestamp)
        genome = self.genome
        if identity in self.tasks or self._refuses(request, genome):
            return
        context = self.context(request, data.brain, genome)
        run = builtin.KINDS.get(data.kind)
        try:
            if run is not None:
                generator = run(request, context, genome, self.state)
            else:
                assert genome is not None
                generator = genome.respond(request, context)  # type: ignore[assignment]
        except BaseException as error:  # noqa: BLE001 - the border to a gene's own code
            self._end(identity, frame.metadata, describe(error))
            return
        task = Task(
            request, context, frame.metadata, generator, genome, committed=data.committed, embedder=data.embedder
        )
        self.tasks[identity] = task
        self.advance(task)

    def _refuses(self, request: Request, genome: Genome | None) -> bool:
        lifecycle = self.state.meta.lifecycle
        metadata = Metadata(request_id=request.id)
        if lifecycle in _REFUSING and request.kind not in builtin.KINDS:
            self._end(request.id, metadata, f"the agent is {lifecycle}")
        elif genome is None and request.kind not in builtin.KINDS:
            self._end(request.id, metadata, "no genome is loaded: the agent runs in safe mode")
        else:
            return False
        return True

    def context(self, request: Request, brain: str, genome: Genome | None) -> Context:
        """What a gene sees while it handles `request`."""
        view = self._view
        if genome is None:
            return Context(view, brain=brain, now_ns=request.time_ns, request_id=request.id, session=request.session)
        return Context(
            view,
            brain=brain,
            now_ns=request.time_ns,
            prompts=genome.prompts,
            request_id=request.id,
            revision=genome.revision,
            session=request.session,
            tools=genome.specs,
            version=genome.version,
        )

    def start_internal(self, name: str, generator: Generator[Step, Any, None], genome: Genome) -> None:
        """Runs idle work as a task of its own."""
        now = time.time_ns()
        request = Request(f"~{name}.{self.state.seq}.{now}", "", "internal", "", now)
        metadata = Metadata(request_id=request.id)
        task = Task(request, self.context(request, "", genome), metadata, generator, genome, internal=True)
        self.tasks[request.id] = task
        self.advance(task)

    # --- running

    def advance(self, task: Task, value: Any = None, error: BaseException | None = None) -> None:
        """Runs a task from here until it waits or ends; `value` is sent, or `error` thrown, into its generator."""
        while True:
            generator = task.stack[-1]
            try:
                step = generator.send(value) if error is None else generator.throw(error)
            except StopIteration as ended:
                task.stack.pop()
                if not task.stack:
                    return self._finish(task)
                error = None
                value = self._tool_ended(task, True, ended.value)
                continue
            except BaseException as raised:  # noqa: BLE001 - the border to a gene's own code, that may raise anything
                task.stack.pop()
                if not task.stack:
                    return self._finish(task, raised)
                error = None
                value = self._tool_ended(task, False, raised)
                continue
            error = None
            value = None
            try:
                task.steps += 1
                if task.steps > STEPS_LIMIT:
                    raise GeneError(f"more than {STEPS_LIMIT} steps")
                handler = HANDLERS.get(type(step))
                if handler is None:
                    raise GeneError(f"a gene yielded {type(step).__name__}, which is not a step")
                value = handler(self, task, step)
            except BaseException as raised:  # noqa: BLE001 - from other genes too (recall): the gene that asked is told
                error = raised
                continue
            if value is WAIT:
                return None
            if value is PUSHED:
                value = None

    def _tool_ended(self, task: Task, ok: bool, value: Any) -> Any:
        name = task.tool_names.pop()
        if not ok:
            return steps.tool_result(self, task, name, False, describe(value))
        try:
            return steps.tool_result(self, task, name, True, tools.as_text("" if value is None else value))
        except Exception as raised:  # noqa: BLE001 - what a tool returns may have any __str__
            return steps.tool_result(self, task, name, False, describe(raised))

    def _finish(self, task: Task, error: BaseException | None = None) -> None:
        del self.tasks[task.request.id]
        self.requests += 1
        if task.internal:
            if error is not None:
                self.log("warning", f"idle work failed: {describe(error)}")
            return
        if task.streamed:
            self._stream(task)
        if error is not None:
            self.errors += 1
            done = messages.Done(ok=False, text=task.text(), error=describe(error), operations=task.position)
        else:
            done = messages.Done(ok=True, text="".join(task.said), operations=task.position)
        self._record((time.monotonic_ns() - task.started_ns) // 1000, error is None)
        self.send(done, task.metadata)
        if self._ends_at is not None and not self.tasks:
            self._stop(0)

    def _end(self, identity: str, metadata: Metadata, error: str) -> None:
        self.requests += 1
        self.errors += 1
        self._record(0, False)
        self.send(messages.Done(ok=False, error=error), metadata)

    def _abandon(self, task: Task, error: str) -> None:
        if task.call_id:
            self.calls.pop(task.call_id, None)
        task.close()
        self._finish(task, GeneError(error))

    # --- what steps use

    def event(self, task: Task, kind: Any, data: dict[str, Any]) -> None:
        """Something for the views that follow; text that was said before leaves before."""
        if task.internal:
            return
        self._stream(task)
        self.send(messages.Event(kind=kind, data=data), task.metadata)

    def _stream(self, task: Task) -> None:
        text = task.unsent()
        for start in range(0, len(text), TEXT_PIECE_CHARS):
            piece = text[start : start + TEXT_PIECE_CHARS]
            self.send(messages.Event(kind="text", data={"text": piece}), task.metadata)

    def propose(self, task: Task, planned: list[operations.Operation], result: Any) -> Any:
        """Proposes operations; WAIT until they are committed, or `result` where they are already."""
        if task.position + len(planned) > OPERATIONS_LIMIT:
            raise GeneError(f"more than {OPERATIONS_LIMIT} operations")
        packed = [operations.pack(operation) for operation in planned]
        for name, _data in packed:
            if name in operations.GUARDIAN_ONLY:
                raise GeneError(f"{name} is the guardian's")
        first = task.position
        task.position += len(planned)
        proposals = [
            messages.OperationProposal(position=first + offset, operation=name, data=data)
            for offset, (name, data) in enumerate(packed)
            if first + offset >= task.committed
        ]
        if not proposals:
            return result
        message = proposals[0] if len(proposals) == 1 else messages.OperationProposals(items=proposals)
        self.send(message, task.metadata)
        if self.role == "shadow":
            for proposal in proposals:
                reducers.apply_local(self.state, operations.unpack(proposal.operation, proposal.data))
            return result
        task.awaited = task.position - 1
        task.result = result
        return WAIT

    def ask_broker(
        self,
        task: Task,
        kind: str,
        arguments: dict[str, Any],
        then: Callable[[messages.BrokerReply], Any] | None = None,
    ) -> Any:
        """Asks for an effect; WAIT. `then` makes the step's result of its end; without it, it is a model's answer."""
        call_id = f"{task.request.id}:{task.calls}"
        self.send(messages.BrokerRequest(call_id=call_id, kind=kind, arguments=arguments), task.metadata)
        task.calls += 1
        task.call_id, task.then = call_id, then
        self.calls[call_id] = task
        return WAIT

    def log(self, level: Any, text: str) -> None:
        """A line for the event log."""
        self.send(messages.Log(level=level, text=Untrusted(text)), _PLAIN)

    # --- answers

    def _committed(self, data: messages.Committed, _frame: Frame) -> None:
        if self.role == "shadow":
            return  # its state is its own: what it proposed, it has applied
        embedder = self.state.meta.embedder
        try:
            applied = reducers.apply_all(self.state, data.entries, data.digest)
        except reducers.ReduceError as error:
            self.send(messages.Failed(what="reduce", text=str(error), seq=error.seq), _PLAIN)
            self._stop(FAILED_STATUS)
            return
        if self.role == "main" and embedder and embedder != self.state.meta.embedder:
            now = self.state.meta.embedder
            self.log(
                "warning", f"memories are embedded by {now} now; those that {embedder} embedded are found by words"
            )
        for entry in applied:
            if entry.operation == "memory_add":
                self._idle.additions += 1
            task = self.tasks.get(entry.request_id)
            if task is not None and task.awaited == entry.position:
                task.awaited = -1
                self.advance(task, task.result)

    def _refused(self, data: messages.Refused, frame: Frame) -> None:
        task = self.tasks.get(frame.metadata.request_id)
        if task is not None:
            self._abandon(task, f"an operation was refused: {data.error}")

    def _cancel_request(self, _data: messages.CancelRequest, frame: Frame) -> None:
        task = self.tasks.get(frame.metadata.request_id)
        if task is not None:
            self._abandon(task, "cancelled")

    def _broker_reply(self, data: messages.BrokerReply, _frame: Frame) -> None:
        task = self.calls.get(data.call_id)
        if task is None:
            return
        text = data.data.get("text", "")
        if data.state == "delta":
            if isinstance(text, str) and text:
                self._hear(task, text)
            return
        del self.calls[data.call_id]
        task.call_id = ""
        if task.then is not None:
            self._go_on(task, task.then, data)
            return
        if data.state == "error":
            why = data.data
            kind, retryable = str(why.get("kind", "http")), bool(why.get("retryable", False))
            self.advance(task, error=BrainError(str(why.get("error", "the model failed")), kind, retryable))
            return
        try:
            answer = msgspec.convert(data.data, ModelAnswer)
        except msgspec.ValidationError as error:
            self.advance(task, error=BrainError(f"the broker's answer cannot be read: {error}", "garbage"))
            return
        if not task.heard and answer.text:
            self._hear(task, answer.text)
        self.advance(task, answer)

    def _go_on(self, task: Task, then: Callable[[messages.BrokerReply], Any], reply: messages.BrokerReply) -> None:
        try:
            value = then(reply)
        except BaseException as raised:  # noqa: BLE001 - from a gene too (recall): the gene that asked is told
            self.advance(task, error=raised)
        else:
            if value is not WAIT:
                self.advance(task, value)

    def _hear(self, task: Task, text: str) -> None:
        task.heard += len(text)
        try:
            steps.say(self, task, Say(text))
        except GeneError as error:
            self._abandon(task, str(error))

    # --- genomes and roles

    def _load_genome(self, data: messages.LoadGenome, _frame: Frame) -> None:
        try:
            self.genome = self._shelf.adopt(data.revision, data.version, data.files, data.anew)
        except GenomeError as error:
            self.send(messages.Failed(what="genome", text=str(error)), _PLAIN)
            self._stop(FAILED_STATUS)
        else:
            _native.give_back_memory()  # what compiling took: a shadow is to have few pages of its own
            self.ready()

    def _hot_reload(self, data: messages.HotReload, _frame: Frame) -> None:
        try:
            self.genome = self._shelf.adopt(data.revision, data.version, data.files)
        except GenomeError as error:
            self.send(messages.Reloaded(revision=data.revision, ok=False, error=str(error)), _PLAIN)
        else:
            self.send(messages.Reloaded(revision=data.revision, ok=True), _PLAIN)

    def _role(self, data: messages.RoleChange, _frame: Frame) -> None:
        self.role = data.role
        self.ready()  # the guardian measures how soon this one took over

    def _shutdown(self, data: messages.Shutdown, _frame: Frame) -> None:
        self._ends_at = time.monotonic() + data.grace_s
        if not self.tasks:
            self._stop(0)


_HANDLERS: Final[dict[type, Callable[[Kernel, Any, Frame], None]]] = {
    messages.ProcessRequest: Kernel._process_request,
    messages.Committed: Kernel._committed,
    messages.BrokerReply: Kernel._broker_reply,
    messages.CancelRequest: Kernel._cancel_request,
    messages.Refused: Kernel._refused,
    messages.LoadGenome: Kernel._load_genome,
    messages.HotReload: Kernel._hot_reload,
    messages.RoleChange: Kernel._role,
    messages.Shutdown: Kernel._shutdown,
}
