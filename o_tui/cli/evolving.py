"""`history`, `hold`, `release`, `policy`, `feedback`: what was changed, what may be, and what an operator says."""

from __future__ import annotations

import argparse
import time
from datetime import datetime
from typing import Any

from o_tui.cli.changes import listed
from o_tui.cli.command import Command, Context, positive
from o_tui.cli.output import when, with_time
from o_tui.protocol.errors import UsageError

_DIGITS = 10
_LATEST_S = 9_000_000_000
"""Seconds that still fit as 64 bits of nanoseconds; the year 2255."""
_HOLD = ("held", "who", "reason", "time_ns")


def _hold(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", default="", metavar="R", help="why; shown to everybody who asks")


def hold(context: Context) -> int:
    """Holds everything."""
    return _held(context, context.call("hold", reason=context.args.reason))


def release(context: Context) -> int:
    """Ends a hold."""
    return _held(context, context.call("release"))


def _held(context: Context, row: dict[str, Any]) -> int:
    if context.out.json:
        context.out.value(row)
    elif row["held"]:
        context.out.line("held: nothing is evolved or deployed until o-tui release")
    else:
        context.out.line("released")
    return 0


def _policy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("gene", metavar="GENE", nargs="?", default="", help="without it: every policy that was set")
    parser.add_argument("policy", metavar="POLICY", nargs="?", default="", help="always (ask), auto, or never (frozen)")
    parser.add_argument(
        "--risk",
        default="low",
        choices=("low", "medium", "high"),
        help="how far auto goes: low (numbers only, default), medium (logic too), high (effects and imports too)",
    )


def policy(context: Context) -> int:
    """Sets a gene's policy, or prints them."""
    args = context.args
    if args.policy:
        rows = [context.call("policy.set", gene=args.gene, policy=args.policy, risk=args.risk)]
    else:
        rows = [row for row in context.call("policy.list") if args.gene in ("", row["gene"])]
    rows = [with_time(row) for row in rows]
    if context.out.json:
        context.out.value({"policies": rows})
        return 0
    cells = [(row["gene"], row["policy"], _risk(row), row["who"], when(row["time_ns"])) for row in rows]
    context.out.table(("GENE", "POLICY", "UP TO", "SET BY", "TIME"), cells, "every change is asked about (always)")
    return 0


def _risk(row: dict[str, Any]) -> str:
    return f"{row['risk']} risk" if row["policy"] == "auto" else ""


def _feedback(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("verdict", choices=("good", "bad"), help="what you think of the answer")
    parser.add_argument("text", nargs="*", metavar="TEXT", help="why; a model that writes a change is told")
    parser.add_argument("--request", default="", metavar="ID", help="which answer (default: the newest)")


def feedback(context: Context) -> int:
    """Says what an operator thinks of an answer."""
    args = context.args
    row = context.call("feedback", verdict=args.verdict, text=" ".join(args.text), request_id=args.request)
    if context.out.json:
        context.out.value(row)
    else:
        context.out.line(f"noted: the answer to {row['request_id'][:12]} was {row['verdict']}")
    return 0


def _history(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--limit", type=positive, default=50, metavar="N", help="how many (default: 50)")
    parser.add_argument("--gene", default="", metavar="GENE", help="only of this gene")
    parser.add_argument("--state", default="", metavar="S", help="only these: pending, promoted, rejected, failed, ...")
    parser.add_argument(
        "--source", default="", metavar="S", help="only from: file, llm, operators, others, part, program"
    )
    parser.add_argument("--since", default="", metavar="T", help="only since: 3h, 2d, or a date like 2026-11-28")
    parser.add_argument("--intents", action="store_true", help="what was seen that may call for a change, and why not")
    parser.add_argument("--statistics", action="store_true", help="counts, success by source, what has earned credit")


def history(context: Context) -> int:
    """Prints all changes, newest first; or the intents, or what all of them say together."""
    args = context.args
    if args.intents:
        return _intents(context, context.call("intents.list", limit=args.limit))
    if args.statistics:
        return _statistics(context, context.call("evolution.statistics"))
    filters = {"gene": args.gene, "state": args.state, "source": args.source, "since_ns": _since(args.since)}
    empty = "nothing like that has been" if any(filters.values()) else "nothing has changed yet"
    return listed(context, "evolutions", context.call("history", limit=args.limit, **filters), empty)


def _since(text: str) -> int:
    """UTC ns of "3h", "2d" (ago) or "2026-11-28"; 0: from the beginning."""
    if not text:
        return 0
    span = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}.get(text[-1])
    if span and text[:-1].isascii() and text[:-1].isdigit() and len(text) < _DIGITS:
        return max(0, time.time_ns() - int(text[:-1]) * span * 1_000_000_000)
    try:
        return min(max(0, int(datetime.fromisoformat(text).astimezone().timestamp())), _LATEST_S) * 1_000_000_000
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{text[:40]!r} is no time", hint="3h, 2d, or a date like 2026-11-28") from error


def _intents(context: Context, rows: list[dict[str, Any]]) -> int:
    rows = [with_time(row) for row in rows]
    if context.out.json:
        context.out.value({"intents": rows})
        return 0
    cells = [
        (when(row["time_ns"]), row["gene"], row["text"], row["evolution"] or f"not tried: {row['reason']}")
        for row in rows
    ]
    context.out.table(("TIME", "GENE", "SEEN", "OUTCOME"), cells, "nothing was seen that calls for a change")
    return 0


def _statistics(context: Context, found: dict[str, Any]) -> int:
    out = context.out
    if out.json:
        out.value({"statistics": found})
        return 0
    median = found["decision_s"]["median"]
    out.pairs([("evolutions", found["count"]), *sorted(found["states"].items())])
    out.pairs([("until decided", f"{median:.1f} s in the median" if median is not None else "nothing is decided yet")])
    for title in ("sources", "operators", "genes"):
        credit = found["credit"].get(title, {})
        cells = [
            (name, row["count"], row["promoted"], _rate(row["rate"]), _credit(credit.get(name)))
            for name, row in sorted(found[title].items())
        ]
        if cells:
            out.line()
            out.table((title.upper(), "TRIED", "PROMOTED", "RATE", "CREDIT"), cells)
    return 0


def _rate(rate: float | None) -> str:
    return "" if rate is None else f"{100 * rate:.0f} %"


def _credit(row: dict[str, float] | None) -> str:
    return f"{row['wins']:.2f} : {row['losses']:.2f}" if row else ""


COMMANDS = (
    Command(
        "hold",
        "Hold everything: no change is tried or deployed until it is released, also after a restart.",
        hold,
        _hold,
        examples=(("hold --reason 'a demo today'", "what runs waits at its next stage; rollback still works"),),
        codes=(4, 5),
        keys=_HOLD,
    ),
    Command(
        "release",
        "End a hold.",
        release,
        examples=(("release", "changes may be tried again"),),
        codes=(4, 5),
        keys=_HOLD,
    ),
    Command(
        "policy",
        "What may happen to a gene without asking you; each word is kept with who said it.",
        policy,
        _policy,
        examples=(
            ("policy", "what was set"),
            ("policy recall auto", "changes of numbers that are shown better are deployed"),
            ("policy respond never", "nobody changes it"),
        ),
        codes=(4, 5),
        keys=("policies",),
    ),
    Command(
        "feedback",
        "Say what you think of an answer; many bad ones are a reason to try a change.",
        feedback,
        _feedback,
        examples=(
            ("feedback bad it forgot my name", "of the newest answer"),
            ("feedback good --request 3f2a", "of one"),
        ),
        codes=(3, 4, 5),
        keys=("request_id", "verdict", "text", "who", "time_ns"),
    ),
    Command(
        "history",
        "All changes, newest first, and how they ended.",
        history,
        _history,
        examples=(
            ("history -n 10", "the last ten"),
            ("history --gene recall --state promoted --since 2d", "some of them"),
            ("history --intents", "what was seen, and why something was or was not tried"),
        ),
        keys=("evolutions", "intents", "statistics"),
    ),
)
