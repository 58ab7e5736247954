"""`arbiter simulate`: how often equal code would be promoted, and how soon what is true is seen."""

from __future__ import annotations

import argparse
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from o_tui import _native
from o_tui.cli.command import Command, Context, positive


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs", type=positive, default=10_000, metavar="N", help="evolutions of equal code in each world (10000)"
    )
    parser.add_argument("--pairs", type=positive, default=2_000, metavar="N", help="how long each is watched (2000)")
    parser.add_argument("--races", type=positive, default=400, metavar="N", help="races of 100 equal shadows (400)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="the same seed gives the same table (1)")


def _simulate(context: Context) -> int:
    from o_tui.evolution import simulation  # here, because it takes numpy

    args, out = context.args, context.out
    with ProcessPoolExecutor(initializer=_end_with, initargs=(os.getpid(),)) as pool:
        found = simulation.simulate(args.runs, args.pairs, args.seed, args.races, pool.map)
    if out.json:
        out.value(found)
        return 0
    out.table(("what", "figure"), _rows(found))
    out.note(
        f"{args.runs:,} evolutions of equal code in each of {len(found['worlds'])} worlds, looked at after each pair"
    )
    return 0


def _end_with(parent: int) -> None:
    """A worker of a command that is killed has nobody to work for."""
    _native.set_parent_death_signal(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    races = found["races"]
    return [
        *((f"equal code promoted, {name}", f"{rate:.2%}") for name, rate in found["worlds"].items()),
        ("-10 % latency promoted", _when(found["detect_minus_10pct"])),
        ("  on recorded noise", _when(found["detect_minus_10pct_recorded"])),
        ("+20 % latency rejected", _when(found["reject_plus_20pct"])),
        ("+5 % latency rejected", _when(found["reject_plus_5pct"])),
        ("+5 % latency promoted", f"{found['plus_5_promoted']:.2%}"),
        ("+5 points of errors rejected", _when(found["reject_plus_5_points"])),
        *_watched(found["watch"]),
        (f"races of {races['shadows']} equal shadows that promote", f"{races['promoted_rate']:.2%}"),
        (
            f"races with {races['good']} at -10 % that promote one of them",
            f"{races['good_promoted_rate']:.0%} after {races['executions']:,.0f} pairs",
        ),
    ]


def _watched(watch: dict[str, Any]) -> list[tuple[str, str]]:
    lasts = f"within {watch['requests']:,} requests"
    slower, failing = watch["plus_20pct"], watch["plus_20_points"]
    return [
        *((f"watch alarms at equal code {lasts}, {name}", f"{rate:.2%}") for name, rate in watch["alarms"].items()),
        *((f"watch sees +20 % latency, {name}", _when(when)) for name, when in slower.items()),
        *((f"watch sees +20 points of errors, {name}", _when(when)) for name, when in failing.items()),
    ]


def _when(found: dict[str, float]) -> str:
    if not found["share"]:
        return "never"
    return f"{found['share']:.0%}, after {found['median']:.0f} pairs (90 %: {found['p90']:.0f})"


COMMANDS = (
    Command(
        "arbiter simulate",
        "How often the arbiter would promote equal code, and how soon it sees what is true.",
        _simulate,
        _configure,
        examples=(
            ("arbiter simulate", "the whole table, about a minute"),
            ("arbiter simulate --runs 500 --races 20 --json", "a quick look"),
        ),
        codes=(),
        keys=(
            "false_promotion_rate",
            "worlds",
            "runs",
            "pairs",
            "detect_minus_10pct",
            "detect_minus_10pct_recorded",
            "minus_10pct_recorded_bound",
            "reject_plus_20pct",
            "reject_plus_5pct",
            "plus_5_promoted",
            "reject_plus_5_points",
            "races",
            "watch",
        ),
        keeps=False,
        notes="Needs no guardian. Noise is of three kinds, and drawn from recordings of unchanged code.",
    ),
)
