"""The pane Vault: every action, and how it looks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from textual.widgets import Input

from o_tui.config import Config
from o_tui.paths import Paths
from o_tui.protocol.errors import RefusedError
from o_tui.ui.app import OApp
from o_tui.ui.panes.vault import VaultPane
from o_tui.ui.screens.compare import CompareScreen
from o_tui.ui.screens.confirm import ConfirmScreen
from o_tui.ui.screens.export import PathScreen, check_path
from o_tui.ui.screens.inspect import InspectScreen
from tests.support import scripted_data
from tests.support.panes import SIZES, THEMES, opened
from tests.support.scripted_link import ScriptedGuardian


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def handlers(guardian: ScriptedGuardian) -> None:
    sections = [{"name": "memory", "size_bytes": 900_000}, {"name": "index", "size_bytes": 220_000}]
    guardian.handlers |= {
        "checkpoint.show": lambda id: {"id": id, "sections": sections, "chain_digest": "cd" * 32},
        "checkpoint.verify": lambda id: {"ok": True, "usable": True, "problems": [], "checked": 1},
        "checkpoint.compare": lambda a, b: {
            "a": {}, "b": {}, "seq_difference": 812, "same_revision": True,
            "sections": [{"name": "memory", "a_bytes": 1, "b_bytes": 2, "equal": False}],
        },
        "checkpoint.restore": lambda id: {"id": id, "seq": 12_000},  # the row of the checkpoint, as the guardian
        "checkpoint.create": lambda reason: {"id": "c-0005", "reason": reason},
    }  # fmt: skip
    for name in ("pin", "export", "import", "delete", "undelete"):
        guardian.handlers[f"checkpoint.{name}"] = lambda **params: {"id": params.get("id", "c-0009")}


def shown(pane: VaultPane) -> list[str]:
    return [row["id"] for row in pane.checkpoints.rows]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
async def test_looks(workspace: Paths, size: tuple[int, int], theme: str, snapshot: SnapshotAssertion) -> None:
    async with opened(workspace, size, handlers, theme) as view:
        pane = await view.go("vault")
        await view.press("down")
        assert await view.settled(pane) == snapshot


async def test_empty_says_what_to_do(workspace: Paths) -> None:
    async with opened(workspace, setup=lambda guardian: guardian.snapshot.update(checkpoints=[])) as view:
        await view.go("vault")
        assert "No checkpoints yet" in view.text()
        assert "c  write one now" in view.text()


async def test_inspect_and_verify(workspace: Paths) -> None:
    async with opened(workspace, setup=handlers) as view:
        await view.go("vault")
        await view.press("enter")
        await view.until(lambda: isinstance(view.app.screen, InspectScreen))
        assert "220 kB" in view.text()
        await view.press("v")
        assert await view.called("checkpoint.verify") == {"id": "c-0004"}
        await view.until(lambda: "[OK]" in view.text())
        await view.press("escape")
        assert view.app.screen is view.app.frame


async def test_filter_narrows_and_escape_drops_it(workspace: Paths) -> None:
    async with opened(workspace, setup=handlers) as view:
        pane = await view.go("vault")
        await view.press("slash", *"interval")
        assert shown(pane) == ["c-0003", "c-0001"]
        await view.press("enter")
        assert pane.checkpoints.has_focus
        await view.press("slash", *"nothing")
        assert "No checkpoint has" in view.text()
        await view.press("escape")
        assert len(shown(pane)) == 4
        assert pane.checkpoints.has_focus


async def test_sort(workspace: Paths) -> None:
    def sizes(guardian: ScriptedGuardian) -> None:
        guardian.snapshot["checkpoints"][3]["size_bytes"] = 9_000_000

    async with opened(workspace, setup=sizes) as view:
        pane = await view.go("vault")
        await view.press("s")
        assert shown(pane)[0] == "c-0001"
        assert "by size" in view.text()
        await view.press("s")
        assert shown(pane)[0] == "c-0004"


async def test_compare_the_marked_two(workspace: Paths) -> None:
    async with opened(workspace, setup=handlers) as view:
        pane = await view.go("vault")
        await view.press("d")
        assert pane.checkpoints.marked == {"c-0004"}
        assert "1 marked" in view.text()
        row = next(line for line in view.text().split("\n") if "before evolution ev-17" in line)
        assert row.lstrip(" ").startswith(">*"), "the mark hides the cursor"
        await view.press("down", "d")
        assert await view.called("checkpoint.compare") == {"a": "c-0003", "b": "c-0004"}
        await view.until(lambda: isinstance(view.app.screen, CompareScreen))
        assert "812" in view.text()
        await view.press("escape")
        assert pane.checkpoints.marked == set()


async def test_restore_needs_the_word(workspace: Paths) -> None:
    async with opened(workspace, setup=handlers) as view:
        await view.go("vault")
        await view.press("down", "r")
        await view.until(lambda: isinstance(view.app.screen, ConfirmScreen))
        assert "812 later operations stay in the log" in " ".join(view.text().split())
        await view.press(*"yes", "enter")
        assert "nothing was done" in view.text()
        assert view.calls("checkpoint.restore") == []
        await view.press("ctrl+u", *"restore", "enter")
        assert await view.called("checkpoint.restore") == {"id": "c-0003"}
        await view.until(lambda: "Restored: the agent's state is what it was at operation 12 000." in view.told())


async def test_restore_can_be_left(workspace: Paths) -> None:
    async with opened(workspace, setup=handlers) as view:
        await view.go("vault")
        await view.press("r", "escape")
        assert view.app.screen is view.app.frame
        assert view.calls("checkpoint.restore") == []


@pytest.mark.parametrize(
    ("keys", "method", "params"),
    [
        (["p"], "checkpoint.pin", {"id": "c-0004", "pinned": True}),
        (["down", "p"], "checkpoint.pin", {"id": "c-0003", "pinned": False}),
        (["c"], "checkpoint.create", {"reason": "by the operator"}),
        (["D"], "checkpoint.delete", {"id": "c-0004"}),
    ],
)
async def test_one_key(workspace: Paths, keys: list[str], method: str, params: dict[str, Any]) -> None:
    async with opened(workspace, setup=handlers) as view:
        await view.go("vault")
        await view.press(*keys)
        assert await view.called(method) == params


async def test_delete_and_undo(workspace: Paths) -> None:
    async with opened(workspace, setup=handlers) as view:
        pane = await view.go("vault")
        await view.press("D")
        await view.called("checkpoint.delete")
        row = scripted_data.checkpoint(4, 12_404, "before evolution ev-17", 1, deleted=True)
        view.guardian.notify("checkpoint", {"action": "deleted", "row": row})
        await view.until(lambda: "c-0004" not in shown(pane))
        await view.press("z")
        assert await view.called("checkpoint.undelete") == {"id": "c-0004"}
        view.guardian.notify("checkpoint", {"action": "undeleted", "row": row | {"deleted": False}})
        await view.until(lambda: "c-0004" in shown(pane))


async def test_undo_without_a_deletion(workspace: Paths) -> None:
    async with opened(workspace, setup=handlers) as view:
        await view.go("vault")
        await view.press("z")
        assert view.calls("checkpoint.undelete") == []


async def test_export_to_a_path(workspace: Paths, folder: Path) -> None:
    async with opened(workspace, setup=handlers) as view:
        await view.go("vault")
        await view.press("x")
        await view.until(lambda: isinstance(view.app.screen, PathScreen))
        view.app.screen.query_one(Input).value = str(folder / "nowhere" / "x.ckpt")
        await view.press("enter")
        assert "there is no folder" in view.text()
        view.app.screen.query_one(Input).value = str(folder / "x.ckpt")
        await view.press("enter")
        assert await view.called("checkpoint.export") == {"id": "c-0004", "path": str(folder / "x.ckpt")}


async def test_import_a_file(workspace: Paths, folder: Path) -> None:
    file = folder / "y.ckpt"
    async with opened(workspace, setup=handlers) as view:
        await view.go("vault")
        await view.press("i")
        await view.until(lambda: isinstance(view.app.screen, PathScreen))
        view.app.screen.query_one(Input).value = str(file)
        await view.press("enter")
        assert "there is no file" in view.text()
        file.write_bytes(b"")
        await view.press("enter")
        assert await view.called("checkpoint.import") == {"path": str(file)}


async def test_a_refusal_is_told(workspace: Paths) -> None:
    def refuse(guardian: ScriptedGuardian) -> None:
        def pin(**_params: Any) -> None:
            raise RefusedError("read only: the disk is full", hint="make room")

        guardian.handlers["checkpoint.pin"] = pin

    async with opened(workspace, setup=refuse) as view:
        await view.go("vault")
        await view.press("p")
        await view.until(lambda: "the disk is full" in view.told())


async def test_text_from_outside_is_harmless(workspace: Paths) -> None:
    def hostile(guardian: ScriptedGuardian) -> None:
        guardian.snapshot["checkpoints"][0]["reason"] = "[red]x[/red] \x1b[2J [@click=app.exit]y"

    async with opened(workspace, setup=hostile) as view:
        await view.go("vault")
        assert "[red]x[/red]" in view.text()
        assert "\x1b" not in view.text()


async def test_the_mouse(workspace: Paths) -> None:
    async with opened(workspace, setup=handlers) as view:
        pane = await view.go("vault")
        await view.pilot.click(pane.checkpoints, offset=(5, 3))
        assert pane.checkpoints.current_key == "c-0002"
        await view.pilot.click(pane.checkpoints, offset=(5, 3), times=2)
        await view.until(lambda: isinstance(view.app.screen, InspectScreen))


def test_paths_are_checked(folder: Path) -> None:
    (folder / "there").write_text("")
    assert check_path("", "export")[0] == "name a file"
    assert "nothing is written over" in check_path(str(folder / "there"), "export")[0]
    assert "is a folder" in check_path(str(folder), "export")[0]
    assert check_path(str(folder / "new"), "export") == ("", folder / "new")
    assert check_path(str(folder / "there"), "import")[0] == ""


async def test_the_keys_are_at_once_where_one_has_gone(workspace: Paths) -> None:
    async with opened(workspace) as view:
        view.app.frame.go("vault")
        assert view.app.focused is view.app.frame.panes["vault"].focus_target()
        await view.pilot.pause()
        view.app.frame.go("chat")
        assert view.app.focused is view.app.chat.focus_target()


async def test_nothing_known_is_not_nothing_there(workspace: Paths) -> None:
    app = OApp(workspace, Config())
    async with app.run_test(size=(120, 40)) as pilot:
        vault = app.frame.panes["vault"]
        while not isinstance(vault, VaultPane) or not vault.size.width:
            await pilot.pause(0.01)
            vault = app.frame.panes["vault"]
        assert str(vault.border_title) == "3 Vault"
        assert "Waiting for the guardian." in "".join(vault.checkpoints.render_line(1).text)


async def test_esc_takes_a_kept_filter_and_a_mark_back(workspace: Paths) -> None:
    async with opened(workspace) as view:
        pane = await view.go("vault")
        assert isinstance(pane, VaultPane)
        everything = len(pane.checkpoints.rows)
        await view.press("d", "slash", *"interval", "enter")
        assert 0 < len(pane.checkpoints.rows) < everything
        await view.press("escape")
        await view.until(lambda: len(pane.checkpoints.rows) == everything)
        assert not pane.checkpoints.marked
        assert view.app.focused is pane.checkpoints
