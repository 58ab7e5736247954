"""What the view knows: one snapshot, kept up to date by notices. No I/O, no clock: the same notices, the same model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Row = dict[str, Any]
Part = Literal[
    "link", "status", "requests", "checkpoints", "events", "evolutions", "shadows", "brain", "config", "tree", "storage"
]
EVERYTHING: frozenset[Part] = frozenset(Part.__args__)  # type: ignore[attr-defined]
EVENTS_KEPT = 1_000
REQUESTS_KEPT = 500
SHADOWS_KEPT = 400
_NOTHING: frozenset[Part] = frozenset()


@dataclass(slots=True)
class Model:
    """All that the panes show. Panes read it and never change it.

    Attributes:
        link: State of the connection (see link.LinkState) and, beside it, one line about it.
        status: The `status` value of COMMANDS.md, with the latest telemetry in it.
        requests: Request rows, oldest first.
        checkpoints: Checkpoint rows, newest first.
        events: Event rows, oldest first.
        evolutions: Evolution rows by id, in order of their start.
        shadows: Shadow rows by id.
    """

    link: str = "starting"
    link_detail: str = ""
    placement: str = ""
    seq: int = 0
    status: Row = field(default_factory=dict)
    requests: dict[str, Row] = field(default_factory=dict)
    checkpoints: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    evolutions: dict[str, Row] = field(default_factory=dict)
    shadows: dict[str, Row] = field(default_factory=dict)
    brain: Row = field(default_factory=dict)
    config: Row = field(default_factory=dict)
    tree: Row = field(default_factory=dict)
    storage: Row = field(default_factory=dict)

    def instance(self, role: str) -> Row | None:
        """The instance of a role, or None."""
        return next((row for row in self.status.get("instances") or () if row.get("role") == role), None)

    @property
    def pending(self) -> list[Row]:
        """Evolutions that wait for the operator, oldest first."""
        return [row for row in self.evolutions.values() if row.get("state") == "pending"]

    @property
    def running(self) -> list[Row]:
        """Requests that are not done."""
        return [row for row in self.requests.values() if row.get("state") in ("accepted", "running")]

    @property
    def read_only(self) -> bool:
        """The guardian cannot write (disk full, damaged)."""
        return bool(self.storage.get("read_only") or (self.status.get("wal") or {}).get("read_only"))


def load(model: Model, seq: int, data: Mapping[str, Any]) -> frozenset[Part]:
    """Replaces everything by a snapshot; returns the parts that changed (all of them)."""
    model.seq = seq
    model.status = dict(data.get("status") or {})
    # rows come oldest first, as the log has them: their times say nothing of that where the clock was set
    model.requests = {row["request_id"]: dict(row) for row in data.get("requests") or ()}
    model.checkpoints = sorted((dict(row) for row in data.get("checkpoints") or ()), key=newness, reverse=True)
    model.events = sorted((dict(row) for row in data.get("events") or ()), key=lambda row: row.get("id", 0))
    newest = {row["id"]: dict(row) for row in data.get("evolutions") or ()}
    older = {row["id"]: dict(row) for row in data.get("pending") or () if row["id"] not in newest}
    model.evolutions = older | newest
    model.shadows = {row["id"]: dict(row) for row in data.get("shadows") or ()}
    model.brain = dict(data.get("brain") or model.status.get("brain") or {})
    model.config = dict(data.get("config") or {})
    model.tree = dict(data.get("tree") or {})
    model.storage = {}
    return EVERYTHING


def apply(model: Model, seq: int, topic: str, data: Row) -> frozenset[Part]:
    """Takes one notice in; returns the parts that changed. An unknown topic changes nothing."""
    model.seq = max(model.seq, seq)
    handler = _TOPICS.get(topic)
    return handler(model, data) if handler else _NOTHING


def _request(model: Model, row: Row) -> frozenset[Part]:
    identity = row.get("request_id")
    if not identity:
        return _NOTHING
    model.requests[identity] = model.requests.get(identity, {}) | row
    while len(model.requests) > REQUESTS_KEPT:
        del model.requests[next(iter(model.requests))]
    return frozenset({"requests"})


def _instance(model: Model, data: Row) -> frozenset[Part]:
    model.status["instances"] = list(data.get("instances") or ())
    return frozenset({"status"})


def _telemetry(model: Model, data: Row) -> frozenset[Part]:
    changed: set[Part] = {"status"}
    for key, value in data.items():
        if key == "shadows":
            for row in value or ():
                _shadow(model, row)
            changed.add("shadows")
            continue
        old = model.status.get(key)
        model.status[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
        if key == "brain":
            model.brain = model.status[key]
            changed.add("brain")
    return frozenset(changed)


def _checkpoint(model: Model, data: Row) -> frozenset[Part]:
    row = data.get("row") or {}
    others = [old for old in model.checkpoints if old.get("id") != row.get("id")]
    old = next((old for old in model.checkpoints if old.get("id") == row.get("id")), {})
    if data.get("action") not in ("removed", "purged"):
        others.append({**old, **row})
        others.sort(key=newness, reverse=True)
    model.checkpoints = others
    if data.get("action") == "created":
        model.status["checkpoint"] = {
            "id": row.get("id"), "seq": row.get("seq"), "time": row.get("time_ns")
        }  # fmt: skip
    return frozenset({"checkpoints", "status"})


def _evolution(model: Model, row: Row) -> frozenset[Part]:
    if not row.get("id"):
        return _NOTHING
    model.evolutions[row["id"]] = model.evolutions.get(row["id"], {}) | row
    return frozenset({"evolutions"})


def _shadow(model: Model, row: Row) -> frozenset[Part]:
    if not row.get("id"):
        return _NOTHING
    model.shadows[row["id"]] = model.shadows.get(row["id"], {}) | row
    while len(model.shadows) > SHADOWS_KEPT:
        del model.shadows[next(iter(model.shadows))]
    return frozenset({"shadows"})


def _event(model: Model, row: Row) -> frozenset[Part]:
    model.events.append(row)
    if len(model.events) > EVENTS_KEPT:
        del model.events[: EVENTS_KEPT // 10]
    return frozenset({"events"})


def _brain(model: Model, data: Row) -> frozenset[Part]:
    model.brain = model.brain | data
    model.status["brain"] = model.brain
    return frozenset({"brain", "status"})


def _config(model: Model, data: Row) -> frozenset[Part]:
    model.config = dict(data)
    return frozenset({"config"})


def _storage(model: Model, data: Row) -> frozenset[Part]:
    model.storage = dict(data)
    wal = model.status.get("wal")
    if isinstance(wal, dict):
        wal["read_only"] = bool(data.get("read_only"))
    return frozenset({"storage", "status"})


def _tree(model: Model, data: Row) -> frozenset[Part]:
    model.tree = dict(data)
    return frozenset({"tree"})


def _stopping(model: Model, data: Row) -> frozenset[Part]:
    model.link_detail = str(data.get("reason") or "")
    return frozenset({"link"})


def newness(row: Mapping[str, Any]) -> tuple[bool, int, int]:
    """How new a checkpoint is, beside others: as `Vault.list` has them."""
    own = row.get("origin") != "imported"
    return own, int(row.get("seq") or 0) if own else 0, _time(row)


def _time(row: Mapping[str, Any]) -> int:
    return int(row.get("time_ns") or 0)


_TOPICS: dict[str, Callable[[Model, Row], frozenset[Part]]] = {
    "chat.request": _request,
    "chat.done": _request,
    "instance": _instance,
    "telemetry": _telemetry,
    "checkpoint": _checkpoint,
    "evolution": _evolution,
    "shadow": _shadow,
    "event": _event,
    "brain": _brain,
    "config": _config,
    "storage": _storage,
    "tree": _tree,
    "stopping": _stopping,
}
