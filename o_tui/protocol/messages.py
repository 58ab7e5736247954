"""Every message, declared once. docs/PROTOCOL.md is generated from this file.

An unknown field is ignored, an unknown type is an error. What a process says to be shown, and for nothing else, is
`Untrusted`: on the wire a str. The seeds' names `wal_entry`, `wal_batch` and
`wal_flush_ack` are `operation`, `operations` and `committed` here.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from o_tui.protocol.safe_text import Untrusted

PROTOCOL_VERSION = 1
"""What a view and its guardian have to agree on (`hello`, `welcome`)."""
SAY_LIMIT_BYTES = 128 * 1024
"""Largest text that is said to the agent: its turn of the conversation is one operation of the log."""

Role = Literal["main", "standby", "canary", "shadow"]
ReplyState = Literal["delta", "done", "error"]


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of the messages."""


# --- instance -> guardian


class Ready(Message, frozen=True, kw_only=True):
    """An instance (or the nursery, or the broker) can be used: it has the state at `seq` and runs `revision`.

    `tier` is the confinement that the process is under (docs/EVOLUTION.md: A, B, C, or X for none).
    """

    pid: int
    seq: int = 0
    digest: bytes = b""
    revision: str = ""
    tier: str = ""


class Heartbeat(Message, frozen=True, kw_only=True):
    """Sent every second. `busy` counts requests that are not done."""

    seq: int = 0
    busy: int = 0
    requests: int = 0
    errors: int = 0


class OperationProposal(Message, frozen=True, kw_only=True):
    """One change of state is proposed for the request in the metadata; `position` counts from 0 in that request."""

    position: int
    operation: str
    data: bytes


class OperationProposals(Message, frozen=True, kw_only=True):
    """Several, in order."""

    items: list[OperationProposal]


class Event(Message, frozen=True, kw_only=True):
    """What a view shows while a request runs: text, tool_call, tool_result, usage, notice."""

    kind: Literal["text", "tool_call", "tool_result", "usage", "notice", "recall"]
    data: dict[str, Any]


class Done(Message, frozen=True, kw_only=True):
    """A request has ended."""

    ok: bool
    text: str = ""
    error: str = ""
    operations: int = 0


class BrokerRequest(Message, frozen=True, kw_only=True):
    """An effect is asked for: `llm.chat`, `llm.embed`, `llm.models`, `tool.<name>`."""

    call_id: str
    kind: str
    arguments: dict[str, Any]


class Metrics(Message, frozen=True, kw_only=True):
    """What an instance says of itself: shown, never used to judge."""

    values: dict[str, float]


class EvolutionIntent(Message, frozen=True, kw_only=True):
    """The agent would like one of its genes changed."""

    gene: Untrusted
    reason: Untrusted
    hypothesis: Untrusted = Untrusted("")


class Log(Message, frozen=True, kw_only=True):
    """A line for the event log."""

    level: Literal["debug", "info", "warning", "error"]
    text: Untrusted
    data: dict[str, Any] = {}


class Failed(Message, frozen=True, kw_only=True):
    """An instance is about to exit: what it could not do, and the entry or the genome that was in its hands."""

    what: Literal["reduce", "genome", "restore", "kernel"]
    text: str
    seq: int = 0


# --- guardian -> instance


class ProcessRequest(Message, frozen=True, kw_only=True):
    """One request. `committed` operations of it are already in the log: they are not proposed again.

    `brain` and `embedder` are the models that answer and that embed texts; empty: there is none.
    """

    text: str
    kind: str = "chat"
    session: str = "main"
    time_ns: int = 0
    attempt: int = 1
    committed: int = 0
    brain: str = ""
    embedder: str = ""


class CancelRequest(Message, frozen=True, kw_only=True):
    """The operator does not want the answer any more."""


class Committed(Message, frozen=True, kw_only=True):
    """Entries are durable: every replica applies them, in order. `digest` is the chain's after the last one.

    Each of `entries` is `operations.pack_entry`.
    """

    entries: list[bytes]
    digest: bytes


class Refused(Message, frozen=True, kw_only=True):
    """A proposal was not accepted (read-only, not allowed); the request ends with this error."""

    position: int
    error: str


class LoadGenome(Message, frozen=True, kw_only=True):
    """The genome's files at a revision (`path -> source`); the instance answers `ready` or `failed`.

    Attributes:
        anew: Paths of modules that the instance makes itself, though it was forked with the same ones ready to run.
    """

    revision: str
    version: str
    files: dict[str, str]
    anew: list[str] = []


class HotReload(Message, frozen=True, kw_only=True):
    """Like `load_genome`, into a running instance: loaded beside the old one, swapped between two requests."""

    revision: str
    version: str
    files: dict[str, str]


class Reloaded(Message, frozen=True, kw_only=True):
    """The answer to `hot_reload`."""

    revision: str
    ok: bool
    error: str = ""


class BrokerReply(Message, frozen=True, kw_only=True):
    """A part (`delta`), the end (`done`) or the failure (`error`) of an effect that was asked for."""

    call_id: str
    state: ReplyState
    data: dict[str, Any] = {}


class RoleChange(Message, frozen=True, kw_only=True):
    """A standby becomes main."""

    role: Role


