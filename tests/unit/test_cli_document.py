"""docs/COMMANDS.md is what the commands say of themselves; what other documents tell to type is understood."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator

from o_tui.cli import catalog
from o_tui.cli.command import parser_of
from o_tui.cli.document import PAGE, render


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == render(), "run `just docs`"


def test_every_command_has_its_section() -> None:
    text = render()
    assert all(f"\n## o-tui {command.name}\n" in text for command in catalog.all_commands())
    assert argparse.SUPPRESS not in text  # what is not for people


def test_what_documents_tell_to_type_is_understood() -> None:
    commands = {tuple(command.name.split()): command for command in catalog.all_commands()}
    told = list(_told())
    assert len(told) >= 8
    for line in told:
        words = shlex.split(line, comments=True)
        name = next(name for name in (tuple(words[:2]), tuple(words[:1])) if name in commands)
        parser_of(commands[name]).parse_args(words[len(name) :])


def _told() -> Iterator[str]:
    """What follows `o-tui` at the beginning of a line of a shell block."""
    root = PAGE.parents[1]
    for page in (
        root / "README.md",
        *sorted((root / "docs").glob("*.md")),
        *sorted((root / "docs" / "adr").glob("*.md")),
    ):
        for block in re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.S):
            yield from re.findall(r"(?m)^o-tui (.+)$", block)
