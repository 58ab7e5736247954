"""`kill`: a drill, to see that nothing is lost."""

from __future__ import annotations

import argparse

from o_tui.cli.command import Command, Context, add_yes

ROLES = ("main", "standby", "nursery", "broker")


def _kill(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("role", choices=ROLES, metavar="ROLE", help="main, standby, nursery or broker")
    add_yes(parser)


def kill(context: Context) -> int:
    """SIGKILL of one process."""
    context.confirm(f"Kill the {context.args.role} (SIGKILL)?")
    value = context.call("kill", role=context.args.role)
    if context.out.json:
        context.out.value(value)
    else:
        context.out.line(f"killed the {value['role']}, pid {value['pid']}")
    return 0


COMMANDS = (
    Command(
        "kill",
        "Kill a process of O with SIGKILL, for drills: nothing may be lost.",
        kill,
        _kill,
        examples=(("kill main --yes", "the standby takes its place"), ("kill broker --yes", "a new one serves in 2 s")),
        codes=(3, 4, 5),
        keys=("pid", "role"),
    ),
)
