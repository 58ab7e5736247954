"""`memory …`: what the agent remembers."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from o_tui.cli.command import Command, Context, piped, positive
from o_tui.cli.output import when, with_time
from o_tui.paths import named
from o_tui.protocol.errors import UsageError

_KINDS = ("short_term", "long_term", "episodic", "semantic")
_ID_CHARS = 12
"""The end of an id: ids that were made together begin alike."""
_SOURCE_CHARS = 32


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", nargs="*", help="what to remember; without it, or for -, standard input")
    parser.add_argument("--source", default="operator", help="where it is from (default: operator)")
    parser.add_argument("--kind", choices=_KINDS, default="semantic", help="default: semantic")


def _search(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", nargs="+", help="what to look for")
    parser.add_argument("-k", type=positive, default=5, metavar="N", help="how many (default: 5)")


def _list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kind", choices=_KINDS, default="", help="only this kind")
    parser.add_argument("-n", "--limit", type=positive, default=50, metavar="N", help="how many (default: 50)")


def _import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="the file")
    parser.add_argument("--format", choices=("locomo",), default="locomo", help="what the file is (default: locomo)")


def add(context: Context) -> int:
    """Adds a text; prints its id."""
    words = context.args.text
    if words and words != ["-"]:
        text = " ".join(words)
    elif not words and sys.stdin.isatty():
        raise UsageError("there is nothing to remember", hint="o-tui memory add TEXT, or pipe the text into it")
    else:
        text = piped()
    if not text.strip():
        raise UsageError("there is nothing to remember", hint="o-tui memory add TEXT, or pipe the text into it")
    value = context.call("memory.add", text=text, source=context.args.source, kind=context.args.kind)
    ids = value.get("ids") or [value.get("id", "")]
    if context.out.json:
        context.out.value({"id": ids[0], "ids": ids})
    else:
        for identity in ids:
            context.out.line(str(identity))
    return 0


def search(context: Context) -> int:
    """Prints what the agent recalls, best first."""
    text = " ".join(context.args.text)
    if not text.strip():
        raise UsageError("there is nothing to look for", hint="o-tui memory list shows everything")
    found: Any = context.call("memory.search", text=text, k=context.args.k)
    rows = [with_time(row) for row in (found.get("results", []) if isinstance(found, dict) else found)]
    rows = [row for row in rows if (row.get("score") or 0.0) > 0.0]  # the rest is only what was newest
    if context.out.json:
        context.out.value({"results": rows})
        return 0
    cells = [
        (f"{row.get('score') or 0:.3f}", when(row.get("time_ns", 0)), _source(row), row.get("text")) for row in rows
    ]
    context.out.table(("SCORE", "TIME", "SOURCE", "TEXT"), cells, "nothing is remembered about that")
    return 0


def _source(row: dict[str, Any]) -> str:
    text = str(row.get("source") or "")
    return text if len(text) <= _SOURCE_CHARS else text[: _SOURCE_CHARS - 1] + "…"


def list_(context: Context) -> int:
    """Prints the newest memories."""
    value = context.call("memory.list", kind=context.args.kind, limit=context.args.limit)
    rows = [with_time(row) for row in value["blocks"]]
    if context.out.json:
        context.out.value(value | {"blocks": rows})
        return 0
    cells = [
        (str(row["id"])[-_ID_CHARS:], row.get("kind"), when(row.get("time_ns", 0)), _source(row), row.get("text"))
        for row in rows
    ]
    context.out.table(("ID", "KIND", "TIME", "SOURCE", "TEXT"), cells, "nothing is remembered yet")
    return 0


def import_(context: Context) -> int:
    """Imports conversations, but for what an earlier import brought; 1 if some of it could not be added."""
    path = named(context.args.file)
    value = context.call("memory.import", path=str(path), format=context.args.format)
    if context.out.json:
        context.out.value(value)
    else:
        context.out.line(
            f"{value['blocks']} blocks imported, {value['known']} known already, {value['skipped']} skipped"
        )
        if value["reason"]:
            context.out.note(f"some could not be added: {value['reason']}")
    return 1 if value["reason"] else 0


COMMANDS = (
    Command(
        "memory add",
        "Put a text into the agent's memory.",
        add,
        _add,
        examples=(
            ("memory add 'the boat is called Marina'", "prints the id of the block"),
            ("memory add --source diary.txt < diary.txt", "a file, with its name as source"),
        ),
        codes=(1, 5, 69),
        keys=("id", "ids"),
    ),
    Command(
        "memory search",
        "What the agent recalls about something, best first.",
        search,
        _search,
        examples=(("memory search name of the boat -k 3", "the best three"),),
        codes=(1, 5),
        keys=("results",),
    ),
    Command(
        "memory list",
        "The newest memories.",
        list_,
        _list,
        examples=(("memory list --kind long_term", "only what has been consolidated"),),
        codes=(1, 5),
        keys=("blocks",),
    ),
    Command(
        "memory import",
        "Put the turns of recorded conversations into memory, each once; one that was forgotten comes again.",
        import_,
        _import,
        examples=(("memory import --format locomo locomo10.json", "the LoCoMo data set"),),
        codes=(1, 3, 4, 5, 69),
        keys=("blocks", "known", "skipped", "reason"),
    ),
)
