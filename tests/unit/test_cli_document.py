"""docs/COMMANDS.md is what the commands say of themselves."""

from __future__ import annotations

from o_tui.cli import catalog
from o_tui.cli.document import PAGE, render


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == render(), "run `just docs`"


def test_every_command_has_its_section() -> None:
    text = render()
    assert all(f"\n## o-tui {command.name}\n" in text for command in catalog.all_commands())
