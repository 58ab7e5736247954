"""`config …`: settings, with or without a guardian."""

from __future__ import annotations

import argparse
from typing import Any

from o_tui.cli.command import Command, Context
from o_tui.protocol.errors import UsageError, did_you_mean


def _get(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY", help="section.name, for example brain.model")


def _set(parser: argparse.ArgumentParser) -> None:
    _get(parser)
    parser.add_argument("value", metavar="VALUE", help="its new value")


def _rows(context: Context) -> list[dict[str, Any]]:
    from o_tui import config

    settings = config.load(context.paths.config_file)
    return [
        {
            "key": f"{row['section']}.{row['name']}",
            "value": getattr(getattr(settings, row["section"]), row["name"]),
            "default": row["default"],
            "text": row["text"],
            "choices": row["choices"],
        }
        for row in config.describe()
    ]


def list_(context: Context) -> int:
    """Prints all settings."""
    rows = _rows(context)
    if context.out.json:
        context.out.value({"settings": rows, "file": str(context.paths.config_file)})
        return 0
    for row in rows:
        changed = "" if row["value"] == row["default"] else f"  (default {row['default']!r})"
        context.out.line(f"{row['key']} = {row['value']!r}{changed}")
        choices = f" One of: {', '.join(row['choices'])}." if row["choices"] else ""
        context.out.faint(f"    {row['text']}{choices}")
    context.out.faint(f"file: {context.paths.config_file}")
    return 0


def get(context: Context) -> int:
    """Prints one."""
    rows = {row["key"]: row for row in _rows(context)}
    if context.args.key not in rows:
        raise UsageError(
            f"there is no setting {context.args.key!r}", hint=did_you_mean(context.args.key, rows, "o-tui config list")
        )
    row = rows[context.args.key]
    if context.out.json:
        context.out.value({"key": row["key"], "value": row["value"]})
    else:
        context.out.line(str(row["value"]))
    return 0


def set_(context: Context) -> int:
    """Changes one: through the guardian if one runs, so that it takes effect; else in the file."""
    from o_tui.client import running

    key, value = context.args.key, context.args.value
    client = running(context.paths)
    if client is not None:
        with client:
            values = client.call("config.set", key=key, value=value)
        section, _, name = key.partition(".")
        now = values[section][name]
    else:
        from o_tui import config

        settings = config.set_value(context.paths.config_file, key, value)
        section, _, name = key.partition(".")
        now = getattr(getattr(settings, section), name)
    if context.out.json:
        context.out.value({"key": key, "value": now})
    else:
        context.out.line(f"{key} = {now!r}")
    return 0


COMMANDS = (
    Command(
        "config list",
        "All settings, with a sentence on each.",
        list_,
        examples=(("config list", "what is set, and what it means"),),
        codes=(),
        keys=("settings", "file"),
        keeps=False,
    ),
    Command(
        "config get",
        "One setting.",
        get,
        _get,
        examples=(("config get brain.model", "prints the value"),),
        codes=(),
        keys=("key", "value"),
        keeps=False,
    ),
    Command(
        "config set",
        "Change one setting, for good; comments in the file stay.",
        set_,
        _set,
        examples=(("config set screen.theme auto", ""), ("config set vault.interval_s 600", "")),
        codes=(5,),
        keys=("key", "value"),
        keeps=False,
    ),
)
