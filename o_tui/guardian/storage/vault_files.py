"""The vault's files: how a `.ckpt` is named, checked, copied and adopted. All of it blocks."""

from __future__ import annotations

import errno
import os
import sqlite3
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from o_tui.guardian.storage.findings import open_file, sync_folder
from o_tui.guardian.storage.rows import CHECKPOINTS
from o_tui.paths import open_foreign
from o_tui.protocol import checkpoint
from o_tui.protocol.checkpoint import FLAG_DELTA, HEADER_BYTES, Header
from o_tui.protocol.errors import CorruptError, NotFoundError, RefusedError, UsageError

PART_BYTES = 64 * 1024
SUFFIX = ".ckpt"
IMPORTED_SUFFIX = ".imported.ckpt"


@dataclass(slots=True)
class Pending:
    """A checkpoint that is being written: give `descriptors` to whoever writes it, then `commit` or `abandon`.

    Attributes:
        fd: Of the file.
        base_fd: Of the checkpoint that it may become a delta of; -1: none.
        base_digest: That one's digest.
    """

    id: str
    reason: str
    fd: int
    path: Path
    base_fd: int = -1
    base_digest: bytes = b""

    @property
    def descriptors(self) -> list[int]:
        """The file's, and the base's where there is one."""
        return [self.fd, self.base_fd] if self.base_fd >= 0 else [self.fd]

    @property
    def unfinished(self) -> bool:
        """Whoever wrote it ended before the header, which comes last."""
        return not os.pread(self.fd, HEADER_BYTES, 0).strip(b"\0")

    def close(self) -> None:
        """Closes both; harmless if they are closed."""
        for descriptor in (self.fd, self.base_fd):
            if descriptor >= 0:
                os.close(descriptor)
        self.fd = self.base_fd = -1


def file_of(folder: Path, checkpoint_id: str, origin: str) -> Path:
    """The file of a checkpoint; its name says whether it is of this log."""
    return folder / (checkpoint_id + (SUFFIX if origin == "own" else IMPORTED_SUFFIX))


def row_of(header: Header, reason: str, origin: str) -> tuple[Any, ...]:
    """A row of the table for a file that has this header."""
    return (
        str(header.checkpoint_id),
        header.seq,
        header.time_ns,
        reason,
        "" if header.revision == bytes(20) else header.revision.hex(),
        "delta" if header.flags & FLAG_DELTA else "full",
        HEADER_BYTES + header.compressed_bytes,
        header.uncompressed_bytes,
        header.data_sha256,
        header.chain_digest,
        "" if header.base_digest == bytes(32) else header.base_digest.hex(),
        origin,
        0,
        0,
        0,
        0,
    )


def public(folder: Path, row: tuple[Any, ...]) -> dict[str, Any]:
    """What views are shown of a row, and whether its copies are there."""
    values = CHECKPOINTS.as_dict(row)
    try:
        file_ok = file_of(folder, values["id"], values["origin"]).stat().st_size == values["size_bytes"]
    except OSError:
        file_ok = False
    keys = ("id", "seq", "time_ns", "reason", "revision", "kind", "size_bytes", "uncompressed_bytes", "origin")
    return {
        **{key: values[key] for key in keys},
        "digest": values["digest"].hex(),
        "pinned": bool(values["pinned"]),
        "deleted": bool(values["deleted_ns"]),
        "proven": bool(values["proven_ns"]),
        "file_ok": file_ok,
        "rows_ok": values["parts"] > 0,
    }


def check(file: IO[bytes], checkpoint_id: str = "") -> Header:
    """Verifies a whole file, also that it ends where it says and is the one that was asked for; raises CorruptError."""
    header = checkpoint.verify(file)
    if os.fstat(file.fileno()).st_size != HEADER_BYTES + header.compressed_bytes:
        raise CorruptError("a checkpoint's file has more bytes than it says")
    if checkpoint_id and str(header.checkpoint_id) != checkpoint_id:
        raise CorruptError(f"the file of checkpoint {checkpoint_id} holds {header.checkpoint_id}")
    os.lseek(file.fileno(), HEADER_BYTES - 32, os.SEEK_SET)
    if os.read(file.fileno(), 32) != bytes(32):
        raise CorruptError("a checkpoint's header is damaged")
    return header


def open_checked(path: Path, checkpoint_id: str) -> int:
    """A descriptor of a verified file, at its start; raises CorruptError, OSError."""
    with open_file(path) as file:
        check(file, checkpoint_id)
        descriptor = os.dup(file.fileno())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def create_temporary(folder: Path, checkpoint_id: str) -> tuple[int, Path]:
    """A new file to write a checkpoint into, 0600."""
    path = folder / f"{checkpoint_id}{SUFFIX}.tmp"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), path


