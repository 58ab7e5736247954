"""`validate`: one file judged by all stages, beside the module whose place it is to take. No guardian is needed."""

from __future__ import annotations

import argparse
from pathlib import Path

from o_tui.cli.command import SOURCE_LIMIT_BYTES, Command, Context
from o_tui.paths import source_of
from o_tui.protocol import contracts
from o_tui.protocol.errors import UsageError


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="a Python module")
    parser.add_argument("--reference", metavar="OK.py", type=Path, help="the module that it must not differ from")
    parser.add_argument(
        "--gene", default="", metavar="NAME", help="it is a gene: respond, recall, remember, tools/NAME"
    )
    parser.add_argument(
        "--strict", action="store_true", help="for a gene: another answer than the reference's is a fault"
    )


def validate(context: Context) -> int:
    """Runs the stages; 1 if one fails."""
    from o_tui.guardian.evolving.validating import judge

    args, out = context.args, context.out
    if args.gene and not contracts.is_gene(args.gene):
        raise UsageError(f"{args.gene!r} is not a gene", hint="respond, recall, remember, strategy or tools/NAME")
    source = source_of(args.file, SOURCE_LIMIT_BYTES, pipes=True)
    reference = source_of(args.reference, SOURCE_LIMIT_BYTES, pipes=True) if args.reference is not None else None
    result = judge(args.gene, source, reference, strict=args.strict or not args.gene)
    total = sum(stage.ms for stage in result.stages)
    if out.json:
        verdict = "pass" if result.ok else "fail"
        out.value({"verdict": verdict, "stages": result.rows(), "total_ms": round(total, 1)})
        return 0 if result.ok else 1
    for stage in result.stages:
        text = f"{stage.name:<9} {stage.ms:>7.1f} ms  {stage.detail}"
        (out.bad if stage.verdict == "fail" else out.line)(f"{stage.verdict:<4} {text}")
    out.line(f"{'pass' if result.ok else 'fail'} after {total:.0f} ms")
    return 0 if result.ok else 1


COMMANDS = (
    Command(
        "validate",
        "Judge one module as a candidate is judged: read, linted, compared with a reference by running both confined.",
        validate,
        _arguments,
        examples=(
            ("validate mine.py --reference theirs.py", "does it do the same, on inputs made for both?"),
            ("validate recall.py --gene recall --json", "as a gene of the agent"),
        ),
        codes=(1, 3),
        keys=("verdict", "stages", "total_ms"),
        keeps=False,
        notes=(
            "Stages, cheapest first, until one fails: size, encoding, compile, contract, imports, danger, changes, "
            "ruff, types, attacks, probe, tests, smoke. With a reference the probe tries inputs on both for 2 seconds; "
            "what differs is shown as the smallest call that shows it. A gene may answer better, so there only faults "
            "count, unless --strict."
        ),
    ),
)
