"""`evolve PROGRAM EVALUATOR`: a user's own program."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from o_tui.cli.command import Context, seconds
from o_tui.paths import expanded
from o_tui.protocol.errors import OError, UsageError

if TYPE_CHECKING:
    from o_tui.programs.run import Run
    from o_tui.programs.starting import Wish

_ASK_S = 600.0
_SHOW_S = 0.2
_TELL_S = 2.0
_KINDS = 50
"""Kinds of failure that a page is told of when a run goes on."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds what only a user's program has."""
    group = parser.add_argument_group("a program of your own")
    group.add_argument("evaluator", metavar="EVALUATOR", nargs="?", default="", help="a file with evaluate(path)")
    group.add_argument("--config", metavar="YAML", help="objective, max_iterations, evaluator.timeout and the like")
    group.add_argument("--time", type=seconds, metavar="S", help="seconds after which nothing is begun, of a gene too")
    group.add_argument("--seed", type=int, metavar="N", help="of all chance (default: 0)")
    group.add_argument("--llm", metavar="PROVIDER:MODEL", help="a model writes candidates too (o-tui brain)")
    group.add_argument("--cluster", metavar="ADDRESS", help="evaluate on the workers of a Dask scheduler (tls://…)")
    group.add_argument("--resume", metavar="RUN", nargs="?", const="", help="go on with a run (default: the newest)")
    group.add_argument("--out", metavar="FILE", help="where the best program goes; a file that is there needs a yes")
    group.add_argument("--approve", metavar="DIGEST", help="with --resume RUN: the yes to what --out is to replace")
    group.add_argument("--plain", action="store_true", help="no live page: lines, also on a terminal")
    group.add_argument("--for-page", action="store_true", help=argparse.SUPPRESS)


OF_PROGRAMS = ("config", "seed", "llm", "cluster", "out", "plain")
"""Options that only a program has a use for."""


def check_alone(args: argparse.Namespace, what: str, foreign: tuple[str, ...]) -> None:
    """Options that say nothing about what is evolved are refused, not left alone. Raises UsageError."""
    for option in foreign:
        name = "file" if option == "from" else option.replace("-", "_")
        if getattr(args, name) not in (None, "", 0, False):
            raise UsageError(f"--{option} says nothing about {what}", hint="see o-tui evolve --help")


def wanted(args: argparse.Namespace) -> bool:
    """Whether a program is meant and not a gene."""
    return bool(args.evaluator or args.resume is not None or args.approve or (args.gene or "").endswith(".py"))


def evolve(context: Context) -> int:
    """Begins a run, or goes on with one, and follows it to its end."""
    from o_tui.programs import outcome, starting

    args, folder = context.args, context.paths.programs
    wish = _wish(args)
    if args.resume is not None:
        check_alone(args, "a run that goes on: it keeps its own", ("config", "seed"))
    if args.out:
        _can_be_written(expanded(args.out))
    if args.approve:
        return _approve(context, folder)
    cluster = _cluster(args)
    if not args.plain and not context.out.json and all(stream.isatty() for stream in (sys.stdin, sys.stdout)):
        from o_tui.cli import program_page

        return program_page.follow(context)
    start = time.monotonic()
    show = Show(context)
    if args.resume is not None:
        run = starting.resume(folder, args.resume, wish, show.event, args.budget, args.time, cluster)
    elif wish is not None:
        context.paths.prepare()
        run = starting.begin(folder, wish, show.event)
    else:
        raise UsageError("a program and its evaluator are wanted", hint="o-tui evolve PROGRAM EVALUATOR")
    try:
        with contextlib.ExitStack() as stack:
            if args.llm:
                run.writer = stack.enter_context(_writer(context, args.llm))
            show.begin(run)
            _tell_views(context)
            _go(context, run)
        value = outcome.finish(run.store) | {"elapsed_s": round(time.monotonic() - start, 3)}
        if args.out and value["best"]["path"]:
            value |= _out(context, run, expanded(args.out))
        return show.end(value)
    except OError as error:
        show.failed(run, error, time.monotonic() - start)
        raise
    finally:
        run.store.close()
        _tell_views(context)


def _wish(args: argparse.Namespace) -> Wish | None:
    from o_tui.programs.starting import Wish

    if args.resume and args.resume.endswith(".py") and args.gene and not args.evaluator:
        # `--resume PROGRAM EVALUATOR`: no run has such a name
        args.gene, args.evaluator, args.resume = args.resume, args.gene, ""
    if not args.gene:
        return None
    if not args.evaluator:
        raise UsageError("a program needs an evaluator", hint="o-tui evolve PROGRAM EVALUATOR")
    config = expanded(args.config) if args.config else None
    program, evaluator = expanded(args.gene), expanded(args.evaluator)
    return Wish(program, evaluator, config, args.budget, args.time, args.seed, _cluster(args))


def _cluster(args: argparse.Namespace) -> str:
    from o_tui.programs.cluster import link

    return link.checked(args.cluster) if args.cluster else ""


