"""Checks of a workspace that only read: they work with a running guardian and without one."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from o_tui import config as settings
from o_tui.evolution import repository
from o_tui.evolution.history import History
from o_tui.guardian.fleet import sandbox_probe
from o_tui.guardian.storage import audit, chainwork, schema, vault_bases, vault_files
from o_tui.guardian.storage.database import Database
from o_tui.guardian.storage.findings import QUARANTINE, Finding
from o_tui.guardian.storage.head import Head, HeadFile
from o_tui.guardian.storage.mirror import read_segment, segment_paths
from o_tui.guardian.storage.rebuild import rebuild
from o_tui.guardian.storage.row_mirror import row_paths, rows_whole
from o_tui.guardian.storage.rows import CHECKPOINTS, TABLES, damaged_rows
from o_tui.guardian.storage.vault import Vault
from o_tui.paths import Paths
from o_tui.protocol.errors import CorruptError, OError, RefusedError

FREE_BYTES = 256 << 20
"""Less free space than this is said."""
REPAIR = "stop O and run: o-tui doctor --repair"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str

    def row(self) -> dict[str, Any]:
        """As plain data."""
        return {"name": self.name, "ok": self.ok, "detail": self.detail}


def examine(paths: Paths) -> dict[str, Any]:
    """Everything that `doctor` looks at, the machine's sandbox too: {ok, tier, checks}. Blocking."""
    tier, sandbox = _sandbox()
    found = checks(paths) + [check.row() for check in sandbox]
    return {"ok": all(check["ok"] for check in found), "tier": tier, "checks": found}


def checks(paths: Paths) -> list[dict[str, Any]]:
    """Everything that can be checked without changing anything: [{name, ok, detail}]. Blocking, may take seconds."""
    found = [_native(), _sqlite(), _folder(paths), _space(paths), *_files(paths), _config(paths), _genome(paths)]
    if not paths.database.exists():
        lost = list(paths.mirror.glob("wal_*.log")) or vault_files.strays(paths.checkpoints)
        detail = (
            "it is missing, but its mirror is there: it is built anew at the next start" if lost else "not made yet"
        )
        found.append(Check("database", not lost, detail))
    else:
        found += _database(paths)
    found.append(_quarantine(paths))
    return [check.row() for check in found]


def _sqlite() -> Check:
    version = sqlite3.sqlite_version
    fixed = ".".join(map(str, schema.FIXED_SQLITE))
    if sqlite3.sqlite_version_info >= schema.FIXED_SQLITE:
        return Check("sqlite", True, version)
    text = (
        f"{version}: before {fixed} SQLite can damage a WAL file when two connections write and checkpoint at once;"
        " O does both on one connection, so it is not met. A newer SQLite (or the package apsw) takes the bug away"
    )
    return Check("sqlite", True, text)


def _sandbox() -> tuple[str, list[Check]]:
    """The tier, and a check for each layer: on, or off and why."""
    try:
        found = sandbox_probe.probe()
    except OError as error:
        return "X", [Check("sandbox", False, str(error))]
    tier: str = found["tier"]
    none = tier == "X"
    result = [Check("sandbox", not none, "tier X: nothing is evolved here" if none else f"tier {tier}")]
    for layer in found["layers"]:
        # a layer that is missing lowers the tier; only where nothing confines is something wrong
        text = ("on" if layer["on"] else "off") + (f": {layer['why']}" if layer["why"] else "")
        result.append(Check(layer["name"], layer["on"] or not none, text))
    return tier, result


def _native() -> Check:
    from o_tui import __version__, _native

    same = _native.__version__ == __version__
    detail = _native.__version__ if same else f"{_native.__version__}, but O is {__version__}: install O again"
    return Check("native", same, detail)


def _config(paths: Paths) -> Check:
    try:
        settings.load(paths.config_file)
    except OError as error:
        return Check("config", False, f"{error} ({error.hint})" if error.hint else str(error))
    return Check("config", True, str(paths.config_file) if paths.config_file.exists() else "the defaults")


def _genome(paths: Paths) -> Check:
    if not paths.genome.is_dir() or not any(paths.genome.iterdir()):
        return Check("genome", True, "not made yet")
    hint = f"move {paths.genome} away, and restore it from a backup; without one it begins anew"
    try:
        history = History(paths.genome, repository.open_repository(paths.genome))
        head = history.head()
        # every object that the code of the head needs, read
        files = history.files(head)
    except (OError, OSError, KeyError, ValueError, repository.git().GitError) as error:
        return Check("genome", False, f"{error}; {hint}")
    return Check("genome", True, f"{len(files)} files at {head[:12]}")


def _nearest(path: Path) -> Path:
    """The folder itself, or the closest one above it that exists."""
    return next((each for each in (path, *path.parents) if each.exists()), path)


