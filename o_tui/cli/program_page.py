"""A run in a process of its own, and the page that follows it: what draws cannot slow what searches, nor end it."""

from __future__ import annotations

import contextlib
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, Any

import msgspec

from o_tui.cli import programs
from o_tui.cli.command import Context
from o_tui.protocol.errors import OError
from o_tui.ui.programs.figures import Figures

_INTERRUPTED = 130
STOP_S = 10.0
"""A run that was asked to stop and does not is killed: what it has reported is kept all the same."""
_PASSED_ON = ("config", "budget", "time", "seed", "llm", "cluster", "out", "data_dir")


class Process:
    """`evolve --json` as a child. Implements the page's `Feed`."""

    def __init__(self, words: list[str], again: list[str]) -> None:
        """`words` begin the run; `again` are given beside `--resume RUN` when it goes on after a pause."""
        self.figures = Figures()
        self.state = "running"
        self.code = 0
        self._again = again
        self._due = False
        self._unread: queue.SimpleQueue[tuple[dict[str, Any], float]] = queue.SimpleQueue()
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this
        self._begin(words)

    def _begin(self, words: list[str]) -> None:
        command = [sys.executable, "-P", "-m", "o_tui", "evolve", *words, "--json", "--for-page"]
        # in a group of its own: Ctrl+C is a key of the page
        self._child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._said, process_group=0
        )
        self._reader = threading.Thread(target=self._read, args=(self._child,), daemon=True, name="run")
        self._reader.start()

    def _read(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None
        decode = msgspec.json.Decoder(dict[str, Any]).decode
        for line in child.stdout:
            self._unread.put((decode(line), time.monotonic()))
        self.code = child.wait()
        self.state = "paused" if self.state == "pausing" and self.code == _INTERRUPTED else "ended"

    def poll(self) -> None:
        """See Feed."""
        with contextlib.suppress(queue.Empty):
            while True:
                self.figures.take(*self._unread.get_nowait())
        self._interrupt()

    def pause(self) -> None:
        """See Feed: it stops as if for good, so that nothing of it waits anywhere."""
        if self.state == "running":
            self.state, self._due = "pausing", True
            self._interrupt()

    def _interrupt(self) -> None:
        """A run that has no name yet could not go on: its pause waits until it has begun."""
        if self._due and self.state == "pausing" and self.figures.name:
            self._due = False
            self._child.send_signal(signal.SIGINT)

    def resume(self) -> None:
        """See Feed."""
        if self.state == "paused":
            self._said.seek(0)  # of all who write to it: the next run's words begin there
            self._said.truncate()
            self.state = "running"
            self._begin(["--resume", self.figures.name, *self._again])

    def stop(self) -> None:
        """See Feed."""
        if self.state == "paused":
            self.state = "ended"
        elif self.state != "ended":
            self.state = "stopping"
            self._child.send_signal(signal.SIGINT)

    def close(self) -> str:
        """Ends it, waits for its end, and returns what it has said beside its events."""
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGINT)
        self._reader.join(STOP_S)
        if self._child.poll() is None:
            self._child.kill()
            self._reader.join(STOP_S)
        self.poll()
        self._said.seek(0)
        with self._said:
            return self._said.read().decode("utf-8", "replace")


def follow(context: Context) -> int:
    """Runs it beside a live page; what came of it stays on the terminal afterwards. Returns the exit code."""
    from o_tui import config
    from o_tui.ui.programs import page

    context.paths.prepare()
    settings = config.load(context.paths.config_file)
    process = Process(*_words(context))
    try:
        code = page.show(context.paths, settings, process)
    finally:
        said = process.close()
    for line in said.splitlines():
        context.out.note(line)
    if not process.figures.outcome:
        return code or process.code
    show = programs.Show(context)
    show.tried, show.helped = process.figures.tried, process.figures.helped
    return show.end(_asked(context, dict(process.figures.outcome)))


def _words(context: Context) -> tuple[list[str], list[str]]:
    """The command line of the run, and what of it counts when it goes on."""
    args = context.args
    given = [name for name in (args.gene, args.evaluator) if name]
    words = ["--resume", *([args.resume] if args.resume else [])] if args.resume is not None else []
    passed = {name: getattr(args, name) for name in _PASSED_ON if getattr(args, name) is not None}
    options = {name: [f"--{name.replace('_', '-')}={value}"] for name, value in passed.items()}
    options["keep"] = ["--keep"] if args.keep else []
    again = [word for name in ("budget", "llm", "cluster", "out", "data_dir", "keep") for word in options.get(name, [])]
    return [*words, *given, *(word for each in options.values() for word in each)], again


def _asked(context: Context, value: dict[str, Any]) -> dict[str, Any]:
    """A file that is there is replaced with the operator's yes only: the run could not ask, the page is gone."""
    if not value.get("approve") or not sys.stderr.isatty():
        return value
    from o_tui.programs import outcome
    from o_tui.programs.store import Store

    folder = Path(value["best"]["path"]).parent
    if not programs.yes(context, Path(value["out"]), folder):
        return value
    store = Store.open(folder)
    try:
        pending = store.pending()
        if pending is None:
            raise OError("what waited for a yes has been decided meanwhile")
        outcome.approve(store, pending["sha256"], programs.who())
    finally:
        store.close()
    done = "improved" if value["outcome"] == "pending" else value["outcome"]
    return {key: each for key, each in value.items() if key != "approve"} | {"outcome": done}