def _can_be_written(file: Path) -> None:
    """Said before a run, not behind it. Raises UsageError."""
    file = Path(os.path.realpath(file))
    if file.exists() and not file.is_file():
        raise UsageError(f"--out {file} is no file")
    if not os.access(file.parent, os.W_OK):
        raise UsageError(f"--out {file}: nothing can be written to the folder {file.parent}")


def _tell_views(context: Context) -> None:
    """A guardian that is there looks at the runs when it is asked for the history, and shows what is new; none does."""
    from o_tui.client import running

    with contextlib.suppress(OError):
        client = running(context.paths, _TELL_S)
        if client is not None:
            with client:
                client.call("history", limit=1)


def _go(context: Context, run: Run) -> None:
    from o_tui.evolution import run_notes

    name = run.store.folder.name
    try:
        run.go()
    except KeyboardInterrupt:
        with contextlib.suppress(OError):
            run_notes.change(run.store.folder, process="", evaluations=run.done, failed=run.failures)
        where = f" --data-dir {shlex.quote(context.args.data_dir)}" if context.args.data_dir else ""
        context.out.note(f"stopped after {run.done} evaluations; go on with o-tui evolve --resume {name}{where}")
        raise


# --- a model


@contextlib.contextmanager
def _writer(context: Context, name: str) -> Iterator[Any]:
    """A writer that asks the guardian's model, each time by a connection of its own; the guardian is there for it."""
    from o_tui.client import connect
    from o_tui.programs.writing import ModelWriter, Written

    def ask(messages: list[dict[str, str]]) -> Written:
        with connect(context.paths) as mine:
            answer = mine.call("model.ask", messages=messages, wait_s=_ASK_S)
        return Written(str(answer["text"]), int(answer.get("tokens", 0)))

    with context.guardian() as client:
        brain = client.call("status")["brain"]
        if f"{brain.get('provider')}:{brain.get('model')}" != name:
            raise UsageError(
                f"the model is {brain.get('provider')}:{brain.get('model')}, not {name}",
                hint=f"o-tui brain set {' '.join(name.split(':', 1))}",
            )
        yield ModelWriter(ask, context.out.note, name)


# --- a file of the user's


def _out(context: Context, run: Run, file: Path) -> dict[str, Any]:
    from o_tui.programs import outcome

    state = outcome.offer(run.store, file)
    pending = run.store.pending()
    if state == "written" or pending is None:
        return {"out": str(file)}
    again = f"o-tui evolve --resume {run.store.folder.name} --approve {pending['sha256']}"
    if sys.stdin.isatty() and sys.stderr.isatty() and not context.out.json and yes(context, file, run.store.folder):
        outcome.approve(run.store, pending["sha256"], who())
        return {"out": str(file)}
    return {"outcome": "pending", "out": str(file), "approve": again}


def yes(context: Context, file: Path, folder: Path) -> bool:
    """Whether a file is to be replaced by the best program of the run in `folder`; shows what that would change."""
    import difflib

    old = file.read_text("utf-8", "replace").splitlines()
    new = (folder / "best.py").read_text("utf-8", "replace").splitlines()
    context.out.diff("\n".join(difflib.unified_diff(old, new, str(file), "best", lineterm="")))
    context.out.note(f"Replace {file}? [y/N] ", end="")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _approve(context: Context, folder: Path) -> int:
    from o_tui.programs import outcome, starting
    from o_tui.programs.store import Store

    store = Store.open(folder / (context.args.resume or starting.newest(folder, None)))
    try:
        file = outcome.approve(store, context.args.approve, who())
        value = {"evolution": store.fact("id"), "outcome": "approved", "out": file}
    finally:
        store.close()
    if context.out.json:
        context.out.value(value)
    else:
        context.out.good(f"written: {file}")
    return 0


def who() -> str:
    """Whose yes it is."""
    import getpass

    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "?"
    return f"{name} (uid {os.geteuid()})"


# --- what is seen of it


