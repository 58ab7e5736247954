"""Operations, states and kernels for tests, without processes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from o_tui.agent.kernel import Kernel
from o_tui.agent.state import State
from o_tui.protocol import chunks, frames, messages, operations
from o_tui.protocol.operations import Operation
from tests.support.nursery_driver import genome_files

ECHO = Path(__file__).parents[2] / "data" / "bench" / "echo"
SEED = Path(__file__).parents[2] / "data" / "genome"
HEAD = "from __future__ import annotations\nfrom o_tui.agent.dsl import *\n"
"""How a gene of a test begins."""
_IDS = st.sampled_from([f"b{number}" for number in range(6)])
_KINDS = st.sampled_from(["short_term", "long_term", "episodic", "semantic"])
_TEXT = st.one_of(st.sampled_from(["the demo is on Friday", "cat", "a b\0c", "", "Ünïcödé 日本"]), st.text(max_size=30))
_ANY_FLOAT = st.floats(allow_nan=False, allow_infinity=False)  # the log holds no other numbers
_ANY_INT = st.integers(-(2**63), 2**64 - 1)


def operations_() -> st.SearchStrategy[Operation]:
    """Any operation that can stand in the log, sensible or not."""
    vector = st.one_of(st.just(b""), st.binary(max_size=8), st.binary(min_size=1024, max_size=1024))
    return st.one_of(
        st.builds(
            operations.MemoryAdd,
            id=_IDS,
            kind=_KINDS,
            text=_TEXT,
            source=_TEXT,
            time_ns=_ANY_INT,
            importance=_ANY_FLOAT,
            context=_TEXT,
            vector=vector,
        ),
        st.builds(
            operations.MemoryUpdate,
            id=_IDS,
            kind=st.none() | _KINDS,
            importance=st.none() | _ANY_FLOAT,
            accesses=_ANY_INT,
        ),
        st.builds(operations.MemoryRemove, ids=st.lists(_IDS, max_size=3)),
        st.builds(
            operations.TurnAdd,
            id=_IDS,
            session=st.sampled_from(["main", "other"]),
            role=st.sampled_from(["user", "assistant"]),
            text=_TEXT,
            time_ns=_ANY_INT,
        ),
        st.builds(
            operations.StateUpdate, key=_IDS, value=st.none() | st.integers(-5, 5) | st.dictionaries(_IDS, _TEXT)
        ),
        st.builds(
            operations.ToolRegister, name=_IDS, description=_TEXT, parameters=st.just({"type": "object"}), revision=_IDS
        ),
        st.builds(operations.LifecycleChange, state=st.sampled_from(["running", "evolving"])),
        st.builds(operations.GenomeSwitch, revision=_IDS, version=_IDS),
        st.builds(operations.StateRestore, checkpoint_id=_IDS, checkpoint_seq=st.integers(0, 9)),
        st.builds(operations.Skip, digest=_IDS, reason=_TEXT),
    )


def entries(changes: Sequence[Operation], start: int = 1) -> list[bytes]:
    """The operations as entries of the log."""
    packed = []
    for seq, operation in enumerate(changes, start):
        name, data = operations.pack(operation)
        packed.append(operations.pack_entry(operations.Entry(seq, seq, 1, "r", seq, name, data)))
    return packed


def block(identity: str, text: str, **fields: Any) -> operations.MemoryAdd:
    """A memory."""
    return operations.MemoryAdd(
        id=identity, **{"kind": "semantic", "text": text, "source": "test", "time_ns": 1, "importance": 0.5, **fields}
    )


class Stage:
    """A kernel with a guardian that commits what it is told to."""

    def __init__(self, files: dict[str, str] | None = None, role: messages.Role = "main") -> None:
        self.sent: list[tuple[messages.Message, frames.Metadata]] = []
        self.stopped: list[int] = []
        self.state = State.empty()
        self.kernel = Kernel(self.state, role, self._send, self._stop)
        self.seq = 0
        if files is not None:
            self.give(messages.LoadGenome(revision="a" * 40, version="1.0.0", files=files))

    def _send(self, message: messages.Message, metadata: frames.Metadata) -> None:
        chunks.encode(message, metadata)  # what cannot be sent raises here, as it does in the bridge
        self.sent.append((message, metadata))

    def _stop(self, status: int) -> None:
        self.stopped.append(status)

    def give(self, message: messages.Message, request_id: str = "") -> None:
        """One frame from the guardian, handled to its end."""
        frame = frames.Frame(messages.NAMES[type(message)], 1, message, frames.Metadata(request_id=request_id))
        self.kernel.handle(frame)
        self.kernel.flush()

    def ask(self, text: str, request_id: str = "r1", **fields: Any) -> None:
        self.give(messages.ProcessRequest(text=text, **fields), request_id)

    def take(self, kind: type[messages.Message]) -> list[Any]:
        """The messages of a kind that were sent; all are forgotten."""
        found = [message for message, _meta in self.sent if isinstance(message, kind)]
        self.sent.clear()
        return found

    def proposals(self) -> list[tuple[str, messages.OperationProposal]]:
        """What has been proposed, with its request."""
        found: list[tuple[str, messages.OperationProposal]] = []
        for message, meta in self.sent:
            if isinstance(message, messages.OperationProposals):
                found += [(meta.request_id, item) for item in message.items]
            elif isinstance(message, messages.OperationProposal):
                found.append((meta.request_id, message))
        return found

    def pack(self) -> list[bytes]:
        """What has been proposed, as the entries that come next in the log."""
        return [
            operations.pack_entry(operations.Entry(seq, seq, 1, request_id, item.position, item.operation, item.data))
            for seq, (request_id, item) in enumerate(self.proposals(), self.seq + 1)
        ]

    def commit(self) -> int:
        """Makes everything that was proposed durable; returns how many operations that were."""
        packed = self.pack()
        proposals = messages.OperationProposal | messages.OperationProposals
        self.sent = [pair for pair in self.sent if not isinstance(pair[0], proposals)]
        self.seq += len(packed)
        digest = self.state.digest
        for entry in packed:
            digest = operations.chain(digest, entry)
        self.give(messages.Committed(entries=packed, digest=digest))
        return len(packed)

    def done(self) -> messages.Done:
        """The one `done` that was sent."""
        (found,) = self.take(messages.Done)
        assert isinstance(found, messages.Done)
        return found


def genome(body: str, **others: str) -> dict[str, str]:
    """The echo genome with another `respond`: `body` is indented under its head."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    respond = f"{HEAD}\ndef respond(request: Request, context: Context) -> Steps:\n{lines}\n"
    return {**genome_files(ECHO), "respond.py": respond, **{f"{k.replace('__', '/')}.py": v for k, v in others.items()}}


def stage(body: str, role: messages.Role = "main", **others: str) -> Stage:
    made = Stage(genome(body, **others), role)
    assert not made.stopped, made.sent
    made.sent.clear()
    return made
