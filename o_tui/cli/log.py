"""`wal …` and `events`: the log of operations, and what happened."""

from __future__ import annotations

import argparse
from typing import Any

from o_tui.cli.command import Command, Context, positive
from o_tui.cli.output import when, with_time


def _tail(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--limit", type=positive, default=20, metavar="N", help="how many (default: 20)")


def tail(context: Context) -> int:
    """Prints the last entries, oldest first."""
    rows = [with_time(row) for row in context.call("wal.tail", n=context.args.limit)]
    if context.out.json:
        context.out.value({"entries": rows})
        return 0
    cells = [
        (row["seq"], when(row["time_ns"]), row["operation"], request(row["request_id"]), _data(row)) for row in rows
    ]
    context.out.table(("ENTRY", "TIME", "OPERATION", "REQUEST", "DATA"), cells, "the log is empty")
    return 0


def request(request_id: str) -> str:
    """A request's id for a column; of the agent's own (`~tools.0.1790…`) what it was for."""
    return request_id.partition(".")[0] if request_id.startswith("~") else request_id


def _data(row: dict[str, Any]) -> str:
    data = row.get("data")
    if isinstance(data, dict):
        return ", ".join(f"{key}={value!r}" for key, value in data.items() if value not in ("", b"", None))[:120]
    return str(data)


def verify(context: Context) -> int:
    """Verifies the hash chain; 1 if it is broken."""
    value = context.call("wal.verify")
    if context.out.json:
        context.out.value(value)
    elif value["ok"]:
        context.out.good(f"ok: {value['entries']} entries, the chain holds")
    else:
        context.out.bad(f"wrong: the first bad entry is {value.get('first_bad_seq')}")
        for problem in value.get("problems", []):
            context.out.line(f"  {problem}")
    return 0 if value["ok"] else 1


def _events(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--limit", type=positive, default=30, metavar="N", help="how many (default: 30)")
    parser.add_argument("--filter", default="", metavar="TEXT", help="part of the text, or level:warning, source:WORD")


def events(context: Context) -> int:
    """Prints what happened, oldest first."""
    found = context.call("events.list", limit=context.args.limit, filter=context.args.filter)
    rows = [with_time(row) for row in reversed(found)]
    if context.out.json:
        context.out.value({"events": rows})
        return 0
    cells = [(when(row["time_ns"]), row["level"], row["source"], row["text"]) for row in rows]
    context.out.table(("TIME", "LEVEL", "SOURCE", "TEXT"), cells, "nothing has happened")
    return 0


COMMANDS = (
    Command(
        "events",
        "What happened: starts, repairs, deaths, decisions.",
        events,
        _events,
        examples=(("events -n 10", "the last ten"), ("events --filter level:warning", "only what went wrong")),
        keys=("events",),
    ),
    Command(
        "wal tail",
        "The last entries of the log.",
        tail,
        _tail,
        examples=(("wal tail -n 5", "the last five"), ("wal tail --json | jq '.entries[].operation'", "for a script")),
        keys=("entries",),
    ),
    Command(
        "wal verify",
        "Verify the hash chain of the whole log, and its mirror.",
        verify,
        examples=(("wal verify", "exit code 1 if an entry does not have its digest"),),
        codes=(1, 5),
        keys=("ok", "entries", "first_bad_seq", "problems"),
    ),
)
