"""An evaluator away from home: it goes with all that lies in its folder, which is what it may read.

The folder's files travel in the setup, known together by one digest, and lie in a folder of the server's own there.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from o_tui.programs.orders import Setup
from o_tui.protocol.errors import UsageError

FILES = 1000
FILES_BYTES = 12 << 20
_LEFT_OUT = "__pycache__"


def packed(setup: Setup) -> Setup:
    """A setup with what lies in its evaluator's folder; what begins with a dot, and what is no file, stays at home.

    Raises:
        UsageError: That is too much to send, or cannot be read.
    """
    folder, found, total = Path(setup.evaluator).parent, {}, 0
    for path in _files(folder):
        if str(path) == setup.evaluator:
            continue  # what counts of it is what was pinned
        try:
            total += path.stat().st_size
            if total <= FILES_BYTES:
                found[str(path.relative_to(folder))] = path.read_bytes()
        except OSError as error:
            raise UsageError(f"{path}, beside the evaluator, cannot be read: {error.strerror}") from error
        if total > FILES_BYTES or len(found) > FILES:
            raise UsageError(
                f"{folder} holds more than {FILES} files or {FILES_BYTES >> 20} MiB: too much to send",
                hint="give the evaluator a folder of its own, with nothing in it but what it reads",
            )
    return msgspec.structs.replace(setup, beside=found)


def unpacked(setup: Setup, folder: Path) -> Setup:
    """Writes what a setup carries into an empty folder; the setup as it is there.

    Raises:
        UsageError: A name leads out of the folder.
    """
    evaluator = folder / Path(setup.evaluator).name
    for name, data in {**(setup.beside or {}), evaluator.name: setup.source}.items():
        path = Path(os.path.normpath(folder / name))
        if not path.is_relative_to(folder):
            raise UsageError(f"the file {name!r} leads out of the evaluator's folder")
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.write_bytes(data)
    return msgspec.structs.replace(setup, evaluator=str(evaluator), beside=None)


def digest(setup: Setup) -> str:
    """SHA-256, in hex, of a setup with all that it carries."""
    return hashlib.sha256(msgspec.msgpack.encode(setup, order="deterministic")).hexdigest()


def _files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if each != _LEFT_OUT and not each.startswith("."))
        found += [Path(place, name) for name in sorted(names) if not name.startswith(".")]
        if len(found) > 2 * FILES:
            break  # too many in any case: a home or a root is not walked through
    return [path for path in found if path.is_file()]
