"""The operator's own editor on a text: a private file, the whole terminal, and what comes back."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from o_tui.protocol.errors import OError, UsageError


def command(environment: Mapping[str, str]) -> list[str]:
    """What VISUAL, else EDITOR, names, with its arguments.

    Raises:
        UsageError: Neither does, or it is not there.
    """
    named = environment.get("VISUAL", "").strip() or environment.get("EDITOR", "").strip()
    if not named:
        raise UsageError("no editor is named", hint="set VISUAL or EDITOR, then start the screen again")
    try:
        words = shlex.split(named)
    except ValueError as error:
        raise UsageError(f"the editor's name {named[:60]!r} cannot be read: {error}") from error
    if not words or shutil.which(words[0]) is None:
        raise UsageError(f"the editor {named[:60]!r} is not there", hint="set VISUAL or EDITOR to one that is")
    return words


def edit(words: list[str], text: str, name: str, terminal: int | None = None) -> str:
    """Has `text` edited in a file (0600, in a folder 0700, both gone afterwards) and returns what is in it then.

    Args:
        words: The editor and its arguments.
        text: What is edited.
        name: The file's name; editors choose colours by its end.
        terminal: The descriptor of the terminal; None: as ours are.

    Raises:
        OError: It could not be started, or says that it failed: then nothing counts.
    """
    with tempfile.TemporaryDirectory(prefix="o-edit-") as folder:
        file = Path(folder) / Path(name).name
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", newline="") as opened:
            opened.write(text)
        try:
            with _keys_are_the_editor_s():
                done = subprocess.run(
                    [*words, str(file)], stdin=terminal, stdout=terminal, stderr=terminal, check=False
                )
        except OSError as error:
            raise OError(f"the editor {words[0]} could not be started: {error.strerror}") from error
        if done.returncode:
            raise OError(f"the editor {words[0]} ended with {done.returncode}: what it left does not count")
        try:
            return file.read_bytes().decode("utf-8")
        except OSError as error:
            raise OError(f"the editor {words[0]} left no file: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise OError(f"what the editor left is not UTF-8 text: byte {error.start}") from error


@contextmanager
def _keys_are_the_editor_s() -> Iterator[None]:
    """Ctrl+C and Ctrl+\\ reach every process of the terminal; they are meant for the editor."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
