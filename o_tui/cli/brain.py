"""`brain …`: which model answers."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from o_tui.cli.command import Command, Context
from o_tui.protocol.errors import UsageError

PROVIDERS = ("offline", "openai", "anthropic", "ollama")


def _set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("provider", choices=PROVIDERS, metavar="PROVIDER", help=", ".join(PROVIDERS))
    parser.add_argument("--model", default="", help="the model's name at the provider")
    parser.add_argument("--base-url", default="", metavar="URL", help="the endpoint; empty: the provider's own")


def _key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("provider", choices=PROVIDERS[1:], metavar="PROVIDER", help=", ".join(PROVIDERS[1:]))


def _print(context: Context, row: dict[str, Any]) -> None:
    if context.out.json:
        context.out.value(row)
        return
    context.out.pairs(
        [
            ("provider", row.get("provider")),
            ("model", row.get("model") or "none"),
            ("state", state_of(row)),
            ("key", row.get("key") or "none"),
        ]
    )


def state_of(row: dict[str, Any]) -> str:
    """Whether it answers, in words; one that is being connected is neither."""
    detail = row.get("detail") or ""
    if not row.get("ok") and detail.startswith("connecting"):
        return str(detail)
    return ("ok" if row.get("ok") else "not ok") + (f": {detail}" if detail else "")


def show(context: Context) -> int:
    """Prints who answers."""
    _print(context, context.call("status")["brain"])
    return 0


def detect(context: Context) -> int:
    """Prints the keys and local models that are there."""
    value = context.call("brain.detect")
    if context.out.json:
        context.out.value(value)
        return 0
    cells = [
        (row.get("provider"), row.get("model"), row.get("key_masked"), row.get("source"), row.get("base_url"))
        for row in value["found"]
    ]
    empty = "no key in the environment and no local Ollama: O answers offline"
    context.out.table(("PROVIDER", "MODEL", "KEY", "FROM", "ENDPOINT"), cells, empty)
    return 0


def models(context: Context) -> int:
    """Prints the provider's models."""
    value = context.call("brain.models")
    if context.out.json:
        context.out.value(value)
        return 0
    for model in value["models"]:
        context.out.line(str(model.get("id", model) if isinstance(model, dict) else model))
    return 0


def set_(context: Context) -> int:
    """Chooses another."""
    args = context.args
    _print(context, context.call("brain.set", provider=args.provider, model=args.model, base_url=args.base_url))
    return 0


def key(context: Context) -> int:
    """Keeps a key; it is read from standard input, never from the command line."""
    if sys.stdin.isatty():
        import getpass

        text = getpass.getpass(f"key for {context.args.provider} (not shown): ")
    else:
        text = sys.stdin.readline()
    if not text.strip():
        raise UsageError("there is no key", hint="type it, or pipe it into the command")
    value = context.call("brain.key", provider=context.args.provider, key=text.strip())
    if context.out.json:
        context.out.value(value)
    else:
        context.out.line(f"kept the key for {context.args.provider}")
    return 0


COMMANDS = (
    Command(
        "brain",
        "Which model answers.",
        show,
        examples=(("brain", "provider, model, state"),),
        keys=("provider", "model", "ok", "detail", "key"),
    ),
    Command(
        "brain detect",
        "Keys in the environment and local models that O could use.",
        detect,
        examples=(("brain detect", "before choosing"),),
        codes=(5, 69),
        keys=("found",),
    ),
    Command(
        "brain models",
        "The models that the provider offers.",
        models,
        examples=(("brain models", "asks the endpoint"),),
        codes=(5, 69),
        keys=("models",),
    ),
    Command(
        "brain set",
        "Choose which model answers.",
        set_,
        _set,
        examples=(
            ("brain set ollama --model qwen3:4b", "a local one"),
            ("brain set openai --model m --base-url http://127.0.0.1:8080/v1", "any OpenAI-compatible endpoint"),
            ("brain set offline", "none"),
        ),
        codes=(5, 69),
        keys=("provider", "model", "ok", "detail", "key"),
    ),
    Command(
        "brain key",
        "Keep a provider's key (0600); it is read from standard input.",
        key,
        _key,
        examples=(("brain key anthropic < key.txt", "never as an argument: others could see it"),),
        codes=(5, 69),
        keys=("provider",),
    ),
)
