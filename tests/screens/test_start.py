"""What happens before the first frame, and what may not: each import and each style applied twice is time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from o_tui.config import Config, ScreenConfig
from tests.support.patience import PATIENCE_S
from tests.support.screen import view

LATER = {
    "o_tui.agent",
    "o_tui.client",
    "o_tui.evolution",
    "o_tui.guardian",
    "o_tui.programs",
    "o_tui.ui.diff",
    "o_tui.ui.panes.events",
    "o_tui.ui.panes.review",
    "o_tui.ui.panes.shadows",
    "o_tui.ui.panes.vault",
    "o_tui.ui.screens.settings",
    "markdown_it",
    "numpy",
    "pygit2",
    "pygments",
    "sqlite3",
    "textual.widgets._markdown",
    "tree_sitter",
    "zstandard",
}
FIRST_FRAME = """
import json, sys
from textual.css.stylesheet import Stylesheet
from o_tui import paths
from o_tui.cli import serving
from o_tui.config import Config
from o_tui.ui.terminal import session
from o_tui.ui.app import OApp

parsed, seen = [], {}
reparse = Stylesheet.reparse
Stylesheet.reparse = lambda self: (parsed.append(1), reparse(self))[1]

class View(OApp):
    async def first_frame_out(self):
        seen.update(modules=sorted(sys.modules), parsed_again=len(parsed), shown=self.chat.displayed)
        self.exit()

workspace = paths.locate(sys.argv[1])
workspace.prepare()
View(workspace, Config()).run(headless=True, size=(120, 40))
print(json.dumps(seen))
"""


def test_before_the_first_frame_only_what_it_needs_is_loaded_and_styles_are_parsed_once(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", FIRST_FRAME, str(tmp_path / "w")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    seen = json.loads(done.stdout)
    assert seen["shown"] and "o_tui.ui.panes.chat" in seen["modules"]
    assert not LATER & set(seen["modules"])
    assert seen["parsed_again"] == 0


async def test_the_theme_that_a_view_begins_with_is_what_a_change_of_themes_gives() -> None:
    async with view(config=Config(screen=ScreenConfig(theme="day"))) as v:
        await v.sees("main [OK]")

        def look() -> tuple[object, ...]:
            header = v.app.frame.query_one("#header")
            return set(v.app.classes), dict(v.app.theme_variables), v.app.frame.styles.background, header.styles.color

        begun = look()
        v.app.use_theme("night")
        await v.until(lambda: v.app.frame.styles.background != begun[2])
        v.app.use_theme("day")
        await v.until(lambda: look() == begun)
