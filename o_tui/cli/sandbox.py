"""`sandbox run`, `sandbox probe`: what the sandbox of this machine holds, and one program in it."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, get_args

from o_tui.cli.command import SOURCE_LIMIT_BYTES, Command, Context, seconds
from o_tui.paths import expanded, source_of
from o_tui.protocol.errors import OError, PeerError, RefusedError, none_left
from o_tui.protocol.verdict import Order, Profile, Verdict, encode, verdict_of

START_S = 30.0
"""What the process that runs the program may take beside the program."""
MOST_S = 3600.0


class ControlError(OError):
    """The control program did not succeed in the sandbox."""

    code = 5


def _run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="a Python file")
    parser.add_argument(
        "--profile",
        choices=get_args(Profile),
        default="agent",
        help="confined as what: an instance, a tool or a build (default: agent)",
    )
    parser.add_argument(
        "--timeout",
        type=partial(seconds, most_s=MOST_S),
        default=10.0,
        metavar="S",
        help="seconds after which it is killed (default: 10)",
    )


def run(context: Context) -> int:
    """Runs one file confined; 0 if it ended with 0 and nothing was refused."""
    file: Path = expanded(context.args.file)
    args = context.args
    source = source_of(file, SOURCE_LIMIT_BYTES, pipes=True)
    order = Order(name=str(file.absolute()), source=source, timeout_s=args.timeout, profile=args.profile)
    verdict = _judged(order)
    if verdict.control:
        hint = none_left(verdict.control) or "o-tui sandbox probe says which layer is missing"
        if verdict.tier == "X":
            raise RefusedError(f"a program cannot be confined on this machine: {verdict.control}", hint=hint)
        raise ControlError(f"no verdict: the control program failed in the same sandbox: {verdict.control}", hint=hint)
    if verdict.tier == "X":
        raise RefusedError("the program was not confined, and so not run", hint="o-tui sandbox probe")
    if context.out.json:
        context.out.value(row(verdict))
    else:
        _print(context, verdict)
    _keep(context, file.name, verdict)
    return 0 if verdict.exit == 0 and not verdict.refused and not verdict.unnamed else 1


def _judged(order: Order) -> Verdict:
    from o_tui.guardian.fleet.nursery import ENVIRONMENT

    command = [sys.executable, "-I", "-X", "utf8", "-m", "o_tui.agent.sandbox_run"]
    limit_s = 2 * order.timeout_s + START_S
    try:
        # however this command ends, a folder of the program's does not stay
        with tempfile.TemporaryDirectory(prefix="o-box-", ignore_cleanup_errors=True) as folder:
            os.chmod(folder, 0o711)  # noqa: PTH101 - whoever root becomes walks through
            environment = ENVIRONMENT | {"TMPDIR": folder}
            done = subprocess.run(
                command, input=encode(order), capture_output=True, env=environment, timeout=limit_s, check=False
            )
        return verdict_of(done.stdout)
    except subprocess.TimeoutExpired as error:
        raise PeerError(f"the process that runs the program did not answer within {limit_s:g} s") from error
    except ValueError as error:
        said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise PeerError(f"the process that runs the program failed: {said}", hint=none_left(said)) from error


def row(verdict: Verdict) -> dict[str, Any]:
    """A verdict as plain data."""
    return {
        "exit": verdict.exit,
        "ended": ended(verdict.exit),
        "stdout": verdict.stdout.decode("utf-8", "replace"),
        "stderr": verdict.stderr.decode("utf-8", "replace"),
        "dropped_bytes": verdict.dropped_bytes,
        "violations": [{"layer": each.layer, "what": each.what, "count": each.count} for each in verdict.refused],
        "unnamed": verdict.unnamed,
        "tier": verdict.tier,
        "wall_ms": verdict.wall_ms,
        "control": "ok",
        "recorded": verdict.recorded,
    }


def _keep(context: Context, name: str, verdict: Verdict) -> None:
    """Rows and an event of what it was refused, where a guardian is running; none is started for that."""
    if not verdict.refused:
        return
    from o_tui.client import running

    refused = [{"layer": each.layer, "what": each.what, "count": each.count} for each in verdict.refused]
    try:
        if (client := running(context.paths)) is not None:
            with client:
                client.call("violations.add", name=name, profile=context.args.profile, refused=refused)
    except OError as error:
        context.out.note(f"the guardian keeps no row of what was refused: {error}")


def ended(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"exit code {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def _print(context: Context, verdict: Verdict) -> None:
    out = context.out
    out.raw(verdict.stdout)
    if verdict.stderr:
        for line in verdict.stderr.decode("utf-8", "replace").splitlines():
            out.note(line)
    for each in verdict.refused:
        times = f" ({each.count} times)" if each.count > 1 else ""
        out.note(f"refused by {each.layer}: {each.what}{times}")
    if verdict.unnamed:
        out.note(f"refused before that: {verdict.unnamed} more, of which no name is left")
    if not verdict.recorded:
        out.note("this machine lets nobody listen to a program's system calls: those that were refused have no record")
    if verdict.dropped_bytes:
        out.note(f"{verdict.dropped_bytes} bytes of output beyond the limit were dropped")
    if verdict.exit:
        out.note(f"{ended(verdict.exit)} after {verdict.wall_ms:.0f} ms")


def probe(context: Context) -> int:
    """Tries each layer by attacks; 4 if nothing confines."""
    from o_tui import _native

    try:
        value = _native.probe()
    except OSError as error:
        text = f"the sandbox could not be tried: {error.strerror or error}"
        raise PeerError(text, hint=none_left(str(error))) from error
    if context.out.json:
        context.out.value(value)
    else:
        for layer in value["layers"]:
            (context.out.line if layer["on"] else context.out.bad)(
                f"{'on ' if layer['on'] else 'OFF'}  {layer['name']:<11} {layer['why']}".rstrip()
            )
        context.out.line(f"tier {value['tier']}: {TIERS[value['tier']]}")
    return 4 if value["tier"] == "X" else 0


TIERS = {
    "A": "namespaces, Landlock and seccomp",
    "B": "Landlock and seccomp",
    "C": "seccomp without Landlock: no file can be opened at all",
    "X": "nothing confines an instance here; nothing is evolved",
}

COMMANDS = (
    Command(
        "sandbox run",
        "Run one Python file as an instance's code is run, and say what it was refused.",
        run,
        _run,
        examples=(
            ("sandbox run candidate.py", "its own output, unchanged; what was refused is on stderr"),
            ("sandbox run candidate.py --json | jq .violations", "for scripts"),
            ("sandbox run build.py --profile build", "it may run programs and has a folder of its own, no network"),
        ),
        codes=(1, 3, 4, 5, 69),
        keys=(
            "exit",
            "ended",
            "stdout",
            "stderr",
            "dropped_bytes",
            "violations",
            "unnamed",
            "tier",
            "wall_ms",
            "control",
            "recorded",
        ),
        keeps=False,
        notes=(
            "A control program runs first in the same sandbox; where that fails no verdict counts. Exit code 0: the "
            "program ended with 0 and nothing was refused; 1: otherwise; 4: it cannot be confined here, so it was not "
            "run. A tool or a build may run what is in /usr and starts in an empty folder, its HOME, which holds 512 "
            "MiB and is gone afterwards, as is whoever it left behind; neither has a network here. Of the programs "
            "that it runs the refused system calls are named, but not the paths that Landlock refuses them. Where the "
            "workspace's guardian is running, what was refused is a row and an event too."
        ),
    ),
    Command(
        "sandbox probe",
        "Try every layer of the sandbox on this machine, by attacks.",
        probe,
        examples=(("sandbox probe", "tier and layers, each on or off, and why"),),
        codes=(4, 69),
        keys=("tier", "layers"),
        keeps=False,
    ),
)
