"""`bench`: figures of this machine. Each benchmark is a module of `o_tui.bench`, imported when it runs."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from o_tui.cli.command import Command, Context, positive

if TYPE_CHECKING:
    from o_tui.bench.report import Report


def _nothing(_parser: argparse.ArgumentParser) -> None:
    """No arguments of its own."""


def _sandbox(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--forks", type=positive, default=40, metavar="N", help="instances to fork (default: 40)")


def _recall(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="conversations with questions, in the format of LoCoMo")
    parser.add_argument(
        "--blocks",
        type=int,
        default=10_000,
        metavar="N",
        help="times with so many blocks too (default: 10000; 0: none)",
    )


def _rounds(default: int, what: str) -> Callable[[argparse.ArgumentParser], None]:
    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--rounds", type=positive, default=default, metavar="N", help=f"{what} (default: {default})"
        )

    return configure


def _loop(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=positive, default=5, metavar="S", help="of each part (default: 5)")


def _vectors(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=positive, default=10_000, metavar="N", help="vectors (default: 10000)")
    parser.add_argument("--dimensions", type=positive, default=384, metavar="N", help="of each (default: 384)")


def _bench(
    name: str, summary: str, example: str, configure: Callable[[argparse.ArgumentParser], None] = _nothing
) -> Command:
    def run(context: Context) -> int:
        module = importlib.import_module(f"o_tui.bench.{name}")
        report: Report = module.run(context.args)
        return _print(context, report.row())

    return Command(
        f"bench {name}",
        summary,
        run,
        configure,
        examples=((f"bench {name}{example}", ""),),
        codes=(3, 4, 5, 69),
        keys=("results", "peers", "ratios", "notes", "machine"),
        keeps=False,
        notes=(
            "Needs no guardian, and touches no workspace. Run it on a quiet machine: its figures are medians, but of "
            "this machine as it is."
        ),
    )


def _print(context: Context, value: dict[str, Any]) -> int:
    out = context.out
    if out.json:
        out.value(value)
        return 0
    out.pairs((name, f"{figure:g}") for name, figure in value["results"].items())
    for peer, figures in value["peers"].items():
        out.title(f"beside {peer}")
        out.pairs((name, f"{figure:g}") for name, figure in figures.items())
    if value["ratios"]:
        out.title("ratios")
        out.pairs((name, f"{figure:.3g}") for name, figure in value["ratios"].items())
    for note in value["notes"]:
        out.note(note)
    machine = value["machine"]
    out.faint(f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}")
    return 0


COMMANDS = (
    _bench(
        "codec",
        "Checkpoints packed, loaded and taken as deltas, beside zstandard and hashlib.",
        "",
        _rounds(5, "how often each is done"),
    ),
    _bench("loop", "How late the guardian's loop is while an answer streams and checkpoints are taken.", "", _loop),
    _bench("recall", "What the agent finds of recorded conversations again, and how fast.", " locomo10.json", _recall),
    _bench(
        "recovery",
        "From the death of main to the next one's first answer: by standby, by the nursery, and cold.",
        "",
        _rounds(10, "deaths of each kind"),
    ),
    _bench(
        "requests",
        "Requests through guardian and agent, plain and durable, beside a bare framed echo.",
        "",
        _rounds(3, "rounds of 20,000 requests"),
    ),
    _bench("sandbox", "From a fork to an instance that is ready, confined, and what a request costs.", "", _sandbox),
    _bench(
        "wal",
        "Operations acknowledged durable, beside a bare sqlite3 loop and LangGraph's saver where it is installed.",
        "",
        _rounds(3, "rounds of 20,000 operations"),
    ),
    _bench("vectors", "Exact searches in vectors, one by one, in a batch and masked, beside numpy.", "", _vectors),
)
