"""The database file itself: how it is created, recognised, migrated and connected to."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from functools import cache
from pathlib import Path

from o_tui.guardian.storage.findings import sync_folder
from o_tui.paths import shipped
from o_tui.protocol.errors import BusyError, CorruptError, OError, PeerError, RefusedError

APPLICATION_ID = 0x4F5F5455
"""`O_TU`, in the header of the file."""
_FULL_BYTES = 256 * 1024
FIXED_SQLITE = (3, 51, 3)
"""The first version without the WAL-reset bug, which needs two connections that write or checkpoint; O has one."""


@cache
def migrations() -> tuple[str, ...]:
    """The numbered scripts; the n-th brings `user_version` to n."""
    files = sorted((shipped("data") / "schema").glob("[0-9]*.sql"))
    return tuple(file.read_text("utf-8") for file in files)


@cache
def expected_schema(version: int | None = None) -> frozenset[tuple[str, str]]:
    """(name, SQL) of everything that a database of this version (None: the newest) holds."""
    connection = sqlite3.connect(":memory:")
    try:
        for script in migrations()[:version]:
            connection.executescript(script)
        return schema_of(connection)
    finally:
        connection.close()


def schema_of(connection: sqlite3.Connection) -> frozenset[tuple[str, str]]:
    """(name, SQL) of what a database holds."""
    rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
    return frozenset((str(name), str(sql)) for name, sql in rows)


def connect(path: Path, *, busy_timeout_s: float = 5.0, synchronous: str = "FULL") -> sqlite3.Connection:
    """The writing connection: autocommit (transactions are explicit), usable from another thread.

    Raises:
        RefusedError: The file belongs to somebody else, or cannot be written.
    """
    refuse_what_is_no_file(path)
    if path.exists():
        if path.stat().st_uid != os.geteuid():
            raise RefusedError(f"the database {path} belongs to another user", hint="choose another with --data-dir")
        if not os.access(path, os.R_OK | os.W_OK):
            raise RefusedError(f"the database {path} is read-only", hint=f"chmod u+rw {path}")
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=512,
        timeout=busy_timeout_s,
    )
    settings = (f"synchronous={synchronous}", "foreign_keys=ON", "wal_autocheckpoint=0", "temp_store=MEMORY")
    try:
        for setting in settings:
            connection.execute(f"PRAGMA {setting}")
    except BaseException:
        connection.close()
        raise
    return connection


def refuse_what_is_no_file(path: Path) -> None:
    """Raises RefusedError where a pipe, a device or a folder stands in the database's place."""
    if path.exists() and not path.is_file():  # SQLite would wait for somebody to write into a pipe
        raise RefusedError(f"the database {path} is not a file", hint="move it away: it is built anew from its mirror")


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads; raises RefusedError where the path is no file."""
    refuse_what_is_no_file(path)
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=5.0,
    )
    connection.execute("PRAGMA query_only=ON")
    return connection


def create(path: Path) -> None:
    """Makes an empty database of the newest version, 0600, durable with its name when this returns.

    It has its name only when it is whole: what a kill leaves of it is no database that nobody recognises.
    """
    fresh = path.with_name(path.name + ".new")
    for leftover in (fresh, *companions(fresh)):
        leftover.unlink(missing_ok=True)
    os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    # under FULL alone, the first entries can vanish together with the folder's entry for the file
    connection = connect(fresh, synchronous="EXTRA")
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        migrate(connection)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
    fresh.replace(path)
    sync_folder(path.parent)


def companions(database: Path) -> list[Path]:
    """The files that SQLite keeps beside it."""
    return [database.with_name(database.name + suffix) for suffix in ("-wal", "-shm")]


def recognise(connection: sqlite3.Connection, path: Path) -> int:
    """The version of a database of ours.

    Raises:
        RefusedError: It is another program's, or a newer O made it.
        CorruptError: It is not readable as a database.
        BusyError: Another process has it locked.
    """
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.DatabaseError as error:
        raise typed(error, path) from error
    if application != APPLICATION_ID:
        raise RefusedError(
            f"{path} is not a database of O (application_id {application:#x})",
            hint="choose another folder with --data-dir, or run: o-tui doctor",
        )
    if version > len(migrations()):
        raise RefusedError(
            f"{path} has schema version {version}; this O knows up to {len(migrations())}",
            hint="it was made by a newer O: upgrade",
        )
    if version < 1:
        raise RefusedError(f"{path} has schema version {version}: there never was one", hint="run: o-tui doctor")
    return int(version)


def migrate(connection: sqlite3.Connection) -> int:
    """Brings the schema to the newest version, each step in one transaction; returns how many were taken."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    scripts = migrations()[version:]
    for number, script in enumerate(scripts, version + 1):
        connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version={number};\nCOMMIT;")
    return len(scripts)


def typed(error: sqlite3.Error | OSError, path: Path) -> OError:
    """The typed error behind one of SQLite's or the system's."""
    if isinstance(error, OSError):
        name = error.filename or path.parent
        if error.errno in (errno.EISDIR, errno.ENXIO):
            return RefusedError(f"{name} is no file", hint="move it away, and O makes it anew")
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            return RefusedError(f"{name} is read-only: {error.strerror}", hint="choose another with --data-dir")
        return PeerError(f"the disk does not serve {name}: {error.strerror}", hint="free space or mend the disk")
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (5, 6):
        who = holders(path)
        return BusyError(f"the database {path} is locked by {who}", hint="close that program and try again")
    if code in (8, 14):
        return RefusedError(f"the database {path} cannot be opened: {error}", hint="is the disk mounted read-only?")
    if code in (7, 10, 13, 14, 15):
        if shutil.disk_usage(path.parent).free < _FULL_BYTES:  # SQLite says "disk I/O error" for its -shm file
            return PeerError(f"the disk of {path.parent} is full", hint="free some space")
        return PeerError(f"the disk does not serve the database {path}: {error}", hint="free space or mend the disk")
    return CorruptError(f"the database {path} is damaged: {error}", hint="run: o-tui doctor")


def holders(path: Path) -> str:
    """Who holds a lock on the database, from /proc/locks: `sqlite3 (pid 123)`; a general word if it does not say."""
    inodes = set()
    for name in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        if name.exists():
            inodes.add(str(name.stat().st_ino))
    try:
        lines = Path("/proc/locks").read_text("ascii", "replace").splitlines()
    except OSError:
        lines = []
    pids = set()
    for line in lines:
        words = line.replace("->", "").split()
        if len(words) >= 6 and words[3] == "WRITE" and words[5].rpartition(":")[2] in inodes:
            pids.add(int(words[4]))
    pids.discard(os.getpid())
    return ", ".join(f"{_command(pid)} (pid {pid})" for pid in sorted(pids)) or "another program"


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip()
    except OSError:
        return "a program"
