"""A whole workspace in one `.tar.zst`: database, checkpoints, genome, settings. Keys are not in it.

The database is copied with SQLite's online backup, so a guardian may run meanwhile. On the way back everything is
unpacked beside the workspace and checked against the manifest before anything is put in place.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

import zstandard

from o_tui.guardian.storage import schema
from o_tui.guardian.storage.database import Database
from o_tui.guardian.storage.findings import QUARANTINE, sync_folder
from o_tui.paths import Paths, named, open_foreign
from o_tui.protocol.errors import CorruptError, NotFoundError, PeerError, RefusedError, UsageError

FORMAT = 1
_MANIFEST = "manifest.json"
_MANIFEST_LIMIT_BYTES = 64 << 20
_PIECE = 1 << 20
_TOPS = frozenset({"o.db", "checkpoints", "genome", "config"})
"""What may stand at the top of a backup."""


async def backup(database: Database, paths: Paths, path: str) -> dict[str, Any]:
    """`write` beside a running guardian: what was queued before this call is in it."""
    await database.write(lambda _connection: None)
    return await asyncio.to_thread(write, paths, Path(path))


def write(paths: Paths, target: Path) -> dict[str, Any]:
    """Writes a backup to a new file, 0600; returns {path, size_bytes, files}. Blocking.

    Raises:
        NotFoundError: There is no workspace.
        UsageError, RefusedError: `target` is no place for a new file.
        PeerError: The disk does not take it; nothing stays behind.
    """
    if not paths.database.exists():
        raise NotFoundError(f"there is no workspace in {paths.data}")
    target = named(target)
    if target.is_dir() or not target.parent.is_dir():
        raise UsageError(f"{target} is not a place for a file", hint="name a file in a folder that exists")
    if target.exists():
        raise RefusedError(f"{target} exists already", hint="choose another name")
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        with tempfile.TemporaryDirectory(dir=paths.data, prefix="backup-") as folder:
            copy = Path(folder) / "o.db"
            _copy_database(paths.database, copy)
            manifest = _write(temporary, paths, copy)
        temporary.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise PeerError(
            f"the backup could not be written: {error.strerror}", hint="free space, or mend the disk"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return {"path": str(target), "size_bytes": target.stat().st_size, "files": len(manifest)}


def _copy_database(source: Path, target: Path) -> None:
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    reader = schema.connect_reader(source)
    writer = sqlite3.connect(target)
    try:
        reader.backup(writer, pages=1_024)
        writer.execute("PRAGMA journal_mode=DELETE").fetchone()
    except sqlite3.Error as error:
        raise schema.typed(error, source) from error
    finally:
        writer.close()
        reader.close()


def _members(paths: Paths, database: Path) -> Iterator[tuple[str, Path]]:
    yield "o.db", database
    for file in sorted(paths.checkpoints.glob("*.ckpt")):
        yield f"checkpoints/{file.name}", file
    # objects before what points at them: a commit that comes meanwhile is in the copy whole, or not at all
    files = [file for file in paths.genome.rglob("*") if file.is_file() and not file.is_symlink()]
    for file in sorted(files, key=lambda file: ("objects" not in file.parts, str(file))):
        yield f"genome/{file.relative_to(paths.genome).as_posix()}", file
    if paths.config_file.exists():
        yield "config/config.toml", paths.config_file


def _write(target: Path, paths: Paths, database: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = {}
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        compressor = zstandard.ZstdCompressor(level=3)
        with compressor.stream_writer(file, closefd=False) as packed, tarfile.open(fileobj=packed, mode="w|") as tar:
            for name, source in _members(paths, database):
                try:
                    manifest[name] = _add(tar, name, source)
                except FileNotFoundError:
                    continue  # removed meanwhile
            body = {"format": FORMAT, "time_ns": time.time_ns(), "files": manifest}
            raw = json.dumps(body).encode()
            info = tarfile.TarInfo(_MANIFEST)
            info.size, info.mode = len(raw), 0o600
            tar.addfile(info, io.BytesIO(raw))
        file.flush()
        os.fsync(file.fileno())
    return manifest


class _Hashed(io.RawIOBase):
    """Reads exactly so many bytes of a file, and hashes them."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.sha256 = hashlib.sha256()
        self._file = file
        self._left = size

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(min(self._left, size if size >= 0 else self._left))
        self._left -= len(piece)
        self.sha256.update(piece)
        return piece


def _add(tar: tarfile.TarFile, name: str, source: Path) -> dict[str, Any]:
    with source.open("rb") as file:
        info = tarfile.TarInfo(name)
        info.size, info.mode = os.fstat(file.fileno()).st_size, 0o600
        hashed = _Hashed(file, info.size)
        tar.addfile(info, hashed)
    return {"size": info.size, "sha256": hashed.sha256.hexdigest()}


