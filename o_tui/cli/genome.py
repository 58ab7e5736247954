"""`genome …`: the agent's evolvable code."""

from __future__ import annotations

import argparse

from o_tui.cli.command import Command, Context, positive
from o_tui.cli.output import short, when, with_time
from o_tui.protocol.errors import NotFoundError


def _log(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--limit", type=positive, default=30, metavar="N", help="how many (default: 30)")


def _diff(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A", help="a revision, tag or version")
    parser.add_argument("b", metavar="B", nargs="?", default="head", help="another one (default: what runs)")


def _show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", metavar="PATH", nargs="?", default="", help="a file or a gene; without it the names of all"
    )
    parser.add_argument("--revision", metavar="REV", default="head", help="of a revision, tag or version")


def log(context: Context) -> int:
    """Prints the versions, newest first."""
    rows = [with_time(row) for row in context.call("genome.log", limit=context.args.limit)]
    if context.out.json:
        context.out.value({"revisions": rows})
        return 0
    cells = [
        (short(row["revision"]), row.get("version"), when(row.get("time_ns", 0)), row.get("kind"), row.get("subject"))
        for row in rows
    ]
    context.out.table(("REVISION", "VERSION", "TIME", "KIND", "SUBJECT"), cells, "there is no revision yet")
    return 0


def diff(context: Context) -> int:
    """Prints the difference of two revisions."""
    value = context.call("genome.diff", a=context.args.a, b=context.args.b)
    if context.out.json:
        context.out.value(value)
    elif value["diff"]:
        context.out.diff(value["diff"])
    else:
        context.out.faint("no difference")
    return 0


def show(context: Context) -> int:
    """Prints a file, or the names of all files."""
    path = context.args.path
    with context.guardian() as client:
        try:
            value = client.call("genome.show", revision=context.args.revision, path=path)
        except NotFoundError:
            # a gene's name is its file's name without the ending
            files = client.call("genome.show", revision=context.args.revision, path="")["files"]
            if f"{path}.py" not in files:
                raise
            value = client.call("genome.show", revision=context.args.revision, path=f"{path}.py")
    if context.out.json:
        context.out.value(value)
    elif context.args.path:
        context.out.text(value["text"])
    else:
        for name in value["files"]:
            context.out.line(name)
    return 0


COMMANDS = (
    Command(
        "genome log",
        "The genome's versions, newest first.",
        log,
        _log,
        examples=(("genome log", "what has been deployed, and when"),),
        keys=("revisions",),
    ),
    Command(
        "genome diff",
        "The difference of two revisions of the genome.",
        diff,
        _diff,
        examples=(("genome diff v1 v2", "two versions"), ("genome diff 9f3c1e", "a revision and what runs")),
        codes=(3, 5),
        keys=("a", "b", "diff", "sha256"),
    ),
    Command(
        "genome show",
        "A file of the genome, or the names of all.",
        show,
        _show,
        examples=(("genome show", "the names"), ("genome show recall.py > candidate.py", "to write a change of it")),
        codes=(3, 5),
        keys=("revision", "path", "text", "files"),
    ),
)
