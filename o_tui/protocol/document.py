"""docs/PROTOCOL.md, made from the declarations: `python -m o_tui.protocol.document` rewrites it, a test finds drift."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import msgspec

from o_tui.protocol import checkpoint, chunks, frames, messages, operations

TARGET = Path(__file__).parents[2] / "docs" / "PROTOCOL.md"


class Direction(NamedTuple):
    """Who sends what to whom; `types` are names of `messages.TYPES`."""

    sender: str
    receiver: str
    carrier: str
    types: tuple[str, ...]


DIRECTIONS: tuple[Direction, ...] = (
    Direction(
        "instance",
        "guardian",
        "frames on a stream socketpair",
        (
            *("ready", "heartbeat", "operation", "operations", "event", "done", "broker_request", "reloaded"),
            *("metrics", "evolution_intent", "log", "failed", "chunk"),
        ),
    ),
    Direction(
        "guardian",
        "instance",
        "frames on a stream socketpair",
        (
            *("process_request", "cancel_request", "committed", "refused", "load_genome", "hot_reload"),
            *("broker_reply", "role", "evolution_result", "shutdown", "chunk"),
        ),
    ),
    Direction(
        "guardian",
        "nursery",
        "control: one payload a datagram (SEQPACKET), file descriptors beside it",
        ("restore", "fork", "checkpoint_request"),
    ),
    Direction("nursery", "guardian", "control", ("ready", "forked", "exited", "failed")),
    Direction("guardian", "nursery", "frames on a stream socketpair", ("committed", "shutdown", "chunk")),
    Direction("nursery", "guardian", "frames on a stream socketpair", ("heartbeat", "log", "failed")),
    Direction(
        "guardian",
        "broker",
        "frames on a stream socketpair",
        ("configure", "broker_request", "broker_cancel", "shutdown", "chunk"),
    ),
    Direction(
        "broker",
        "guardian",
        "frames on a stream socketpair",
        ("ready", "brain", "broker_reply", "heartbeat", "log", "chunk"),
    ),
    Direction("view", "guardian", "frames on the workspace's Unix socket", ("hello", "call", "chunk")),
    Direction(
        "guardian",
        "view",
        "frames on the workspace's Unix socket",
        ("welcome", "snapshot", "notice", "result", "chunk"),
    ),
)

TOPICS: dict[str, str] = {
    "chat.request": "a request's row, when it is accepted and whenever its state changes",
    "chat.event": "`{request_id, kind, data}`: what `event` says; for the kind text `data.text` is a delta",
    "chat.done": "a request's row, when it has ended",
    "instance": "`{instances: [...]}`: all processes, when one of them starts, changes its role or ends",
    "tree": "the supervision tree, when something in it starts or ends",
    "telemetry": "`{instances, wal, loop, brain, shadows, …}`: figures; only the latest one is kept for a slow view",
    "checkpoint": "`{action, row}`",
    "evolution": "an evolution's row, without its diff; `work` is what is done with which of several candidates: "
    "`{doing, at, of, failed}` (doing: make, validate, look, final, race, prove; a race has `round`), `{}`: nothing is",
    "shadow": "a shadow's row; `evidence` of a shadow, not of its twin, is what there is to decide from by now: "
    "`{pairs, least, e_value, wanted, mirrored, recorded, workload, attacks, attacks_failed, repaired, refused}`",
    "brain": "what `brain` says",
    "event": "a row of the event log",
    "config": "settings that have changed",
    "storage": "`{read_only, text}`: the database cannot be written, or can again",
    "stopping": "`{reason}`: the last notice",
}
"""What `data` of a `notice` is, by its topic."""

_HEAD = f"""# Protocol

Made by `python -m o_tui.protocol.document` from `o_tui/protocol/`. Do not edit.