def _folder(paths: Paths) -> Check:
    try:
        info = paths.data.stat()
    except FileNotFoundError:
        above = _nearest(paths.data)
        if not os.access(above, os.W_OK | os.X_OK):
            return Check("folder", False, f"{paths.data} cannot be made: {above} is read-only")
        return Check("folder", True, f"{paths.data}: not made yet")
    except OSError as error:
        return Check("folder", False, f"{paths.data}: {error.strerror}")
    if info.st_uid != os.geteuid():
        return Check("folder", False, f"{paths.data} belongs to uid {info.st_uid}, you are {os.geteuid()}")
    if stat.S_IMODE(info.st_mode) & 0o077:
        return Check("folder", False, f"{paths.data} can be read by others: chmod 700")
    if not os.access(paths.data, os.W_OK | os.X_OK):
        return Check("folder", False, f"{paths.data} is read-only")
    return Check("folder", True, str(paths.data))


def _space(paths: Paths) -> Check:
    try:
        free = shutil.disk_usage(_nearest(paths.data)).free
    except OSError as error:
        return Check("space", False, str(error.strerror))
    return Check("space", free >= FREE_BYTES, f"{free >> 20} MiB free")


def _files(paths: Paths) -> Iterator[Check]:
    open_to_others = []
    for path in (paths.database, paths.keys_file, paths.mirror / "head"):
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            open_to_others.append(path.name)
    yield Check(
        "permissions", not open_to_others, ", ".join(open_to_others) + ": chmod 600" if open_to_others else "0600"
    )


def _database(paths: Paths) -> Iterator[Check]:
    # the head first: whatever is acknowledged after this is in the database too
    head, head_check = _read_head(paths)
    yield head_check
    try:
        connection = schema.connect_reader(paths.database)
        try:
            schema.recognise(connection, paths.database)
        except BaseException:
            connection.close()
            raise
    except RefusedError as error:  # nor would a repair touch what is not ours
        yield Check("database", False, str(error))
        return
    except (OError, sqlite3.Error) as error:
        yield Check("database", False, f"{error}; {REPAIR}")
        return
    looks: list[tuple[str, Callable[[sqlite3.Connection], Check]]] = [
        ("database", _integrity),
        ("tables", _tables),
        ("rows", _rows),
        ("wal", lambda c: _wal(c, head)),
        ("transactions", lambda c: _transactions(c, head)),
        ("approvals", _approvals),
        ("changes", lambda c: _changes(c, paths)),
        ("checkpoints", lambda c: _checkpoints(c, paths.checkpoints)),
        ("mirror", lambda c: _mirror(c, paths)),
    ]
    for name, look in looks:
        try:
            yield look(connection)
        except (sqlite3.Error, OError) as error:
            yield Check(name, False, f"{error}; {REPAIR}")
        except OSError as error:  # a full disk: checkpoints are written out to be looked at
            yield Check(name, False, f"could not be looked at: {error.strerror}")
    connection.close()


def _read_head(paths: Paths) -> tuple[Head | None, Check]:
    path = paths.mirror / "head"
    if not path.exists():
        return None, Check("head", False, "it is missing; it is made anew at the next start")
    try:
        file = HeadFile(path, only_read=True)
    except OSError as error:
        return None, Check("head", False, f"it cannot be read: {error.strerror}")
    try:
        head, damaged = file.read()
    finally:
        file.close()
    if damaged or head is None:
        return head, Check("head", False, "a slot is damaged; it is made anew at the next start")
    return head, Check("head", True, f"entry {head.seq}, epoch {head.epoch}")


def _integrity(connection: sqlite3.Connection) -> Check:
    problems = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(5)")]
    return Check("database", problems == ["ok"], "; ".join(problems) if problems != ["ok"] else "whole")


def _tables(connection: sqlite3.Connection) -> Check:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if schema.schema_of(connection) != schema.expected_schema(version):
        return Check("tables", False, f"not those of this O; {REPAIR}")
    newest = len(schema.migrations())
    return Check(
        "tables",
        True,
        f"version {version}"
        + (f", of an earlier O: brought to {newest} at the next start" if version < newest else ""),
    )


def _rows(connection: sqlite3.Connection) -> Check:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    names = {name for name, _ in schema.expected_schema(version)}  # an earlier O had fewer
    tables = [table for table in TABLES.values() if table.name in names]
    bad = []
    for table in tables:
        if table.checked:
            bad += [f"{table.name} {key!r:.60}" for key in damaged_rows(connection, table)]
    return Check("rows", not bad, f"damaged: {', '.join(bad[:5])}; {REPAIR}" if bad else f"{len(tables)} tables")