class EvolutionResult(Message, frozen=True, kw_only=True):
    """How an evolution that this agent wished for has ended."""

    evolution: str
    gene: str
    outcome: str
    reason: str = ""


class Shutdown(Message, frozen=True, kw_only=True):
    """Finish what is in hand within `grace_s`, then exit 0."""

    grace_s: float = 2.0


# --- guardian <-> nursery (a SEQPACKET socket: one payload a datagram, file descriptors beside it)


class Restore(Message, frozen=True, kw_only=True):
    """Load the state from the `.ckpt` file whose descriptor comes with this (a delta: its base's behind it).

    Without one: the empty state.

    `seq` and `digest`, where given, are what the state is from then on (restoring an older checkpoint).
    """

    checkpoint_id: str = ""
    seq: int = -1
    digest: bytes = b""


class Fork(Message, frozen=True, kw_only=True):
    """Fork an instance that speaks on the socket whose descriptor comes with this, not before entry `after_seq`."""

    instance: str
    role: Role
    after_seq: int = 0


class Snapshot(Message, frozen=True, kw_only=True):
    """Fork a child that writes the state as a `.ckpt` file to the descriptor that comes with this, and exits.

    Where the descriptor of a full checkpoint comes behind it, a delta over that is written, if it pays.

    Not before entry `after_seq` is applied: what was acknowledged before a checkpoint was asked for is in it.
    `idle`: it runs only where a core has nothing else to do.
    """

    instance: str
    checkpoint_id: str
    time_ns: int
    revision: str
    after_seq: int = 0
    idle: bool = False


class Forked(Message, frozen=True, kw_only=True):
    """The child's pid, and the sequence number of the state that it has.

    With this come two descriptors: its pidfd, and the sealed memfd of its shared counters.
    """

    instance: str
    pid: int
    seq: int


class Exited(Message, frozen=True, kw_only=True):
    """A child was reaped. `status` as in os.waitstatus_to_exitcode: negative is a signal."""

    instance: str
    pid: int
    status: int


# --- guardian <-> broker


class Configure(Message, frozen=True, kw_only=True):
    """Which model answers from now on."""

    provider: str
    model: str
    base_url: str = ""
    timeout_s: float = 60.0
    embedding_model: str = ""


class BrokerCancel(Message, frozen=True, kw_only=True):
    """Nobody waits for this effect any more."""

    call_id: str


class BrainState(Message, frozen=True, kw_only=True):
    """What the broker can reach; keys are shown masked."""

    provider: str
    model: str
    ok: bool
    detail: str = ""
    key: str = ""


# --- guardian <-> view


class Hello(Message, frozen=True, kw_only=True):
    """The first message of a view. It gets `welcome`; with `follow` also a `snapshot` and every event after it."""

    protocol: int
    build: str
    follow: bool = False
    viewer: bool = False
    metrics_hz: float = 2.0


class Welcome(Message, frozen=True, kw_only=True):
    """Who answers."""

    protocol: int
    build: str
    instance: str
    epoch: int
    pid: int
    placement: Literal["process", "embedded"]


class StateSnapshot(Message, frozen=True, kw_only=True):
    """All that a view shows, as of the notice with number `seq`."""

    seq: int
    data: dict[str, Any]


class Notice(Message, frozen=True, kw_only=True):
    """Something happened; `topic` says what `data` is (docs/PROTOCOL.md)."""

    seq: int
    topic: str
    data: dict[str, Any]


class Call(Message, frozen=True, kw_only=True):
    """A method of the guardian's public API."""

    id: int
    method: str
    params: dict[str, Any] = {}


class Result(Message, frozen=True, kw_only=True):
    """The answer to a call: `value`, or an error with its exit code and hint."""

    id: int
    ok: bool
    value: Any = None
    error: str = ""
    code: int = 0
    hint: str = ""


class Chunk(Message, frozen=True, kw_only=True):
    """A part of a frame that passes the limit (see chunks.py). The last one carries the SHA-256 of the whole."""

    stream: int
    index: int
    data: bytes
    last: bool = False
    sha256: bytes = b""


TYPES: dict[str, type[Message]] = {
    "ready": Ready,
    "heartbeat": Heartbeat,
    "operation": OperationProposal,
    "operations": OperationProposals,
    "event": Event,
    "done": Done,
    "broker_request": BrokerRequest,
    "metrics": Metrics,
    "evolution_intent": EvolutionIntent,
    "log": Log,
    "failed": Failed,
    "process_request": ProcessRequest,
    "cancel_request": CancelRequest,
    "committed": Committed,
    "refused": Refused,
    "load_genome": LoadGenome,
    "hot_reload": HotReload,
    "reloaded": Reloaded,
    "broker_reply": BrokerReply,
    "role": RoleChange,
    "evolution_result": EvolutionResult,
    "shutdown": Shutdown,
    "restore": Restore,
    "fork": Fork,
    "checkpoint_request": Snapshot,
    "forked": Forked,
    "exited": Exited,
    "configure": Configure,
    "broker_cancel": BrokerCancel,
    "brain": BrainState,
    "hello": Hello,
    "welcome": Welcome,
    "snapshot": StateSnapshot,
    "notice": Notice,
    "call": Call,
    "result": Result,
    "chunk": Chunk,
}
NAMES: dict[type[Message], str] = {struct: name for name, struct in TYPES.items()}