A frame is `length: u32 big-endian` and a MessagePack map `{{type, timestamp, data, metadata}}`. `timestamp` is the
time of sending in nanoseconds UTC; `metadata` is `{{request_id, instance, epoch}}`. Fields that have their default are
left out; `Untrusted` is a text. An unknown field is ignored; an unknown type, a missing field or a value of another
type is a `FrameError`: the socket is closed, and a row written.

## Limits

| what | limit |
|---|---|
| payload of a frame | {frames.FRAME_LIMIT_BYTES:,} bytes; nothing is allocated for a header that announces more |
| nesting | {frames.DEPTH_LIMIT} |
| values in a payload, keys included | {frames.VALUES_LIMIT:,} |
| payload in `chunk` frames | {chunks.WHOLE_LIMIT_BYTES:,} bytes, {chunks.CHUNK_BYTES:,} a chunk, SHA-256 at the end |
| keys of maps | text or integers, each once |
| never | extension types (timestamps too), NaN, infinity, text that is not UTF-8, bytes after the value |
| body of a checkpoint, unpacked | {checkpoint.BODY_LIMIT_BYTES:,} bytes |

The same limits hold for the `data` of an operation, which is MessagePack inside MessagePack.
"""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _fields(struct: type[msgspec.Struct]) -> Iterable[str]:
    yield "| field | type | default |"
    yield "|---|---|---|"
    for field in msgspec.structs.fields(struct):
        annotation = inspect.get_annotations(struct).get(field.name, "")
        if field.default is not msgspec.NODEFAULT:
            default = f"`{field.default!r}`"
        elif field.default_factory is not msgspec.NODEFAULT:
            default = f"`{field.default_factory()!r}`"
        else:
            default = ""
        yield f"| `{field.name}` | `{_cell(str(annotation))}` | {_cell(default)} |"


def _struct(name: str, struct: type[msgspec.Struct], notes: Sequence[str] = ()) -> Iterable[str]:
    yield from ("", f"### `{name}`", "", *notes)
    yield inspect.cleandoc(struct.__doc__ or "")
    if struct.__struct_fields__:
        yield ""
        yield from _fields(struct)


def _message(name: str) -> Iterable[str]:
    ways = [f"{way.sender} → {way.receiver}" for way in DIRECTIONS if name in way.types]
    return _struct(name, messages.TYPES[name], (f"*{', '.join(dict.fromkeys(ways))}*", ""))


def _directions() -> Iterable[str]:
    yield from ("", "## Who sends what", "", "| from | to | on | types |", "|---|---|---|---|")
    for way in DIRECTIONS:
        types = ", ".join(f"[`{name}`](#{name})" for name in way.types)
        yield f"| {way.sender} | {way.receiver} | {way.carrier} | {types} |"


def _named_types() -> Iterable[str]:
    yield from ("", "## Names of types", "", "| name | values |", "|---|---|")
    named = {
        "Role": messages.Role,
        "ReplyState": messages.ReplyState,
        "BlockKind": operations.BlockKind,
        "Lifecycle": operations.Lifecycle,
    }
    for name, kind in named.items():
        yield f"| `{name}` | {', '.join(f'`{value}`' for value in get_args(kind))} |"


def _operations() -> Iterable[str]:
    yield from (
        "",
        "## Operations",
        "",
        "What `operation.data` and a row of the WAL hold. A row is the array",
        f"`[{', '.join(operations.Entry.__struct_fields__)}]`; the digest of the chain after it",
        "is SHA-256(digest before it, row).",
    )
    for name, struct in operations.TYPES.items():
        notes = ("*Only the guardian makes it.*", "") if name in operations.GUARDIAN_ONLY else ()
        yield from _struct(name, struct, notes)


def render() -> str:
    """The whole page."""
    lines = [_HEAD.rstrip(), *_directions(), *_named_types(), "", "## Messages"]
    for name in messages.TYPES:
        lines.extend(_message(name))
    lines += ["", "## Topics of notices", "", "| topic | data |", "|---|---|"]
    lines += [f"| `{topic}` | {_cell(text)} |" for topic, text in TOPICS.items()]
    lines.extend(_operations())
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
