"""What is drawn can be read: in every theme by its contrast, and without any colour."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.widget import Widget

from o_tui.paths import Paths, shipped
from o_tui.ui import themes
from o_tui.ui.appearance import MARKED, NoColor
from tests.support.panes import Opened, evolution, opened, with_evolutions

SHIPPED = sorted(shipped("themes").glob("*.toml"))
ROWS = (evolution(), evolution(id="ev-18", state="rejected", reason="slow"), evolution(id="ev-9", state="promoted"))
_POINTERS = (">", "*", ">*")
SHEETS = {"f1": "help", "f2": "settings", "ctrl+p": "palette", "ctrl+q": "quit"}


def segments(view: Opened) -> Iterator[Segment]:
    """What can be read: of a sheet only itself, as what is behind it is faded on purpose."""
    screen = view.app.screen
    leaves = [part for part in screen.query("*") if not part.children and part.is_on_screen]
    inside = [part.region.intersection(_clip(part)) for part in leaves]
    for region in [screen.region] if screen is view.app.frame else inside:
        for line in view._lines()[region.y : region.bottom]:
            yield from list(Segment.divide(line, [region.x, region.right]))[1]


def _clip(part: Widget) -> Region:
    """What shows of it: all, if what holds it takes no room itself (the palette's)."""
    holder = part.parent
    return holder.region if isinstance(holder, Widget) and holder.region.area else part.region


def pale(view: Opened) -> list[str]:
    """Words whose contrast is too low, with their colours."""
    found = []
    for segment in segments(view):
        style = segment.style
        if (
            style is None
            or style.color is None
            or style.bgcolor is None
            or not (any(map(str.isalnum, segment.text)) or segment.text.strip() in _POINTERS)
        ):
            continue
        letters, ground = style.color.get_truecolor().hex, style.bgcolor.get_truecolor().hex
        if style.dim or themes.contrast(letters, ground) < themes.TEXT_CONTRAST:
            found.append(f"{segment.text.strip()!r} {letters} on {ground}{' dim' if style.dim else ''}")
    return found


async def readable(view: Opened, where: str) -> None:
    """Shows in each theme what is shown now."""
    for file in SHIPPED:
        view.app.theme = file.stem
        await view.pilot.pause()
        assert pale(view) == [], f"{where} in {file.stem}"


async def test_every_word_of_every_pane_can_be_read_in_every_theme(workspace: Paths) -> None:
    async with opened(workspace, (120, 40), with_evolutions(*ROWS)) as view:
        for pane in ("events", "review"):  # beside events stand chat, shadows and vault
            await view.go(pane)
            await view.settled(view.app.frame.panes[pane])
            await readable(view, pane)
        await view.press("space", "n", "x", "v", "slash", *"hit")
        await readable(view, "marks and places found")


@pytest.mark.parametrize("theme", ["paper", "ember"])  # the two with the least to spare
async def test_every_word_of_every_sheet_can_be_read(workspace: Paths, theme: str) -> None:
    async with opened(workspace, (120, 40), with_evolutions(*ROWS), theme) as view:
        await view.go("review")
        for key, name in SHEETS.items():
            await view.press(key)
            await view.until(lambda: view.app.screen is not view.app.frame and any(segments(view)))
            assert pale(view) == [], name
            await view.press("escape")


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_without_colour_only_what_is_marked_is_reversed(file: Path) -> None:
    theme = themes.build(file.stem, themes.read(file))
    roles = theme.to_color_system().generate() | theme.variables
    plain = NoColor(lambda: roles)

    def shown(ground: str, letters: str = roles["foreground"]) -> Style:
        segment = plain.apply([Segment("x", Style(color=letters, bgcolor=ground))], None)[0]  # type: ignore[arg-type]
        assert segment.style is not None
        return segment.style

    for role in ("background", "surface", "panel", "added", "removed", "code"):
        assert not shown(roles[role]).reverse, role
    for role in (*MARKED, "input-cursor-background"):
        assert shown(roles[role]).reverse, role
    assert shown(roles["cursor-row"]).color.is_default  # type: ignore[union-attr]


@pytest.mark.parametrize("theme", ["night", "day"])
async def test_without_colour_cursors_choices_and_changes_are_seen(
    workspace: Paths, theme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    def reversed_words(view: Opened) -> str:
        return "|".join(part.text.strip() for part in segments(view) if part.style and part.style.reverse)

    async with opened(workspace, (120, 40), with_evolutions(*ROWS), theme) as view:
        await view.go("review")
        await view.until(lambda: "@@ -8,12 +8,14 @@" in reversed_words(view))
        await view.until(lambda: "# a day" in reversed_words(view))  # what has changed in a line
        assert "def recall" not in reversed_words(view)
        assert "+     lexical" in view.text() and "-     lexical" in view.text()
        await view.go("vault")
        await view.until(lambda: "12:03" in reversed_words(view))
        await view.press("ctrl+p")
        await view.until(lambda: "Vault: Inspect" in reversed_words(view))
        assert "Vault: Compare" not in reversed_words(view)
