"""A shell in which tests type commands, in a workspace of their own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from o_tui.paths import Paths
from tests.support.patience import PATIENCE_S

COMMAND = [sys.executable, "-m", "o_tui"]


class Shell:
    """Runs commands in one workspace."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.environment = os.environ | {"O_TUI_DATA_DIR": str(paths.data), "COLUMNS": "200"}

    def run(self, *words: str, code: int | None = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*COMMAND, *words], input=stdin, capture_output=True, text=True, env=self.environment, timeout=120
        )
        assert code is None or done.returncode == code, (words, done)
        return done

    def on_terminal(self, *words: str) -> str:
        """What a command writes to a terminal, on both descriptors; nobody answers its questions."""
        master, slave = os.openpty()
        with subprocess.Popen(
            [*COMMAND, *words], stdin=-3, stdout=slave, stderr=slave, env=self.environment
        ) as running:
            os.close(slave)
            data = b""
            with contextlib.suppress(OSError):  # the terminal's end
                while piece := os.read(master, 65536):
                    data += piece
            os.close(master)
            running.wait(PATIENCE_S)
        return data.decode()

    def json(self, *words: str, code: int | None = 0, stdin: str = "") -> Any:
        return json.loads(self.run(*words, "--json", code=code, stdin=stdin).stdout)

    def lines(self, *words: str, code: int | None = 0) -> list[Any]:
        return [json.loads(line) for line in self.run(*words, "--json", code=code).stdout.splitlines()]


@pytest.fixture
def alone(workspace: Paths) -> Iterator[Shell]:
    """A workspace without a guardian."""
    shell = Shell(workspace)
    yield shell
    shell.run("stop", code=None)


@pytest.fixture
def shell(alone: Shell) -> Shell:
    """A workspace whose guardian runs."""
    alone.run("status", "--keep")
    return alone