def _wal(connection: sqlite3.Connection, head: Head | None) -> Check:
    step = chainwork.verify_slice(connection, None)
    if step.bad_seq:
        return Check("wal", False, f"{step.problem}; {REPAIR}")
    if head is not None and step.seq < head.seq:
        return Check(
            "wal", False, f"it ends at {step.seq}, acknowledged was {head.seq}; it is mended at the next start"
        )
    base, _ = chainwork.base_of(connection)
    if head is not None and head.seq > base and chainwork.digest_at(connection, head.seq) != head.digest:
        return Check("wal", False, f"entry {head.seq} is not the one that was acknowledged")
    return Check("wal", True, f"entries {base + 1} to {step.seq}" if step.seq > base else f"no entries after {base}")


def _transactions(connection: sqlite3.Connection, head: Head | None) -> Check:
    (commits,) = connection.execute("SELECT commits FROM epoch WHERE id = 1").fetchone()
    if head is not None and head.commits > commits:
        missing = head.commits - commits
        return Check("transactions", False, f"{missing} are missing; they are put back at the next start")
    return Check("transactions", True, str(commits))


def _approvals(connection: sqlite3.Connection) -> Check:
    result = audit.verify(connection)
    detail = f"{result['approvals']} approvals" if result["ok"] else f"approval {result['first_bad']} was changed"
    return Check("approvals", result["ok"], detail)


def _changes(connection: sqlite3.Connection, paths: Paths) -> Check:
    (count,) = connection.execute("SELECT COUNT(*) FROM evolutions WHERE state = 'promoted'").fetchone()
    if count and not (paths.genome.is_dir() and any(paths.genome.iterdir())):
        return Check("changes", False, f"the genome is gone, and the code of {count} with it; a backup may have it")
    return Check("changes", True, f"{count} in service")


def _checkpoints(connection: sqlite3.Connection, folder: Path) -> Check:
    problems = []
    rows = connection.execute(f"SELECT {CHECKPOINTS.all_columns} FROM checkpoints").fetchall()
    found = [CHECKPOINTS.as_dict(row) for row in rows]
    problems += [f"the base of {name[:8]} is gone" for name in vault_bases.missing(found)]
    for values in found:
        try:
            os.close(
                vault_files.open_checked(vault_files.file_of(folder, values["id"], values["origin"]), values["id"])
            )
        except (CorruptError, OSError) as error:
            problems.append(f"file of {values['id'][:8]}: {error}")
        try:
            os.close(vault_files.spool_rows(connection, folder, values["id"]))
        except OError as error:
            problems.append(f"rows of {values['id'][:8]}: {error}")
    detail = (
        "; ".join(problems[:5]) + "; mended by: o-tui checkpoint verify" if problems else f"{len(rows)}, each twice"
    )
    return Check("checkpoints", not problems, detail)


def _mirror(connection: sqlite3.Connection, paths: Paths) -> Check:
    problems = chainwork.verify_mirror(paths.mirror)
    segments = segment_paths(paths.mirror)
    if segments and not problems:
        end = read_segment(segments[-1])
        stored = connection.execute("SELECT digest FROM wal WHERE seq = ?", (end.last_seq,)).fetchone()
        if stored is not None and stored[0] != end.digest():
            problems.append(f"segment {end.path.name} of the mirror is not what is in the log")
    for path in row_paths(paths.mirror):
        try:
            # once more: it may have been read while it was written
            if not rows_whole(path) and not rows_whole(path):
                problems.append(f"{path.name} of the row mirror is damaged")
        except FileNotFoundError:
            continue  # rotated meanwhile
    return Check("mirror", not problems, "; ".join(problems[:5]) or "whole")


def _quarantine(paths: Paths) -> Check:
    folder = paths.data / QUARANTINE
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if not names:
        return Check("quarantine", True, "empty")
    return Check("quarantine", True, f"{len(names)} damaged things are kept in {folder}: {', '.join(names[:3])}")


def mend(paths: Paths) -> list[Finding]:
    """Repairs a stopped workspace from its redundancy; returns what was found and done. Blocking.

    Raises:
        BusyError, RefusedError, CorruptError: As `Database.open`. The caller holds the guardian's lock.
    """
    database = Database.open(paths, tail_entries=1 << 62)
    findings = database.findings
    database.close_blocking()
    connection = schema.connect_reader(paths.database)
    try:
        lines = chainwork.mend_mirror(connection, paths.data, paths.mirror)
        findings += [Finding("mirror", line) for line in lines]
        bad = [check.detail for check in (_integrity(connection), _rows(connection)) if not check.ok]
    except (sqlite3.Error, OError) as error:
        bad = [str(error)]
    finally:
        connection.close()
    if bad:
        head, _check = _read_head(paths)
        rebuild(paths, head, findings, bad[0])
    return findings + asyncio.run(_mend_checkpoints(paths))


async def _mend_checkpoints(paths: Paths) -> list[Finding]:
    database = await asyncio.to_thread(Database.open, paths)
    database.start()
    try:
        await Vault(database).verify()
    finally:
        await database.close()
    return database.findings
