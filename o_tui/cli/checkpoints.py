"""`checkpoint …`: the vault."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from o_tui.cli.command import Command, Context, add_yes, positive
from o_tui.cli.output import short, size, when, with_time
from o_tui.paths import named

_KEYS = ("id", "seq", "size_bytes", "digest", "revision", "time", "reason", "pinned", "file_ok")


def _id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="a checkpoint's id, or the beginning of it")


def _create(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", default="asked for", help="why, for the list")


def _list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--limit", type=positive, default=50, metavar="N", help="how many (default: 50)")


def _verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", nargs="?", default="", help="one of them; without it all")


def _export(parser: argparse.ArgumentParser) -> None:
    _id(parser)
    parser.add_argument("file", metavar="FILE", type=Path, help="a new .ckpt file")


def _import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="a .ckpt file")


def _restore(parser: argparse.ArgumentParser) -> None:
    _id(parser)
    add_yes(parser)


def list_(context: Context) -> int:
    """Prints the checkpoints, newest first."""
    rows = [with_time(row) for row in context.call("checkpoint.list", limit=context.args.limit)]
    if context.out.json:
        context.out.value({"checkpoints": rows})
        return 0
    columns = ("ID", "TIME", "ENTRY", "SIZE", "REVISION", "REASON")
    context.out.table(columns, [_cells(row) for row in rows], "there is no checkpoint yet")
    return 0


def _cells(row: dict[str, Any]) -> tuple[object, ...]:
    reason = row.get("reason", "") + (" (pinned)" if row.get("pinned") else "")
    revision = short(row.get("revision"))
    return short(row["id"]), when(row.get("time_ns", 0)), row["seq"], size(row.get("size_bytes")), revision, reason


def show(context: Context) -> int:
    """Prints one with its sections."""
    row = with_time(context.call("checkpoint.show", id=context.args.id))
    _print(context, row)
    return 0


def create(context: Context) -> int:
    """Takes one now."""
    row = with_time(context.call("checkpoint.create", reason=context.args.reason))
    _print(context, row)
    return 0


def _print(context: Context, row: dict[str, Any]) -> None:
    if context.out.json:
        context.out.value(row)
        return
    context.out.pairs(
        [
            ("id", row["id"]),
            ("entry", row.get("seq")),
            ("time", when(row.get("time_ns", 0))),
            ("size", f"{size(row.get('size_bytes'))} ({size(row.get('uncompressed_bytes'))} unpacked)"),
            ("kind", row.get("kind")),
            ("digest", row.get("digest")),
            ("revision", row.get("revision")),
            ("reason", row.get("reason")),
            ("pinned", "yes" if row.get("pinned") else "no"),
        ]
    )
    for section in row.get("sections", []):
        context.out.line(f"  {section['name']:<16} {size(section['size_bytes'])}")


def restore(context: Context) -> int:
    """The agent's state becomes that of a checkpoint."""
    question = f"Restore checkpoint {context.args.id}? The agent forgets what came after it (the log keeps it)."
    context.confirm(question)
    value = context.call("checkpoint.restore", id=context.args.id)
    if context.out.json:
        context.out.value(value)
    else:
        context.out.good(f"restored checkpoint {value.get('id', context.args.id)}")
    return 0


def verify(context: Context) -> int:
    """Checks digests; 1 if something is wrong."""
    value = context.call("checkpoint.verify", id=context.args.id)
    if context.out.json:
        context.out.value(value)
    elif value["ok"]:
        context.out.good(f"ok: {value.get('checked', 1)} checked")
    else:
        for problem in value["problems"]:
            context.out.bad(f"wrong: {problem}")
    return 0 if value["ok"] else 1


def export(context: Context) -> int:
    """Writes one to a file."""
    file = named(context.args.file)
    value = context.call("checkpoint.export", id=context.args.id, path=str(file))
    if context.out.json:
        context.out.value({"path": str(file)} | value)
    else:
        context.out.line(f"written to {value.get('path', file)}")
    return 0


def import_(context: Context) -> int:
    """Takes one from a file."""
    row = with_time(context.call("checkpoint.import", path=str(named(context.args.file))))
    _print(context, row)
    return 0


def delete(context: Context) -> int:
    """Deletes one; for ten minutes that can be taken back."""
    row = with_time(context.call("checkpoint.delete", id=context.args.id))
    if context.out.json:
        context.out.value(row)
    else:
        context.out.line(f"deleted {row['id']}")
        context.out.note(f"within ten minutes: o-tui checkpoint undelete {short(row['id'])}")
    return 0


def undelete(context: Context) -> int:
    """Takes a deletion back."""
    _print(context, with_time(context.call("checkpoint.undelete", id=context.args.id)))
    return 0


