"""`demo`: the whole story with real processes."""

from __future__ import annotations

import argparse

from o_tui.cli.command import Command, Context


def _demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--keep", action="store_true", help="leave the workspace, to look at it")
    parser.add_argument("--screen", action="store_true", help="play it slowly behind the screen; ends with the screen")


def demo(context: Context) -> int:
    """Runs it in a workspace of its own."""
    from o_tui.cli.demo import run, run_on_screen

    if context.args.screen:
        from o_tui import config
        from o_tui.cli.serving import need_terminal

        need_terminal("demo --screen")
        settings = config.load(context.paths.config_file)
        return run_on_screen(settings, as_json=context.out.json, keep=context.args.keep)
    return run(as_json=context.out.json, keep=context.args.keep)


COMMANDS = (
    Command(
        "demo",
        "Talk, evolve, approve, kill -9, recover, roll back: the whole story, and what it measured.",
        demo,
        _demo,
        examples=(
            ("demo", "a line a step"),
            ("demo --screen", "to watch it"),
            ("demo --json | jq .recovery_ms", "what it measured"),
        ),
        codes=(1, 5),
        keys=("steps", "lost", "recovery_ms", "ok"),
        keeps=False,
        notes="Runs in a temporary workspace of its own; yours is not touched.",
    ),
)
