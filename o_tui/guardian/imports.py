"""Reading foreign conversations into memories."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from o_tui.paths import open_foreign
from o_tui.protocol.errors import UsageError

_T = TypeVar("_T")
_SESSION = re.compile(r"session_([1-9]\d{0,8})", re.ASCII)
_TIME = "%I:%M %p on %d %B, %Y"
FILE_LIMIT_BYTES = 256 * 1024 * 1024
PART_ITEMS = 100
PART_BYTES = 64 * 1024


class Turn(msgspec.Struct):
    """What somebody said, perhaps with a picture that a caption describes."""

    speaker: str
    dia_id: str
    text: str | None = None
    blip_caption: str | None = None


class Conversation(msgspec.Struct):
    """One of a file's.

    Its sessions stand in `conversation`, by `session_<number>`, beside other things. No import fails over `qa`.
    """

    sample_id: str
    conversation: dict[str, Any]
    qa: Any = None


def read_locomo(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The turns of a LoCoMo file (Maharana et al. 2024) as items of `memory.add`, and how many had nothing in them.

    A memory's text says who spoke, and what a picture shows; its source is `locomo:<conversation>:<dialogue id>`, its
    context when that was, in the file's words. The turns of a session are a thread, so that each is found by those
    around it too.

    Raises:
        NotFoundError: There is no such file.
        RefusedError: It is not a file: a device may have no end.
        UsageError: It is not in that format.
    """
    return decoded(path, read_conversations)


def decoded(path: Path, read: Callable[[list[Conversation]], _T]) -> _T:
    """What `read` makes of a LoCoMo file's conversations; raises as `read_locomo`."""
    try:
        with open_foreign(path) as file:
            data = file.read(FILE_LIMIT_BYTES + 1)  # it may grow while it is read
        if len(data) > FILE_LIMIT_BYTES:
            raise UsageError(f"{path} is larger than {FILE_LIMIT_BYTES >> 20} MiB")
        conversations = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} cannot be read: it is not UTF-8 text (byte {error.start})") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    try:
        return read(msgspec.convert(conversations, list[Conversation]))
    except msgspec.ValidationError as error:
        raise UsageError(f"{path} is not a LoCoMo file: {error}") from error


def read_conversations(conversations: Sequence[Conversation]) -> tuple[list[dict[str, Any]], int]:
    """`read_locomo` of what was decoded already; raises ValidationError."""
    items: list[dict[str, Any]] = []
    empty = 0
    for one in conversations:
        for session, when, turns in _sessions(one.conversation):
            for turn in turns:
                said = _said(turn)
                if not said:
                    empty += 1
                    continue
                items.append(
                    {
                        "text": _whole(f"{turn.speaker}: {said}"),
                        "source": _whole(f"locomo:{one.sample_id}:{turn.dia_id}"),
                        "kind": "episodic",
                        "context": _whole(when),
                        "time_ns": _time_ns(when),
                        "thread": _whole(f"locomo:{one.sample_id}:{session}"),
                    }
                )
    return items, empty


def identity(item: dict[str, Any]) -> str:
    """The id of an imported text: the same one whenever it comes from the same place."""
    said = json.dumps([item["thread"], item["source"], item["text"]])
    return f"import-{hashlib.sha256(said.encode()).hexdigest()[:32]}"


def parts(items: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The items in parts of a moderate size, in order; one that is larger is a part of its own."""
    part: list[dict[str, Any]] = []
    size = 0
    for item in items:
        more = len(item["text"].encode("utf-8", "replace"))
        if part and (len(part) == PART_ITEMS or size + more > PART_BYTES):
            yield part
            part, size = [], 0
        part.append(item)
        size += more
    if part:
        yield part


def text_parts(text: str) -> Iterator[str]:
    """A text in parts of at most PART_BYTES signs, cut between paragraphs, else lines, else words; one at least."""
    start = 0
    while len(text) - start > PART_BYTES:
        least, most = start + PART_BYTES // 2, start + PART_BYTES
        cuts = (text.rfind(joint, least, most) + len(joint) for joint in ("\n\n", "\n", " "))
        end = next((cut for cut in cuts if cut > least), most)
        yield text[start:end]
        start = end
    yield text[start:]


def _sessions(conversation: dict[str, Any]) -> Iterator[tuple[int, str, list[Turn]]]:
    """Number, date and turns of each session, in order."""
    for number in sorted(int(match[1]) for key in conversation if (match := _SESSION.fullmatch(key))):
        name = f"session_{number}"
        try:
            when = msgspec.convert(conversation.get(f"{name}_date_time", ""), str)
            turns = msgspec.convert(conversation[name], list[Turn])
        except msgspec.ValidationError as error:
            raise msgspec.ValidationError(f"{error} in {name}") from None
        yield number, when, turns


def _said(turn: Turn) -> str:
    """What was said, and what the picture shows that came with it."""
    caption = turn.blip_caption
    return " ".join(part for part in ((turn.text or "").strip(), f"[{caption}]" if caption else "") if part)


def _whole(text: str) -> str:
    """The text with U+FFFD for each lone surrogate: JSON may escape half a sign, which no UTF-8 can hold."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _time_ns(when: str) -> int:
    """`1:56 pm on 8 May, 2023` (taken as UTC) in ns; 0 where it cannot be read."""
    try:
        parsed = datetime.strptime(when.strip(), _TIME).replace(tzinfo=UTC)
    except ValueError:
        return 0
    return int(parsed.timestamp()) * 1_000_000_000