def flattened(descriptors: list[int], folder: Path) -> int:
    """A full checkpoint instead of a delta and its base, in a file without a name; closes what it was given."""
    out = _nameless(folder)
    try:
        with (
            os.fdopen(descriptors[0], "rb") as file,
            os.fdopen(descriptors[1], "rb") as base,
            os.fdopen(os.dup(out), "wb") as target,
        ):
            checkpoint.flatten(file, base, target)
    except BaseException:
        os.close(out)
        raise
    return out


def publish(temporary: Path, descriptor: int, target: Path) -> None:
    """Syncs a written file, gives it its name, and syncs the folder."""
    os.fsync(descriptor)
    temporary.replace(target)
    sync_folder(target.parent)


def spool_rows(connection: sqlite3.Connection, folder: Path, checkpoint_id: str) -> int:
    """The body's rows as a verified file without a name; its descriptor, at its start.

    Raises:
        NotFoundError: There are no rows.
        CorruptError: They are damaged.
    """
    descriptor = _nameless(folder)
    count = 0
    try:
        sql = "SELECT part, data FROM checkpoint_parts WHERE checkpoint_id = ? ORDER BY part"
        for part, data in connection.execute(sql, (checkpoint_id,)):
            if part != count:
                raise CorruptError(f"row {count} of checkpoint {checkpoint_id} is missing")
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            count += 1
        if not count:
            raise NotFoundError(f"the database holds no body of checkpoint {checkpoint_id}")
        with os.fdopen(os.dup(descriptor), "rb") as file:
            check(file, checkpoint_id)
    except sqlite3.DatabaseError as error:
        os.close(descriptor)
        raise CorruptError(f"the rows of checkpoint {checkpoint_id} cannot be read: {error}") from error
    except BaseException:
        os.close(descriptor)
        raise
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _nameless(folder: Path) -> int:
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT):
            raise
    path = folder / f".spool-{uuid.uuid4().hex}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    path.unlink()
    return descriptor


def copy_to(descriptor: int, target: Path, *, overwrite: bool = False) -> None:
    """Copies from the start of a descriptor into a new file, 0600, whole or not at all.

    Raises:
        UsageError: The folder is not there, or `target` is a folder.
        RefusedError: The file exists, or may not be written there.
    """
    if target.is_dir() or not target.parent.is_dir():
        raise UsageError(f"{target} is not a place for a file", hint="name a file in a folder that exists")
    if target.exists() and not overwrite:
        raise RefusedError(f"{target} exists already", hint="choose another name")
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        out = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        raise RefusedError(f"{target} cannot be written: {error.strerror}") from error
    try:
        copy_bytes(descriptor, out)
        publish(temporary, out, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(out)


def read_foreign(path: Path) -> tuple[Header, int]:
    """The header and a descriptor of a foreign file, every digest in it checked; raises OError."""
    with open_foreign(path) as file:
        header = check(file)
        if header.is_delta:
            raise RefusedError(
                f"{path.name} is a delta: it is nothing without its base", hint="export writes whole ones"
            )
        checkpoint.inspect(file)
        return header, os.dup(file.fileno())


def copy_bytes(source: int, target: int) -> None:
    """Copies from the start of one descriptor to another."""
    offset = 0
    while piece := os.pread(source, 1 << 20, offset):
        view = memoryview(piece)
        while view:
            view = view[os.write(target, view) :]
        offset += len(piece)


def strays(folder: Path) -> list[tuple[str, str, Path]]:
    """(id, origin, path) of the files that have a checkpoint's name."""
    found = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        origin = "imported" if path.name.endswith(IMPORTED_SUFFIX) else "own"
        name = path.name.removesuffix(IMPORTED_SUFFIX if origin == "imported" else SUFFIX)
        try:
            found.append((str(uuid.UUID(name)), origin, path))
        except ValueError:
            continue
    return found


def adopt(connection: sqlite3.Connection, folder: Path) -> int:
    """Inside a transaction: makes rows for good files that have none (their database was lost); returns how many."""
    known = {row[0] for row in connection.execute("SELECT id FROM checkpoints")}
    adopted = 0
    for checkpoint_id, origin, path in strays(folder):
        if checkpoint_id in known:
            continue
        try:
            with open_file(path) as file:
                header = check(file, checkpoint_id)
        except (CorruptError, OSError):
            continue
        CHECKPOINTS.put(connection, row_of(header, "found as a file", origin))
        adopted += 1
    return adopted