def restore(source: Path, paths: Paths, *, force: bool = False) -> dict[str, Any]:
    """Puts a backup into an empty workspace; returns {files, database, replaced}. Blocking; no guardian may run.

    With `force` a workspace that is there is moved aside into its quarantine, whole.

    Raises:
        NotFoundError, RefusedError: No such file; the workspace is not empty; the archive names places outside.
        CorruptError: It is not a backup of O, or damaged. The workspace is as it was.
    """
    paths.prepare()
    present = [paths.data / name for name in sorted(_TOPS - {"config"}) if _filled(paths.data / name)]
    if present and not force:
        names = ", ".join(path.name for path in present)
        raise RefusedError(
            f"the workspace {paths.data} is not empty ({names})", hint="choose another with --data-dir, or force it"
        )
    with tempfile.TemporaryDirectory(dir=paths.data, prefix="restore-") as folder:
        found = _unpack(source, Path(folder))
        _check(Path(folder), found)
        replaced = _move_aside(paths) if force else ""
        for name in sorted(_TOPS):
            part = Path(folder) / name
            if name == "config":
                _place_config(part, paths)
            elif part.exists():
                target = paths.data / name
                if target.is_dir():
                    target.rmdir()
                part.replace(target)
    sync_folder(paths.data)
    paths.prepare()
    return {"files": len(found), "database": str(paths.database), "replaced": replaced}


def _filled(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _place_config(part: Path, paths: Paths) -> None:
    if (part / "config.toml").exists() and not paths.config_file.exists():
        shutil.copyfile(part / "config.toml", paths.config_file)
        paths.config_file.chmod(0o600)


def _move_aside(paths: Paths) -> str:
    folder = paths.data / QUARANTINE / f"replaced.{time.time_ns()}"
    folder.mkdir(mode=0o700, parents=True)
    for name in ("o.db", "o.db-wal", "o.db-shm", "wal", "checkpoints", "genome"):
        path = paths.data / name
        if path.exists():
            path.replace(folder / name)
    return folder.name


def _unpack(source: Path, folder: Path) -> dict[str, tuple[int, str]]:
    """Unpacks into a folder; name -> (size, SHA-256)."""
    found: dict[str, tuple[int, str]] = {}
    manifest: bytes | None = None
    try:
        with (
            open_foreign(named(source)) as file,
            zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(file) as plain,
            tarfile.open(fileobj=plain, mode="r|") as tar,
        ):
            for member in tar:
                if member.name == _MANIFEST and member.isreg():
                    manifest = _read_manifest(tar, member)
                    continue
                target = _place(folder, member)
                if member.size > shutil.disk_usage(folder).free:
                    raise PeerError(f"there is no room for {member.name}", hint="free space")
                found[member.name] = _extract(tar, member, target)
    except (tarfile.TarError, zstandard.ZstdError, EOFError) as error:
        raise CorruptError(f"{source.name} is not a backup of O, or damaged: {error}") from error
    _compare(source, manifest, found)
    return found


def _place(folder: Path, member: tarfile.TarInfo) -> Path:
    parts = PurePosixPath(member.name).parts
    outside = member.name.startswith("/") or ".." in parts or not parts or parts[0] not in _TOPS
    if outside or not member.isreg() or "\0" in member.name:
        raise RefusedError(f"the backup holds {member.name[:200]!r}, which does not belong into a workspace")
    target = folder.joinpath(*parts)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return target


def _read_manifest(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    body = tar.extractfile(member)
    if member.size > _MANIFEST_LIMIT_BYTES or body is None:
        raise CorruptError("the backup's manifest is too large")
    return body.read()


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> tuple[int, str]:
    body = tar.extractfile(member)
    assert body is not None  # a regular member has one
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        while piece := body.read(_PIECE):
            digest.update(piece)
            size += out.write(piece)
        out.flush()
        os.fsync(out.fileno())
    return size, digest.hexdigest()


def _compare(source: Path, manifest: bytes | None, found: dict[str, tuple[int, str]]) -> None:
    try:
        body = json.loads(manifest or b"")
        wanted = {name: (item["size"], item["sha256"]) for name, item in body["files"].items()}
        number = body["format"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptError(f"{source.name} has no manifest: it is not a backup of O, or cut off") from error
    if number != FORMAT:
        raise CorruptError(f"a backup of format {number}; this O reads format {FORMAT}")
    if wanted != found:
        names = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        raise CorruptError(f"{source.name} is damaged: {', '.join(names[:5])}")


def _check(folder: Path, found: dict[str, tuple[int, str]]) -> None:
    """The database in the backup is one of ours, and whole."""
    database = folder / "o.db"
    if "o.db" not in found:
        raise CorruptError("the backup holds no database")
    connection = sqlite3.connect(database)
    try:
        schema.recognise(connection, database)
        problems = connection.execute("PRAGMA integrity_check(3)").fetchall()
    except sqlite3.DatabaseError as error:
        raise CorruptError(f"the database in the backup is damaged: {error}") from error
    finally:
        connection.close()
    if problems != [("ok",)]:
        raise CorruptError(f"the database in the backup is damaged: {problems[0][0]}")
