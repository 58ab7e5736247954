"""Review: `e` lends the terminal to the operator's editor, `T` asks for another shadow run."""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path
from typing import Any

import pytest

from o_tui.paths import Paths
from o_tui.protocol.errors import OError, UsageError
from o_tui.ui.app import OApp
from o_tui.ui.terminal import editor
from tests.support.panes import NEW, Opened, evolution, opened, with_evolutions
from tests.support.review import review
from tests.support.scripted_link import ScriptedGuardian
from tests.support.terminal import PtyView


def waits(guardian: ScriptedGuardian) -> None:
    with_evolutions(evolution())(guardian)
    guardian.handlers["status"] = lambda: {"genome": {"revision": "9f3c1e0b5d7a", "version": "0.1.0"}}
    guardian.handlers["genome.show"] = lambda revision, path: {"revision": revision, "path": path, "text": NEW}
    guardian.handlers["evolution.edit"] = lambda id, digest, text: {"evolution": "ev-21"}
    guardian.handlers["evolution.measure"] = lambda id, digest: {"evolution": id, "again": 1}


SAYS = """#!/bin/sh
stat -c %a "$1" "$(dirname "$1")" > {folder}/seen
basename "$1" >> {folder}/seen
{body}
"""


def script(folder: Path, body: str) -> str:
    """An editor that does as it is told, and says in `seen` what it found."""
    file = folder / "editor"
    file.write_text(SAYS.format(folder=folder, body=body))
    file.chmod(0o700)
    return str(file)


async def in_review(view: PtyView) -> None:
    await view.sees("REVIEW")
    view.type("\x1bOS")  # F4
    await view.sees("hunk 1/")
    await view.sees("Approve")  # the footer of the pane that has the keys
    await view.rests()


async def test_the_editor_has_the_terminal_and_its_text_is_tried(folder: Path) -> None:
    (folder / "run").mkdir()
    asks = 'test -t 0 && test -t 1 && test -t 2 && echo HERE-IS-ED && read line && echo "# $line" >> "$1"'
    edits = script(folder, asks)
    async with ScriptedGuardian(folder / "run" / "guardian.sock") as guardian:
        waits(guardian)
        async with PtyView(folder, environment={"VISUAL": edits, "EDITOR": "false"}) as view:
            await in_review(view)
            view.forget()
            view.type("e")
            await view.sees("HERE-IS-ED")
            assert b"\x1b[?1049l" in view.output.split(b"HERE-IS-ED")[0], "the screen was left before"
            view.type("by hand\n")
            called = await guardian.called("evolution.edit")
            assert called["text"] == NEW + "# by hand\n"
            assert (called["id"], called["digest"]) == ("ev-17", evolution()["diff_sha256"])
            await view.sees("tried as ev-21")
            assert b"\x1b[?1049h" in view.output.split(b"by hand")[-1], "and is there again"
            assert [method for method, _ in guardian.calls if method == "approve"] == []
    assert (folder / "seen").read_text().split() == ["600", "700", "recall.py"]


