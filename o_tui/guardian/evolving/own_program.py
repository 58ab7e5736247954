"""A module of ours, run as a program in a process apart: nothing of the environment, input and output as bytes."""

from __future__ import annotations

import subprocess
import sys

from o_tui.protocol.errors import OError

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


def command_of(module: str, *words: str) -> list[str]:
    """How it is started."""
    return [sys.executable, "-I", "-X", "utf8", "-m", module, *words]


def run(module: str, *words: str, what: str, timeout_s: float, given: bytes = b"") -> bytes:
    """What it has written. Waits, so not on a loop.

    Args:
        module: Its name.
        words: Its arguments.
        what: What is done, for the error.
        timeout_s: After which it is killed.
        given: Its input.

    Raises:
        OError: It took too long, or failed: the message has its last line.
    """
    command = command_of(module, *words)
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, timeout=timeout_s, check=False, env=ENVIRONMENT
        )
    except subprocess.TimeoutExpired as error:
        raise OError(f"{what} took more than {timeout_s:.0f} s") from error
    if done.returncode:
        raise OError(f"{what} failed: {last_line(done.stderr)}")
    return done.stdout


def last_line(said: bytes) -> str:
    """What a program said last, cut."""
    lines = said.decode("utf-8", "replace").strip().splitlines() or ["no word"]
    return lines[-1][:200]