def pin(context: Context) -> int:
    """Keeps one whatever its age."""
    _print(context, with_time(context.call("checkpoint.pin", id=context.args.id, pinned=True)))
    return 0


def unpin(context: Context) -> int:
    """Lets one go by its age again."""
    _print(context, with_time(context.call("checkpoint.pin", id=context.args.id, pinned=False)))
    return 0


def _compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A", help="a checkpoint's id, or the beginning of it")
    parser.add_argument("b", metavar="B", help="another one's")


def compare(context: Context) -> int:
    """Prints two beside each other."""
    value = context.call("checkpoint.compare", a=context.args.a, b=context.args.b)
    if context.out.json:
        context.out.value(value)
        return 0
    same = "the same revision" if value["same_revision"] else "another revision"
    context.out.line(
        f"{short(value['a']['id'])} -> {short(value['b']['id'])}: {value['seq_difference']} entries, {same}"
    )
    cells = [
        (row["name"], *("" if row[key] < 0 else size(row[key]) for key in ("a_bytes", "b_bytes")), _same(row["equal"]))
        for row in value["sections"]
    ]
    context.out.table(("SECTION", "A", "B", ""), cells)
    return 0


def _same(equal: bool) -> str:
    return "same" if equal else "differs"


COMMANDS = (
    Command(
        "checkpoint list",
        "The checkpoints, newest first.",
        list_,
        _list,
        examples=(("checkpoint list", "the newest 50"), ("checkpoint list -n 5 --json", "five, for a script")),
        keys=("checkpoints",),
    ),
    Command(
        "checkpoint show",
        "One checkpoint with its sections and digests.",
        show,
        _id,
        examples=(("checkpoint show 3f2a", "the beginning of an id is enough"),),
        codes=(1, 3, 5),
        keys=(*_KEYS, "sections", "chain_digest"),
    ),
    Command(
        "checkpoint create",
        "Take a checkpoint now.",
        create,
        _create,
        examples=(("checkpoint create --reason 'before the move'", "with a reason for the list"),),
        codes=(5, 69),
        keys=_KEYS,
    ),
    Command(
        "checkpoint restore",
        "Give the agent the state of a checkpoint.",
        restore,
        _restore,
        examples=(("checkpoint restore 3f2a --yes", "without being asked"),),
        codes=(1, 2, 3, 4, 5),
        keys=("id", "seq"),
        notes="The log keeps everything that came after it, and a checkpoint of now is taken first.",
    ),
    Command(
        "checkpoint verify",
        "Check the digests of one checkpoint, or of all, in both copies.",
        verify,
        _verify,
        examples=(("checkpoint verify", "all"), ("checkpoint verify 3f2a --json", "one")),
        codes=(1, 3, 5),
        keys=("ok", "problems", "checked"),
    ),
    Command(
        "checkpoint export",
        "Write a checkpoint to a .ckpt file.",
        export,
        _export,
        examples=(("checkpoint export 3f2a ~/o.ckpt", "to keep it elsewhere"),),
        codes=(1, 2, 3, 4, 5, 69),
        keys=("path", *_KEYS),
    ),
    Command(
        "checkpoint import",
        "Take a checkpoint from a .ckpt file into the vault.",
        import_,
        _import,
        examples=(("checkpoint import ~/o.ckpt", "then restore it by its id"),),
        codes=(1, 3, 4, 5, 69),
        keys=_KEYS,
    ),
    Command(
        "checkpoint delete",
        "Delete a checkpoint; for ten minutes that can be taken back.",
        delete,
        _id,
        examples=(("checkpoint delete 3f2a", "by the beginning of its id"),),
        codes=(3, 4, 5),
        keys=_KEYS,
    ),
    Command(
        "checkpoint undelete",
        "Take a deletion back.",
        undelete,
        _id,
        examples=(("checkpoint undelete 3f2a", "within ten minutes"),),
        codes=(3, 5),
        keys=_KEYS,
    ),
    Command(
        "checkpoint pin",
        "Keep a checkpoint whatever its age.",
        pin,
        _id,
        examples=(("checkpoint pin 3f2a", "it is not removed when there are many"),),
        codes=(3, 4, 5),
        keys=_KEYS,
    ),
    Command(
        "checkpoint unpin",
        "Let a checkpoint go by its age again.",
        unpin,
        _id,
        examples=(("checkpoint unpin 3f2a", ""),),
        codes=(3, 4, 5),
        keys=_KEYS,
    ),
    Command(
        "checkpoint compare",
        "Two checkpoints beside each other: entries and sections.",
        compare,
        _compare,
        examples=(("checkpoint compare 3f2a 9c01", "what is not the same"),),
        codes=(1, 3, 5),
        keys=("a", "b", "seq_difference", "same_revision", "sections"),
    ),
)