@pytest.fixture
def lent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that can be lent: the one of the tests cannot."""
    monkeypatch.setattr(OApp, "suspend", lambda self: contextlib.nullcontext())
    monkeypatch.delenv("EDITOR", raising=False)


@pytest.mark.usefixtures("lent")
async def test_what_the_editor_leaves_is_tried_and_no_approval(
    workspace: Paths, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", script(folder, 'echo "# by hand" >> "$1"'))
    monkeypatch.setenv("EDITOR", "false")
    async with opened(workspace, (120, 40), waits) as view:
        await review(view)
        await view.press("e")
        called = await view.called("evolution.edit")
        assert called == {"id": "ev-17", "digest": evolution()["diff_sha256"], "text": NEW + "# by hand\n"}
        await view.until(lambda: "tried as ev-21" in view.text())
        assert view.calls("approve") == []
    assert (folder / "seen").read_text().split() == ["600", "700", "recall.py"]


@pytest.mark.usefixtures("lent")
@pytest.mark.parametrize(("body", "said"), [("true", "Nothing was changed."), ("exit 3", "ended with 3")])
async def test_nothing_is_tried_where_nothing_was_changed_or_the_editor_failed(
    workspace: Paths, folder: Path, monkeypatch: pytest.MonkeyPatch, body: str, said: str
) -> None:
    monkeypatch.setenv("VISUAL", script(folder, body))
    async with opened(workspace, (120, 40), waits) as view:
        await review(view)
        await view.press("e")
        await view.until(lambda: said in view.text())
        assert view.calls("evolution.edit") == []


async def test_without_an_editor_one_line_says_what_to_do(workspace: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.delenv("EDITOR", raising=False)
    async with opened(workspace, (120, 40), waits) as view:
        await review(view)
        await view.press("e")
        await view.until(lambda: "no editor is named: set VISUAL or EDITOR" in view.text())
        monkeypatch.setenv("EDITOR", "true")  # a terminal that cannot be lent: this one
        await view.press("e")
        await view.until(lambda: "cannot be lent to an editor" in view.text())
        assert view.calls("evolution.edit") == []


def test_which_editor(tmp_path: Path) -> None:
    assert editor.command({"EDITOR": "cat", "VISUAL": "sh -c 'exit 0'"}) == ["sh", "-c", "exit 0"]
    assert editor.command({"EDITOR": "cat -u", "VISUAL": " "}) == ["cat", "-u"]
    for named, text in (("", "no editor"), ("no-such-editor", "is not there"), ("'", "cannot be read")):
        with pytest.raises(UsageError, match=text):
            editor.command({"EDITOR": named})
    kept = tmp_path / "kept"
    assert editor.edit(["sh", "-c", f'cp -p "$0" {kept}; printf "a\\r\\n" > "$0"'], "b\r\n", "tools/x.py") == "a\r\n"
    assert kept.read_bytes() == b"b\r\n" and stat.S_IMODE(kept.stat().st_mode) == 0o600
    with pytest.raises(OError, match="not UTF-8"):
        editor.edit(["sh", "-c", 'printf "\\377" > "$0"'], "", "x.py")


# --- another shadow run


async def test_another_shadow_run_is_asked_for_and_other_evidence_wants_to_be_read(workspace: Paths) -> None:
    async with opened(workspace, (120, 40), waits) as view:
        pane, clock = await review(view)
        await view.press("T")
        called = await view.called("evolution.measure")
        assert called == {"id": "ev-17", "digest": evolution()["diff_sha256"]}
        await view.until(lambda: "ev-17 is measured again" in view.text())
        tell(view, {**evolution(), "state": "shadow", "again": 1})
        await view.until(lambda: pane._item["state"] == "shadow")
        clock.wait()
        await view.press("A", "e", "T")
        assert not pane.bar.open_for
        tell(view, {**evolution(), "evidence_sha256": "99" * 32, "again": 1})
        await view.until(lambda: pane._item["evidence_sha256"] == "99" * 32)
        await view.until(lambda: "is measured again" not in view.text() and "approve (asks for" in view.text())
        await view.press("A")  # the dead time has begun anew
        assert not pane.bar.open_for
        clock.wait()
        await view.press("A")
        clock.wait()
        await view.press(*"0.1.1", "enter")
        assert (await view.called("approve"))["evidence"] == "99" * 32
        assert len(view.calls("evolution.measure")) == 1


async def test_evidence_that_changes_while_a_version_is_typed_ends_the_typing(workspace: Paths) -> None:
    async with opened(workspace, (120, 40), waits) as view:
        pane, clock = await review(view)
        clock.wait()
        await view.press("A")
        assert pane.bar.open_for
        tell(view, {**evolution(), "evidence_sha256": "99" * 32, "again": 1})
        await view.until(lambda: not pane.bar.open_for)
        assert view.calls("approve") == []


def tell(view: Opened, row: dict[str, Any]) -> None:
    view.guardian.notify("evolution", {key: row[key] for key in row if key != "diff"})
