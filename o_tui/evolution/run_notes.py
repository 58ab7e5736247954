"""What a run of a user's program says of itself, in one small file beside its own: how it stands, and how it ended.

The run's own file is the truth of its evaluations and belongs to one process. This one is for everybody else: who looks
for a run to resume, and the guardian, which makes a row of the history of it. It is replaced as a whole.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import Annotated

import msgspec

from o_tui.protocol.errors import PeerError

FILE = "run.json"
LIMIT_BYTES = 64 * 1024
RUNNING, STOPPED, REFUSED = "running", "stopped", "refused"

Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """A run.

    Attributes:
        program: The path of the program; `evaluator` that of its evaluator.
        process: Which process works on it: see `process`; "": none that is known.
        outcome: "": it has not ended.
        reason: Why it ended so, in one line.
        initial: The score of the program as it was given, `best` that of the best one, both measured again.
        revision: SHA-256 of the best program; `path` is where that is.
    """

    id: str
    program: str
    evaluator: str
    began_ns: Count
    ended_ns: Count = 0
    process: str = ""
    outcome: str = ""
    reason: str = ""
    budget: Count = 0
    seed: int = 0
    evaluations: Count = 0
    failed: Count = 0
    initial: float | None = None
    best: float | None = None
    revision: str = ""
    path: str = ""

    @property
    def state(self) -> str:
        """Its outcome; without one it is running, or stopped: then its process has gone."""
        if self.outcome:
            return self.outcome
        return RUNNING if self.process and self.process == process(self.process.partition(":")[0]) else STOPPED


def process(pid: int | str) -> str:
    """A process that lives, by a name that is never given again: "PID:START"; "" where there is none."""
    try:
        stat = Path(f"/proc/{int(pid)}/stat").read_bytes()
    except (OSError, ValueError):
        return ""
    return f"{pid}:{stat.rpartition(b')')[2].split()[19].decode()}"


def read(folder: Path) -> Note | None:
    """The note in a run's folder; None where there is none that can be read."""
    try:
        with (folder / FILE).open("rb") as file:
            note = msgspec.json.decode(file.read(LIMIT_BYTES), type=Note)
    except (OSError, msgspec.MsgspecError):
        return None
    return note if note.id == folder.name else None


def keep(folder: Path, note: Note) -> None:
    """Replaces the note in a run's folder. Raises PeerError."""
    write(folder / FILE, msgspec.json.encode(note))


def change(folder: Path, **fields: object) -> None:
    """Some of a note's fields. Raises PeerError."""
    note = read(folder)
    if note is not None:
        keep(folder, msgspec.structs.replace(note, **fields))


def write(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all; who may read and run it stays as it was. Raises PeerError."""
    other = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with other.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            with contextlib.suppress(FileNotFoundError):
                os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
        other.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            other.unlink(missing_ok=True)
        raise PeerError(f"{path} cannot be written: {error.strerror}; it is as it was") from error
