"""What a command is: its words, its help, its exit codes; and what it is given to run with."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from o_tui.cli.output import Output
from o_tui.paths import Paths, locate
from o_tui.protocol.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from o_tui.client import Client

CODES = {
    0: "done",
    1: "the answer is no: a check failed, a candidate was rejected",
    2: "wrong usage",
    3: "nothing there by that name",
    4: "refused: not allowed, stale, unconfined",
    5: "the guardian could not be reached or started",
    69: "something outside failed: a model's endpoint, the disk",
    75: "another guardian holds the workspace",
    130: "interrupted",
}
"""Exit codes are API (docs/COMMANDS.md)."""
SOURCE_LIMIT_BYTES = 4 * 1024 * 1024
"""The largest source file that a command reads."""
TEXT_LIMIT_BYTES = 4 * 1024 * 1024
"""The longest text that a command reads from standard input."""
MOST = 10**15
"""The largest number that is counted to: every part of O can hold it."""


def piped() -> str:
    """The text on standard input, which may have no end; raises UsageError."""
    raw = sys.stdin.buffer.read(TEXT_LIMIT_BYTES + 1)
    if len(raw) > TEXT_LIMIT_BYTES:
        raise UsageError(f"standard input has more than {TEXT_LIMIT_BYTES >> 20} MiB", hint="give it in parts")
    return raw.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes:
        name: Its words: `status`, `checkpoint create`.
        summary: One line for the lists.
        run: Does it; returns the exit code.
        configure: Adds its arguments.
        examples: Command lines (without `o-tui`) and what each does.
        codes: Exit codes that it can end with, beside 0, 2 and 130.
        keys: Keys of its JSON.
        keeps: It may start a guardian for itself, so it has `--keep`.
    """

    name: str
    summary: str
    run: Callable[[Context], int]
    configure: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    examples: tuple[tuple[str, str], ...] = ()
    codes: tuple[int, ...] = (5,)
    keys: tuple[str, ...] = ()
    keeps: bool = True
    notes: str = ""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises instead of exiting, so that errors look alike."""

    def error(self, message: str) -> NoReturn:
        """Raises UsageError."""
        raise UsageError(message, hint=f"see {self.prog} --help")


def parser_of(command: Command) -> Parser:
    """The command's parser, with examples and exit codes in its help."""
    lines = ["examples:"]
    for line, text in command.examples:
        lines += [f"  o-tui {line}", f"      {text}"]
    lines += ["", "exit codes:"]
    lines += [f"  {code:<4} {CODES[code]}" for code in exit_codes(command)]
    parser = Parser(
        prog=f"o-tui {command.name}",
        description=command.summary + (f"\n\n{command.notes}" if command.notes else ""),
        epilog="\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.configure(parser)
    common = parser.add_argument_group("everywhere")
    common.add_argument("--json", action="store_true", help="print JSON: one object, or one a line where it streams")
    common.add_argument("--data-dir", metavar="DIR", help="the workspace (also O_TUI_DATA_DIR)")
    if command.keeps:
        common.add_argument("--keep", action="store_true", help="leave a guardian that this command starts running")
    return parser


def exit_codes(command: Command) -> list[int]:
    """All exit codes of a command, in order."""
    return sorted({0, 2, 130, *command.codes, *((75,) if command.keeps else ())})


@dataclass(slots=True)
class Context:
    """What a command runs with."""

    command: Command
    args: argparse.Namespace
    out: Output
    paths: Paths = field(init=False)

    def __post_init__(self) -> None:
        self.paths = locate(self.args.data_dir)

    @contextmanager
    def guardian(self, *, follow: bool = False) -> Iterator[Client]:
        """The workspace's guardian; one that had to be started is ended afterwards, unless `--keep`."""
        from o_tui.client import ensure_guardian

        keep = getattr(self.args, "keep", False)
        before_ns = time.time_ns()
        with ensure_guardian(self.paths, keep, follow=follow) as client:
            if client.started:
                self._tell_start(client, before_ns)
            if client.ends_guardian:
                self.out.note("no guardian was running: one is started for this command (--keep leaves it running)")
            yield client

    def _tell_start(self, client: Client, since_ns: int) -> None:
        """What the guardian that was started for us had to mend: nobody else would hear of it."""
        for row in reversed(client.call("events.list", limit=50)):
            if row["time_ns"] >= since_ns and row["level"] in ("warning", "error"):
                self.out.note(f"{row['level']}: {row['text']}")

    def call(self, method: str, **params: Any) -> Any:
        """One call of the guardian's public API."""
        with self.guardian() as client:
            return client.call(method, **params)

    def confirm(self, question: str) -> None:
        """Asks the operator, unless `--yes`.

        Raises:
            RefusedError: The answer is no.
            UsageError: There is no terminal to ask on.
        """
        if self.args.yes:
            return
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise UsageError(f"{question} There is no terminal to ask on", hint="say --yes")
        self.out.note(f"{question} [y/N] ", end="")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise RefusedError("nothing was done")


def positive(text: str) -> int:
    """An argument that counts something: a whole number from 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 1 <= number <= MOST:
        raise argparse.ArgumentTypeError(f"a whole number from 1 to {MOST} is wanted, not {text!r}")
    return number


def amount(text: str) -> float:
    """An argument that measures something: a finite number from 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"a number from 0 is wanted, not {text!r}")
    return number


def seconds(text: str, most_s: float = math.inf) -> float:
    """An argument that is a time: a finite number above 0, `most_s` at the most."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (0 < number <= most_s and number < math.inf):
        limit = f", up to {most_s:g}" if most_s < math.inf else ""
        raise argparse.ArgumentTypeError(f"seconds are wanted{limit}, not {text!r}")
    return number


def add_yes(parser: argparse.ArgumentParser) -> None:
    """The flag that `Context.confirm` looks at."""
    parser.add_argument("--yes", action="store_true", help="do not ask")
