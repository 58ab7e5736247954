"""`status` and `version`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from o_tui.cli.command import Command, Context
from o_tui.cli.output import iso, short, size, when


def _status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tree", action="store_true", help="show the supervision tree too")


def status(context: Context) -> int:
    """Prints what runs."""
    with context.guardian() as client:
        value: dict[str, Any] = client.call("status")
        if context.args.tree:
            value["tree"] = client.call("tree")
    checkpoint = value.get("checkpoint") or {}
    if checkpoint.get("time_ns"):
        checkpoint["time"] = iso(checkpoint["time_ns"])
    if context.out.json:
        context.out.value(value)
    else:
        _print(context, value, checkpoint)
        if context.args.tree:
            context.out.line()
            _branch(context, value["tree"], 0)
    return 0


def _branch(context: Context, node: dict[str, Any], depth: int) -> None:
    detail = ", ".join(str(node[key]) for key in ("role", "state") if node.get(key))
    pid = f", pid {node['pid']}" if node.get("pid") else ""
    context.out.line(f"{'  ' * depth}{node['id']}  {detail}{pid}".rstrip())
    for child in node.get("children", []):
        _branch(context, child, depth + 1)


def _hold(row: dict[str, Any]) -> list[tuple[str, str]]:
    if not row.get("held"):
        return []
    return [("hold", f"by {row.get('who', '')}" + (f": {row['reason']}" if row.get("reason") else ""))]


def _print(context: Context, value: dict[str, Any], checkpoint: dict[str, Any]) -> None:
    out, who, wal, brain = context.out, value["guardian"], value["wal"], value.get("brain", {})
    out.pairs(
        [
            ("guardian", f"pid {who['pid']}, epoch {who['epoch']}, {who['placement']}, up {_span(who['uptime_s'])}"),
            ("log", f"entry {wal['seq']}" + (", READ-ONLY" if wal.get("read_only") else "")),
            ("checkpoint", _checkpoint(checkpoint)),
            ("genome", _genome(value.get("genome", {}))),
            ("brain", _brain(brain)),
            ("reviews", f"{value.get('pending', 0)} waiting"),
            *_hold(value.get("hold") or {}),
        ]
    )
    out.line()
    columns = ("ROLE", "PID", "STATE", "TIER", "REVISION", "REQUESTS", "P50", "P99", "HEARTBEAT", "MEMORY")
    rows = [
        (
            row.get("role"),
            row.get("pid"),
            row.get("state"),
            row.get("tier"),
            short(row.get("revision")),
            row.get("requests"),
            _span_ms(row.get("p50_ms")),
            _span_ms(row.get("p99_ms")),
            _age(row.get("heartbeat_age_ms")),
            size(row.get("rss_bytes")),
        )
        for row in value.get("instances", [])
    ]
    out.table(columns, rows, "no instance runs")


def _span(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _age(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:.0f} ms ago"


def _span_ms(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:.2f} ms"


def _checkpoint(row: dict[str, Any]) -> str:
    return f"{short(row['id'])} at entry {row['seq']}, {when(row['time_ns'])}" if row.get("id") else "none yet"


def _genome(row: dict[str, Any]) -> str:
    return f"{row.get('version', '')} ({short(row.get('revision'))})"


def _brain(row: dict[str, Any]) -> str:
    text = " ".join(part for part in (row.get("provider"), row.get("model")) if part)
    return text + (f": {row['detail']}" if row.get("detail") else "")


def genome_revision(folder: Path) -> str:
    """The commit that a git repository's HEAD names, read from its files; empty if there is none."""
    git = folder / ".git" if (folder / ".git").is_dir() else folder
    try:
        head = (git / "HEAD").read_text("utf-8").strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        if (git / name).is_file():
            return (git / name).read_text("utf-8").strip()
        packed = (git / "packed-refs").read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    return next((line.split(" ")[0] for line in packed if line.endswith(f" {name}")), "")


def version(context: Context) -> int:
    """Prints versions; needs no guardian."""
    import platform

    from o_tui import __version__, _native

    value = {
        "version": __version__,
        "revision": genome_revision(context.paths.genome),
        "python": platform.python_version(),
        "native": _native.__version__,
    }
    if context.out.json:
        context.out.value(value)
    else:
        context.out.line(f"o-tui {value['version']}")
        context.out.pairs([(key, text or "none yet") for key, text in value.items() if key != "version"])
    return 0


COMMANDS = (
    Command(
        "status",
        "What runs, and where the log and the checkpoints stand.",
        status,
        _status,
        examples=(
            ("status", "for people"),
            ("status --tree", "with every process"),
            ("status --json | jq .wal.seq", "for scripts"),
        ),
        keys=("guardian", "instances", "wal", "checkpoint", "pending", "brain", "genome", "loop", "tier"),
    ),
    Command(
        "version",
        "The version of O, the genome's revision in this workspace, Python and the extension.",
        version,
        examples=(("version", "all of them"),),
        codes=(),
        keys=("version", "revision", "python", "native"),
        keeps=False,
    ),
)
