"""`demo`: the whole story with real processes."""

from __future__ import annotations

import argparse

from o_tui.cli.command import Command, Context


def _demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--keep", action="store_true", help="leave the workspace, to look at it")


def demo(context: Context) -> int:
    """Runs it in a workspace of its own."""
    from o_tui.cli.demo import run

    return run(as_json=context.out.json, keep=context.args.keep)


COMMANDS = (
    Command(
        "demo",
        "Talk, evolve, approve, kill -9, recover, roll back: the whole story, and what it measured.",
        demo,
        _demo,
        examples=(("demo", "a line a step"), ("demo --json | jq .recovery_ms", "what it measured")),
        codes=(1, 5),
        keys=("steps", "lost", "recovery_ms", "ok"),
        keeps=False,
        notes="Runs in a temporary workspace of its own; yours is not touched.",
    ),
)