class Show:
    """Events as JSON lines, or one line that lives on a terminal and a line for each step forward."""

    def __init__(self, context: Context) -> None:
        self._out = context.out
        self._live = sys.stderr.isatty() and not context.out.json
        self._run: Run | None = None
        self._began = self._shown_at = time.monotonic()
        self._from = 0
        self.tried: Counter[str] = Counter()
        self.helped: Counter[str] = Counter()
        self._for_page = context.args.for_page

    def begin(self, run: Run) -> None:
        """What runs."""
        from o_tui.evolution.operators import cma

        self._run = run
        self._from = sum(1 for _ in run.store.rows())
        plan, store = run.plan, run.store
        about = {"evolution": store.fact("id"), "budget": plan.budget, "seed": plan.seed, "tier": store.fact("tier")}
        unused = [] if self._from else store.fact("unused", [])
        if self._out.json:
            more = _of_page(run) if self._for_page else {}
            self._out.value({"event": "begun", **about, "done": self._from, "unused": unused, **more})
        else:
            already = f", {self._from} are done" if self._from else ""
            self._out.line(f"{about['evolution']}: {plan.budget} evaluations{already}, seed {plan.seed}")
            if unused:
                self._out.note(f"of the config these say nothing here: {', '.join(unused)}")
            if missing := cma.missing(plan.budget):
                self._out.note(missing)

    def event(self, event: Mapping[str, Any]) -> None:
        """One thing that happened."""
        if self._out.json:
            if self._for_page and event.get("best") and self._run is not None:
                event = {**event, **_source(self._run)}
            self._out.value(dict(event))
            return
        if event["event"] == "evaluation":
            self.tried[event["operator"]] += 1
            self.helped[event["operator"]] += bool(event["best"])
            if event["best"]:
                self._wipe()
                self._out.line(f"{event['number']:>6}  {event['score']:.6g}  {event['operator']}: {event['detail']}")
                self._out.flush()
            self._alive()
        elif event["event"] == "workers":
            self._wipe()
            self._out.line(workers(event))

    def _alive(self) -> None:
        now = time.monotonic()
        run = self._run
        if not self._live or run is None or now - self._shown_at < _SHOW_S:
            return
        self._shown_at = now
        best = "none" if run.best is None or run.best.score is None else f"{run.best.score:.6g}"
        helped = ", ".join(f"{name} {self.helped[name]}/{n}" for name, n in self.tried.most_common(4))
        rate = (run.done - self._from) / max(now - self._began, 1e-9)
        self._out.note(
            f"{run.done}/{run.plan.budget}  {rate:.0f}/s  best {best}  failed {run.failures}  {helped}".ljust(79),
            end="\r",
        )

    def _wipe(self) -> None:
        if self._live:
            self._out.note(" " * 79, end="\r")

    def failed(self, run: Run, error: OError, elapsed_s: float) -> None:
        """The last line for scripts, which has an outcome always; people read what the command says."""
        if self._out.json:
            value = {"evolution": run.store.folder.name, "outcome": "failed", "reason": str(error)}
            none = {"metrics": {}, "path": "", "revision": ""}
            self._out.value(value | {"best": none, "evaluations": run.done, "elapsed_s": round(elapsed_s, 3)})

    def end(self, value: Mapping[str, Any]) -> int:
        """The outcome; the exit code."""
        from o_tui.programs.convention import OBJECTIVE

        done = value["outcome"] in ("improved", "pending")
        if self._out.json:
            self._out.value(dict(value))
            return 0 if done else 1
        self._wipe()
        rows = [(name, n, self.helped[name]) for name, n in self.tried.most_common()]
        self._out.table(("OPERATOR", "TRIED", "BETTER"), rows)
        best = value["best"]
        text = f"{value['evolution']}: {value['outcome']}, {value['evaluations']} evaluations, {value['failed']} failed"
        (self._out.good if done else self._out.bad)(text)
        if value.get("reason"):
            self._out.line(value["reason"])
        if best["path"]:
            word = "score" if value["objective"] == OBJECTIVE else f"score ({value['objective']})"
            for when, key in (("", ("initial", "claimed")), (", measured again", ("initial_again", "measured_again"))):
                before, after = (_figure(best[name]) for name in key)
                self._out.line(f"{word} {before} -> {after}{when}")
            self._out.line(f"best program: {best['path']}")
        if value.get("approve"):
            self._out.line(f"{value['out']} is as it was; to replace it: {value['approve']}")
        elif value.get("out"):
            self._out.line(f"written: {value['out']}")
        return 0 if done else 1


def _of_page(run: Run) -> dict[str, Any]:
    """What a page needs to know of a run that it cannot read: the run's file has one reader."""
    from o_tui.programs.run import shown
    from o_tui.ui.programs.figures import failure_of

    rows = list(run.store.rows())
    failures = Counter(failure_of({"error": row.error, "refused": row.refused}) for row in rows if row.score is None)
    helped, highest = Counter[str](), -math.inf
    for row in rows:
        if row.score is not None and row.score > highest:
            helped[row.operator], highest = helped[row.operator] + 1, row.score
    best = max((row for row in rows if row.score is not None), key=lambda row: row.score or 0.0, default=None)
    found = {
        "run": run.store.folder.name,
        "failed": failures.total(),
        "failures": dict(failures.most_common(_KINDS)),
        "tried": dict(Counter(row.operator for row in rows)),
        "helped": dict(helped),
        "initial": rows[0].score if rows else None,
        "initial_source": run.store.source(run.store.fact("initial_sha256")).decode("utf-8", "replace"),
    }
    if best is not None:
        source = run.store.source(best.sha256).decode("utf-8", "replace")
        found["best"] = {**shown(best), "source": source}
    return found


def _source(run: Run) -> dict[str, str]:
    best = run.best
    return {} if best is None else {"source": run.store.source(best.sha256).decode("utf-8", "replace")}


def workers(event: Mapping[str, Any]) -> str:
    """Where evaluations run, in one line."""
    count, address = event["workers"], event["cluster"]
    if not count:
        return f"{address} has no worker: evaluations wait for one"
    return f"evaluations run on {count} worker{'' if count == 1 else 's'} of {address}"


def _figure(number: float | None) -> str:
    return "none" if number is None else f"{number:.6g}"
