"""`pending`, `show`, `approve`, `shadow`, `reject`, `rollback`: what waits for an operator, and what he decides."""

from __future__ import annotations

import argparse
import time
from typing import Any

from o_tui.cli.command import Command, Context
from o_tui.cli.output import short, when, with_time
from o_tui.protocol.refusals import in_words
from o_tui.ui.outcome import ending, population

_ROW = ("id", "gene", "base", "revision", "state", "diff_sha256", "evidence", "verdict", "by")
_OPEN = 999.0
"""An interval that reaches from 0 to here says nothing."""
_GOOD = ("promoted", "pending")


def _id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="an evolution's id, or the beginning of it")


def _approve(parser: argparse.ArgumentParser) -> None:
    _id(parser)
    parser.add_argument("--digest", required=True, metavar="D", help="diff_sha256 of the diff that you have read")
    parser.add_argument(
        "--evidence", default="", metavar="E", help="evidence_sha256 of the evidence that you have read"
    )


def _shadow(parser: argparse.ArgumentParser) -> None:
    _id(parser)
    parser.add_argument("--digest", default="", metavar="D", help="diff_sha256 of the diff that you mean")


def _reject(parser: argparse.ArgumentParser) -> None:
    _id(parser)
    parser.add_argument("--reason", type=_said, required=True, metavar="R", help="why; the agent learns from it")


