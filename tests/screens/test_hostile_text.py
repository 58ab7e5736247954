"""Hostile text in every place of the screen: nothing foreign reaches the terminal, nothing acts, nothing hides.

The view is a real process on a real pty. What it writes is cut into the sequences that are its own; the rest is text.
"""

from __future__ import annotations

import base64
import os
import re
import signal
from collections.abc import AsyncIterator, Set
from pathlib import Path
from typing import Any

import pytest

from o_tui.protocol.errors import OError
from tests.support import panes, scripted_data
from tests.support.scripted_link import ScriptedGuardian
from tests.support.terminal import PtyView

EVIL = (
    "X\x1b[2J\x1b[97;41;5mY\x1b]52;c;U1RPTEVO\x07\x1b]0;STOLEN\x07\x1b]8;;http://stolen\x1b\\L\x1b]8;;\x1b\\"
    "\x9b31m\x9d0;S\x9c\x07\r\x08\x7f\x00\u202eRTL\u2066\u200b\u2028\U000e0041\ufeff"
    "[@click=app.quit_view]go[/][/red][bold]" + "e" + "\u0301" * 40
)
FOREIGN = [b"\x1b[97;41;5m", b"\x1b[2J", b"\x1b]52;c;U1RP", b"\x1b]0;", b"\x1b]8;", b"\x1b\\L"]
STRUCTURE = {
    *("state", "role", "level", "kind", "placement", "digest", "diff", "diff_sha256", "evidence_sha256", "decision"),
    *("verdict", "request_id", "id", "lifecycle", "tier"),
}
"""Words of the guardian's own, by which rows are told apart; ids are poisoned in a test of their own."""
SEQUENCES = re.compile(
    rb"\x1b\[[0-9;:]*m"  # colours
    rb"|\x1b\[[0-9;]*[ABCDHJK]"  # the cursor, erasing
    rb"|\x1b\[[?>=<]?[0-9;]*(?:\$p|[hlucqtp])"  # modes, keyboard, questions
    rb"|\x1b\]11;\?\x1b\\"  # the background?
    rb"|\x1b\]22;[a-z-]*\x07"  # the pointer's shape
    rb"|\x1b\]52;c;[A-Za-z0-9+/=]*\x07"  # the clipboard: looked at apart
    rb"|\x1b[=>78]|\x1b\[6n|\x1bP\+q[0-9a-f;]*\x1b\\|\x1b_G[^\x1b]*\x1b\\"
)
UNSEEN = re.compile(
    "[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2028\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)


def poisoned(value: Any, key: str = "", kept: Set[str] = STRUCTURE) -> Any:
    """The same rows with hostile text in all of their texts but those that are `kept`."""
    if isinstance(value, dict):
        return {name: poisoned(part, name, kept) for name, part in value.items()}
    if isinstance(value, list):
        return [poisoned(part, key, kept) for part in value]
    return f"{value} {EVIL}" if isinstance(value, str) and value and key not in kept else value


def assert_harmless(output: bytes, where: str) -> None:
    """Only sequences of the view's own, and text in which nothing hides."""
    for sequence in FOREIGN:
        assert sequence not in output, f"{where}: {sequence!r}"
    for packed in re.findall(rb"\x1b\]52;c;([A-Za-z0-9+/=]*)\x07", output):
        assert not {*b"\x1b\x07"} & {*base64.b64decode(packed)}, f"{where}: what is copied acts where it is pasted"
    text = SEQUENCES.sub(b"", output).decode("utf-8", "replace")
    left = UNSEEN.search(text)
    assert left is None, f"{where}: {text[max(0, left.start() - 40) : left.end() + 20]!r}"
    assert not re.search("\u0301{5}", text), f"{where}: a pile of marks"


@pytest.fixture
async def guardian(folder: Path) -> AsyncIterator[ScriptedGuardian]:
    (folder / "run").mkdir()
    evolution = poisoned(panes.evolution(panes.diff_text(new=panes.NEW + f"# {EVIL}\n")))
    snapshot = poisoned(scripted_data.snapshot())
    snapshot["evolutions"] = [{key: value for key, value in evolution.items() if key != "diff"}]
    snapshot["config"] = {"brain": {"onboarded": True, "model": EVIL, "base_url": EVIL}}
    async with ScriptedGuardian(folder / "run" / "guardian.sock", snapshot) as found:
        section = {"name": EVIL, "size_bytes": 7, "a_bytes": 1, "b_bytes": 2, "equal": False}
        found.handlers |= {
            "evolution.show": lambda id: evolution,
            "genome.show": lambda revision, path: {"revision": revision, "path": path, "text": EVIL},
            "checkpoint.show": lambda id: {"id": EVIL, "sections": [section], "chain_digest": EVIL},
            "checkpoint.compare": lambda a, b: {"a": {"id": EVIL}, "b": {}, "seq_difference": 1, "sections": [section]},
            "memory.search": lambda text, k: {"results": [{"text": EVIL, "source": EVIL, "time_ns": 1}]},
            "brain.detect": lambda: {
                "found": [{"provider": "ollama", "source": EVIL, "models": [EVIL]}],
                "problems": [EVIL],
            },
            "checkpoint.create": fails,
            "checkpoint.verify": lambda id: {"ok": False, "usable": False, "problems": [EVIL], "checked": 1},
        }
        yield found


def fails(**_params: Any) -> Any:
    raise OError(EVIL, hint=EVIL)


async def ended_well(view: PtyView, folder: Path, guardian: ScriptedGuardian) -> None:
    """It lives to be ended, no pane has failed, and nothing was done in the operator's name."""
    os.kill(view.pid, signal.SIGTERM)
    assert await view.ended() == 143
    assert "ERROR" not in (folder / "o.log").read_text()
    asked = {"evolution.show", "genome.show", "memory.search", "brain.detect", "events.list", "status", "say"}
    asked |= {"checkpoint.show", "checkpoint.compare", "checkpoint.create", "checkpoint.verify"}
    assert {name for name, _ in guardian.calls} <= asked


PASTE = f"\x1b[200~{EVIL}\x1b[201~"
PLACES: list[tuple[str, str, str]] = [
    ("chat and header", "", "[/red]"),
    ("prompt, pasted into", PASTE, "␛"),
    ("help", "\x1bOP", "Keys of"),
    ("back", "\x1b", ""),
    ("settings", "\x1bOQ", "model"),
    ("back", "\x1b", ""),
    ("shadows", "\x1b2", "[@click"),
    ("a shadow in full", "\r", ""),
    ("back", "\x1b", ""),
    ("vault", "\x1b3", "␛[2J"),
    ("a checkpoint in full", "\r", "<U+202E>"),
    ("a damaged one", "v", "␛"),
    ("back", "\x1b", ""),
    ("two checkpoints", "m\x1b[Bd", "!="),
    ("back", "\x1b", ""),
    ("a checkpoint to restore", "r", "confirm"),
    ("back", "\x1b", ""),
    ("a checkpoint to export", "x", "Export"),
    ("back", "\x1b", ""),
    ("toast", "c", "␛[2J"),
    ("filter", "/" + PASTE, "␛"),
    ("back", "\x1b", ""),
    ("review", "\x1b4", "@@ -"),
    ("chat again", "1", "[/red]"),
    ("review again", "\x1b4", "@@ -"),
    ("rejection", "R", "Why?"),
    ("back", "\x1b", ""),
    ("approval", "A", ""),
    ("back", "\x1b", ""),
    ("evidence", "i", "hidden or"),
    ("events", "\x1b5", "<U+202E>"),
    ("an event in full", "\x1b[F\r", "␛[2J"),
    ("back", "\x1b", ""),
    ("palette", "\x10", "What do you want"),
    ("palette, pasted into", PASTE, "␛"),
    ("back", "\x1b", ""),
    ("quit", "\x11", "Leave O"),
    ("back", "\x1b", ""),
]
"""Where, the keys that lead there, and what must be seen then."""


async def test_every_place_shows_it_and_nothing_acts(folder: Path, guardian: ScriptedGuardian) -> None:
    async with PtyView(folder) as view:
        for where, keys, words in PLACES:
            view.type(keys)
            await view.sees(words)
            await view.rests()
            assert_harmless(view.output, where)
            view.forget()
        await ended_well(view, folder, guardian)


LONG = EVIL + "x[/]" * 250_000
LONG_PLACES = [
    ("chat and header", "", "[/red]"),
    ("settings", "\x1bOQ", "model"),
    ("back", "\x1b", ""),
    ("shadows", "\x1b2", "ev-"),
    ("vault", "\x1b3", "␛[2J"),
    ("a checkpoint in full", "\r", "<U+202E>"),
    ("a damaged one", "v", "␛"),
    ("back", "\x1b", ""),
    ("toast", "c", "␛[2J"),
    ("filter", "/\x1b[200~{}\x1b[201~", "␛"),
    ("back", "\x1b", ""),
    ("review", "\x1b4", "@@ -"),
    ("evidence", "i", "hidden or"),
    ("events", "\x1b5", "<U+202E>"),
    ("an event in full", "\x1b[F\r", "␛[2J"),
    ("back", "\x1b", ""),
    ("palette, pasted into", "\x10\x1b[200~{}\x1b[201~", "␛"),
    ("back", "\x1b", ""),
    ("prompt, pasted into", "\x1b1\x1b[200~{}\x1b[201~", "␛"),
]
"""Where a line of a megabyte is shown, the keys that lead there (and what is pasted), what must be seen then."""


def lengthened(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return row | dict.fromkeys(names, LONG)


async def test_a_line_of_a_megabyte_is_shown_in_every_place(folder: Path, guardian: ScriptedGuardian) -> None:
    snapshot = guardian.snapshot
    evolution = lengthened(panes.evolution(panes.diff_text(new=panes.NEW + f"# {LONG}\n")), "goal", "hypothesis")
    snapshot["evolutions"] = [{key: value for key, value in evolution.items() if key != "diff"}]
    snapshot["checkpoints"] = [lengthened(row, "reason") for row in snapshot["checkpoints"][:2]]
    snapshot["events"] = [lengthened(row, "text", "source") for row in snapshot["events"][:3]]
    snapshot["requests"] = [lengthened(row, "text", "answer") for row in snapshot["requests"][:1]]
    snapshot["config"] = {"brain": {"onboarded": True, "model": LONG, "base_url": LONG}}

    def fails_at_length(**_params: Any) -> Any:
        raise OError(LONG, hint=LONG)

    guardian.handlers |= {
        "evolution.show": lambda id: evolution,
        "checkpoint.show": lambda id: {"id": id, "sections": [], "chain_digest": LONG},
        "checkpoint.verify": lambda id: {"ok": False, "usable": False, "problems": [LONG], "checked": 1},
        "checkpoint.create": fails_at_length,
    }
    async with PtyView(folder) as view:
        for where, keys, words in LONG_PLACES:
            await view.enter(keys.format(LONG))
            await view.sees(words)
            await view.rests()
            assert_harmless(view.output, where)
            view.forget()
        await ended_well(view, folder, guardian)


async def test_what_comes_while_one_looks(folder: Path, guardian: ScriptedGuardian) -> None:
    request = scripted_data.request("rq-h", EVIL, state="running")
    call = {"id": "t1", "name": EVIL, "arguments": {EVIL: EVIL}}
    block = f"{EVIL}\n\n```py\n{EVIL}\n```\n| {EVIL} |\n|-|\n\n[x](http://{EVIL}) ![{EVIL}](y) &#27;[2J\n\n"
    said: list[tuple[str, dict[str, Any]]] = [
        *(("text", {"text": text}) for text in ("\x1b", "[2J\x9b", block)),
        ("tool_call", call),
        ("tool_result", call | {"ok": False, "text": LONG}),
        ("notice", {"text": EVIL}),
        ("text", {"text": LONG}),
    ]
    told: list[tuple[str, dict[str, Any]]] = [
        ("chat.request", request),
        *(("chat.event", {"request_id": "rq-h", "kind": kind, "data": data}) for kind, data in said),
        ("chat.done", request | {"state": "failed", "answer": EVIL, "error": EVIL}),
        ("event", poisoned(scripted_data.event(900, EVIL, LONG, "error", EVIL))),
        ("storage", {"read_only": True, "text": EVIL}),
        ("brain", {"provider": EVIL, "model": EVIL, "ok": False, "detail": EVIL, "key": EVIL}),
        ("evolution", poisoned(scripted_data.evolution()) | {"id": "ev-18", "state": "running"}),
    ]
    async with PtyView(folder) as view:
        await view.sees("[/red]")
        for topic, data in told:
            guardian.notify(topic, data)
            await view.rests()
            assert_harmless(view.output, f"{topic} {data.get('kind', '')}")
            view.forget()
        view.type("/memory search x\r")
        await view.rests(0.3)
        assert_harmless(view.output, "memory")
        guardian.notify("stopping", {"reason": EVIL})
        await guardian.stop()
        await view.rests(0.3)
        assert_harmless(view.output, "link lost")
        await ended_well(view, folder, guardian)


async def test_copying_sends_one_sequence_of_the_views_own(folder: Path, guardian: ScriptedGuardian) -> None:
    async with PtyView(folder) as view:
        await view.sees("[/red]")
        view.type("\x1b[Z")
        await view.rests()
        view.type("y")
        await view.sees("to the clipboard")
        await view.rests()
        assert view.output.count(b"\x1b]52;") == 1
        assert_harmless(view.output, "copy")


async def test_what_is_too_large_to_copy_is_a_file_that_acts_nowhere(folder: Path, guardian: ScriptedGuardian) -> None:
    guardian.snapshot["requests"] = [lengthened(row, "text", "answer") for row in guardian.snapshot["requests"][:1]]
    async with PtyView(folder) as view:
        await view.sees("[/red]")
        view.type("\x1b[Z")
        await view.rests()
        view.type("y")
        await view.sees("copied.txt")
        await view.rests()
        assert_harmless(view.output, "copy")
    (file,) = folder.rglob("copied.txt")
    assert len(file.read_text()) > 10_000
    assert_harmless(file.read_bytes(), "the file")


async def test_first_start_and_error_card(folder: Path, guardian: ScriptedGuardian) -> None:
    guardian.snapshot["config"] = {"brain": {"onboarded": False}}
    broken = (
        "from o_tui.ui.panes.vault import VaultPane\n"
        "def update(self, *_): raise RuntimeError(self.model.checkpoints[0]['reason'])\n"
        "VaultPane.update = update"
    )
    async with PtyView(folder, extra=broken) as view:
        await view.sees("Give it a brain?")
        await view.sees("<U+202E>")
        await view.rests()
        assert_harmless(view.output, "first start")
        view.type("\x1b")
        await view.rests()
        view.type("\x1b3")
        await view.sees("could not be shown")
        await view.rests()
        assert_harmless(view.output, "error card")


async def test_names_and_ids_may_be_hostile_too(folder: Path, guardian: ScriptedGuardian) -> None:
    kept = STRUCTURE - {"id", "request_id", "kind", "digest", "tier", "lifecycle"}
    for name, part in scripted_data.snapshot().items():
        if name != "config":
            guardian.snapshot[name] = poisoned(part, kept=kept)
    async with PtyView(folder) as view:
        await view.sees("[/red]")
        for keys in ("\x1b2", "\x1b3", "\x1b4", "\x1b5", "\x1b[F\r", "\x1b"):
            view.type(keys)
            await view.rests()
            assert_harmless(view.output, repr(keys))
            view.forget()
        await ended_well(view, folder, guardian)
