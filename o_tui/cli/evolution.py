"""`evolve`: a change of the agent's own code, followed to its outcome."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from o_tui.cli import changes, programs
from o_tui.cli.command import Command, Context, amount, positive
from o_tui.cli.progress import Progress
from o_tui.paths import source_of
from o_tui.protocol.errors import UsageError

SOURCE_LIMIT_BYTES = 1024 * 1024
_OF_GENES = ("from", "goal", "source", "metric", "candidates", "population", "generations", "repair")
"""Options that a program has no use for."""
_MANY = ("operators", "others", "auto")
"""Sources that make several candidates, and need no goal."""
_BUDGETS: tuple[tuple[str, Callable[[str], float], str], ...] = (
    ("budget", positive, "requests that shadows get; of a program: evaluations"),
    ("budget-cpu", amount, "CPU seconds"),
    ("budget-tokens", positive, "tokens of the model"),
    ("budget-money", amount, "money for the model, by evolution.price"),
)
_LIMITS = {
    "budget": "requests",
    "budget_cpu": "cpu_s",
    "budget_tokens": "tokens",
    "budget_money": "money",
    "time": "wall_s",
}


def _evolve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "gene",
        metavar="GENE|PROGRAM",
        nargs="?",
        default="",
        help="respond, recall, remember, strategy or tools/NAME; or a Python file",
    )
    parser.add_argument("--from", dest="file", metavar="FILE", help="the candidate's source; - for standard input")
    parser.add_argument("--goal", default="", help="what should be better; without --from a model writes the candidate")
    parser.add_argument(
        "--source",
        choices=("file", "llm", "operators", "others", "auto"),
        help="who makes candidates: a file, a model, the built-in operators, earlier ones; auto: what has done best",
    )
    parser.add_argument(
        "--metric",
        choices=("any", "latency", "errors", "quality"),
        default="",
        help="what must get better; for quality time may be paid (default: any)",
    )
    parser.add_argument("--candidates", type=positive, default=0, metavar="N", help="how many are made and measured")
    parser.add_argument(
        "--population",
        type=positive,
        default=0,
        metavar="N",
        help="many candidates, looked at briefly: so many a generation (50); the few best are measured and proven",
    )
    parser.add_argument("--generations", type=positive, default=0, metavar="N", help="of a population (10)")
    parser.add_argument(
        "--repair",
        action="store_true",
        help="it must stand every kept attack on the gene, those too that main fails at; they are the goal",
    )
    for name, of, what in _BUDGETS:
        parser.add_argument(f"--{name}", type=of, metavar="N", help=f"budget: {what} (default: as in the settings)")
    parser.add_argument(
        "--wait", action=argparse.BooleanOptionalAction, default=True, help="follow it to its outcome (default)"
    )
    programs.configure(parser)


def evolve(context: Context) -> int:
    """Begins one, and follows it to its outcome."""
    args = context.args
    if programs.wanted(args):
        programs.check_alone(args, "a program", (*_OF_GENES, *(name for name, _of, _what in _BUDGETS[1:])))
        return programs.evolve(context)
    programs.check_alone(args, "a gene", programs.OF_PROGRAMS)
    if not args.gene:
        raise UsageError("a gene is wanted, or a program and its evaluator", hint="see o-tui evolve --help")
    many = bool(args.population or args.generations)
    origin = args.source or ("file" if args.file else "operators" if many else "llm")
    if not args.file and not args.goal and not args.repair and origin not in _MANY:
        raise UsageError("a candidate or a goal is needed", hint="--from FILE, or --goal TEXT for a model to write it")
    params: dict[str, Any] = {"gene": args.gene, "goal": args.goal, "origin": origin}
    params["source"] = _source(args.file) if args.file else ""
    params |= {"candidates": args.candidates, "population": args.population, "generations": args.generations}
    params["metric"] = args.metric or "any"
    params["repair"] = args.repair
    limits = {key: getattr(args, name) for name, key in _LIMITS.items()}
    params["budget"] = {key: value for key, value in limits.items() if value is not None}
    if not args.wait and not args.keep:
        _somebody_finishes_it(context)
    start = time.monotonic()
    with context.guardian(follow=args.wait) as client:
        evolution = client.call("evolve", **params)["evolution"]
        if not args.wait:
            return _begun(context, evolution)
        progress = Progress(context.out, many=many or (origin in _MANY and args.candidates != 1))
        try:
            for notice in (answers := client.stream("evolution.wait", id=evolution)):
                if notice.topic == "evolution" and notice.data.get("id") == evolution:
                    progress.tell(notice.data)
        finally:
            progress.end()
        row: dict[str, Any] = answers.value
    return changes.outcome(context, row, time.monotonic() - start)


def _somebody_finishes_it(context: Context) -> None:
    from o_tui.client import running

    client = running(context.paths)
    stays = False
    if client is not None:
        with client:
            stays = client.call("status")["guardian"]["stays"]
    if not stays:
        raise UsageError("no guardian stays that would finish it", hint="say --keep, or leave --no-wait out")


def _source(file: str) -> str:
    import sys

    if file != "-":
        raw = source_of(Path(file), SOURCE_LIMIT_BYTES, pipes=True)
    elif len(raw := sys.stdin.buffer.read(SOURCE_LIMIT_BYTES + 1)) > SOURCE_LIMIT_BYTES:
        raise UsageError(f"standard input has more than {SOURCE_LIMIT_BYTES >> 20} MiB, and no gene has")
    if not raw:
        raise UsageError(f"{'standard input' if file == '-' else file} is empty", hint="--from names a whole module")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text: byte {error.start}") from error


def _begun(context: Context, evolution: str) -> int:
    if context.out.json:
        context.out.value({"evolution": evolution, "outcome": "running"})
    else:
        context.out.line(f"begun: {evolution}")
        context.out.note(f"see o-tui show {evolution}")
    return 0


COMMANDS = (
    Command(
        "evolve",
        "Try a change of a gene beside the agent that runs, and show what was measured.",
        evolve,
        _evolve,
        examples=(
            ("evolve recall --from candidate.py", "a change that you wrote"),
            ("evolve respond --goal 'answer more briefly'", "a change that a model writes"),
            ("evolve recall --source operators --candidates 16", "changes that need no model; the best one waits"),
            ("evolve recall --metric quality --population 50 --generations 10", "a long search; its best is proven"),
            ("evolve recall --from candidate.py --repair", "your answer to what the red team has found"),
            ("evolve recall --from candidate.py --no-wait --keep", "in the background"),
            ("evolve packing.py evaluator.py --budget 500 --out better.py", "a program of your own"),
            ("evolve --resume packing.py evaluator.py --budget 2000", "go on with it"),
        ),
        codes=(1, 3, 4, 5, 69),
        keys=("evolution", "outcome", "best", "evaluations", "elapsed_s"),
        notes="With --json one event a line, the evolution's row; `work` in it says which candidate of how many is "
        "made, validated, looked at, raced or measured again: {doing, at, of, failed}. The last line has the outcome. "
        "Exit code 1 if it was not good enough.",
    ),
)