def _said(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("a reason is wanted: the next candidate is made with it")
    return text


def _rollback(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("revision", metavar="REV", nargs="?", default="", help="default: the one before")
    parser.add_argument(
        "--state", action="store_true", help="the agent's state too: as it was before the change that is undone"
    )


def outcome(context: Context, row: dict[str, Any], elapsed_s: float) -> int:
    """Prints how an evolution stands or ended; the exit code."""
    found = ending(row)
    if context.out.json:
        best = {"metrics": row.get("evidence", {}), "path": "", "revision": row.get("revision", "")}
        looks = sum(each["measured"] for each in row.get("generations") or ())
        evaluations = looks + len(row.get("race") or []) + bool(row.get("evidence"))
        last = {"evolution": row["id"], "outcome": found, "best": best, "evaluations": evaluations}
        context.out.value(last | {"elapsed_s": round(elapsed_s, 3), "row": row})
    else:
        _evidence(context, row)
        (context.out.good if found in _GOOD else context.out.bad)(f"{row['id']}: {found}. {row.get('reason', '')}")
        if found == "pending":
            context.out.line(f"read it:    o-tui show {row['id']}")
            context.out.line(f"approve it: o-tui approve {row['id']} --digest {row['diff_sha256']}")
    return 0 if found in _GOOD else 1


# --- looking


def pending(context: Context) -> int:
    """Prints what waits for an operator."""
    return listed(context, "pending", context.call("pending"), "nothing waits for you")


def listed(context: Context, key: str, rows: list[dict[str, Any]], empty: str) -> int:
    """Prints evolutions, one a line."""
    rows = [with_time(row) for row in rows]
    if context.out.json:
        context.out.value({key: rows})
        return 0
    cells = [(row["id"], when(row.get("time_ns", 0)), row["gene"], ending(row), _why(row)) for row in rows]
    context.out.table(("ID", "TIME", "GENE", "STATE", "GOAL OR REASON"), cells, empty)
    return 0


def _why(row: dict[str, Any]) -> str:
    first, second = ("reason", "goal") if row["state"] in ("failed", "rejected", "rolled_back") else ("goal", "reason")
    said = str(row.get(first) or row.get(second) or "")
    return "; ".join(text for text in (population(row), said) if text)


def show(context: Context) -> int:
    """Prints one change with diff and evidence."""
    row = with_time(context.call("evolution.show", id=context.args.id))
    if context.out.json:
        context.out.value(row)
        return 0
    told = dict(row)
    if searched := population(row):
        told["search"] = searched
    names = ("id", "gene", "state", "reason", "goal", "hypothesis", "origin", "search", "base", "revision", "version")
    context.out.pairs([(key, told[key]) for key in (*names, "next_version", "by") if told.get(key)])
    _evidence(context, row)
    _violations(context, row.get("violations", []))
    if row.get("diff"):
        context.out.line()
        _flag(context, row["diff"])
        context.out.diff(row["diff"])
        context.out.line()
        context.out.line(f"diff_sha256 {row['diff_sha256']}")
    if row["state"] == "pending":
        context.out.line(f"approve it: o-tui approve {row['id']} --digest {row['diff_sha256']}")
        context.out.line(f"reject it:  o-tui reject {row['id']} --reason TEXT")
    return 0


def _flag(context: Context, diff: str) -> None:
    from o_tui.protocol.safe_text import hidden

    found = sorted({name for _, name in hidden("\n".join(line[1:] for line in diff.splitlines()))})
    if found:
        context.out.bad(
            f"WARNING: the diff has characters that cannot be seen or are not what they seem: {', '.join(found)}"
        )


def _evidence(context: Context, row: dict[str, Any]) -> None:
    evidence = row.get("evidence") or {}
    if not evidence:
        return
    context.out.title(f"evidence: {evidence.get('pairs', 0)} pairs")
    for name in ("latency", "cpu"):
        if ratio := evidence.get(name):
            context.out.line(f"  {name:<8} {compared(ratio)}")
    errors, answers, effects = (evidence.get(key) or {} for key in ("errors", "answers", "effects"))
    context.out.line(f"  errors   {errors.get('main', 0)} -> {errors.get('candidate', 0)}")
    context.out.line(f"  answers  {answers.get('same', 0)} same, {answers.get('different', 0)} different")
    context.out.line(f"  effects  {effects.get('recorded', 0)} recorded, {effects.get('diverged', 0)} diverged")
    if sandbox := evidence.get("sandbox"):
        context.out.line(f"  sandbox  {in_words(sandbox.get('candidate', []))}")
    for reason in evidence.get("reasons", []):
        context.out.line(f"  {reason}")


def _violations(context: Context, rows: list[dict[str, Any]]) -> None:
    if rows:
        context.out.line()
        context.out.title("refused by the sandbox")
        cells = [(when(row["time_ns"]), row["instance"], row["layer"], row["what"]) for row in rows]
        context.out.table(("TIME", "INSTANCE", "LAYER", "WHAT"), cells)


def compared(ratio: dict[str, Any]) -> str:
    """Main's figure, the candidate's and their ratio; what was not measured is not a number."""
    before, after = ratio.get("main_p50_ms") or 0.0, ratio.get("candidate_p50_ms") or 0.0
    if not before or not after:
        return "not measured"
    low, high = ratio.get("ci_low") or 0.0, ratio.get("ci_high") or 0.0
    text = f"{before:.3f} -> {after:.3f} ms, "
    if low <= 0.0 or high >= _OPEN:
        return text + "too few pairs"
    return text + f"ratio {ratio.get('ratio_median') or 0.0:.3f} ({low:.3f}-{high:.3f})"


# --- deciding


def approve(context: Context) -> int:
    """An operator's yes to the exact diff."""
    args = context.args
    return _decided(context, context.call("approve", id=args.id, digest=args.digest, evidence=args.evidence))


def shadow(context: Context) -> int:
    """Another shadow run of a change that waits."""
    start = time.monotonic()
    with context.guardian() as client:
        digest = context.args.digest or client.call("evolution.show", id=context.args.id)["diff_sha256"]
        asked = client.call("evolution.measure", id=context.args.id, digest=digest)
        row = client.call("evolution.wait", id=asked["evolution"])
    return outcome(context, row, time.monotonic() - start)


def reject(context: Context) -> int:
    """An operator's no."""
    row = context.call("reject", id=context.args.id, reason=context.args.reason)
    if context.out.json:
        context.out.value(row)
    else:
        context.out.line(f"{row.get('id', context.args.id)}: rejected")
    return 0


def rollback(context: Context) -> int:
    """Back to an earlier revision."""
    value = context.call("rollback", revision=context.args.revision, state=context.args.state)
    if context.out.json:
        context.out.value(value)
    else:
        context.out.good(f"rolled back to {value.get('version', '')} {short(value.get('revision'))}".replace("  ", " "))
    return 0


def _decided(context: Context, row: dict[str, Any]) -> int:
    done = row.get("state", "promoted") == "promoted"
    if context.out.json:
        context.out.value(row)
    elif done:
        version = row.get("next_version") or row.get("version", "")
        context.out.good(f"{row['id']}: promoted, version {version} ({short(row.get('revision'))})")
    else:
        context.out.bad(f"{row.get('id', context.args.id)}: {row.get('state')}. {row.get('reason', '')}")
    return 0 if done else 1


COMMANDS = (
    Command(
        "pending",
        "The changes that wait for an operator.",
        pending,
        examples=(("pending", "then o-tui show ID"),),
        keys=("pending",),
    ),
    Command(
        "show",
        "One change with its diff and evidence.",
        show,
        _id,
        examples=(("show e3f2", "the beginning of an id is enough"), ("show e3f2 --json | jq -r .diff", "the diff")),
        codes=(3, 5),
        keys=(*_ROW, "diff", "stages", "violations"),
    ),
    Command(
        "approve",
        "Approve the exact diff of a change: it is loaded into the agent that runs.",
        approve,
        _approve,
        examples=(("approve e3f2 --digest 9c1b…", "the digest is the last line of o-tui show"),),
        codes=(1, 3, 4, 5),
        keys=_ROW,
    ),
    Command(
        "shadow",
        "Measure a change that waits once more, on fresh forks and other requests.",
        shadow,
        _shadow,
        examples=(("shadow e3f2", "the new evidence takes the place of the old one"),),
        codes=(1, 3, 4, 5, 69),
        keys=("evolution", "outcome", "best", "evaluations", "elapsed_s"),
        notes="It waits for your decision again afterwards, unless it was shown to do harm.",
    ),
    Command(
        "reject",
        "Reject a change, with a reason.",
        reject,
        _reject,
        examples=(("reject e3f2 --reason 'it forgets names'", "the agent learns from the reason"),),
        codes=(3, 4, 5),
        keys=_ROW,
    ),
    Command(
        "rollback",
        "Go back to an earlier revision of the genome; no request is lost.",
        rollback,
        _rollback,
        examples=(("rollback", "to the one before"), ("rollback 9f3c1e", "to a certain one")),
        codes=(1, 3, 4, 5),
        keys=("revision", "version"),
    ),
)
