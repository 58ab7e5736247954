from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sqlite3
import sys
import tarfile
import threading
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import pytest
import zstandard

from o_tui.guardian import doctor
from o_tui.guardian.storage import backup, schema
from o_tui.guardian.storage import database as module
from o_tui.guardian.storage.database import Database
from o_tui.guardian.storage.journal import Journal, Request
from o_tui.guardian.storage.mirror import segment_paths
from o_tui.guardian.storage.rows import TABLES
from o_tui.guardian.storage.vault import Vault
from o_tui.guardian.storage.wal import Wal
from o_tui.paths import Paths, locate
from o_tui.protocol.errors import CorruptError, NotFoundError, OError, PeerError, RefusedError
from tests.support.patience import PATIENCE_S
from tests.support.storage import accept, finish, opened, take_checkpoint


def pragma(connection: sqlite3.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


async def test_the_file_is_what_the_design_says(workspace: Paths) -> None:
    async with opened(workspace) as database:
        names = ("journal_mode", "synchronous", "foreign_keys", "wal_autocheckpoint", "application_id", "user_version")
        found = await database.write(lambda connection: [pragma(connection, name) for name in names])
        assert found == ["wal", 2, 1, 0, schema.APPLICATION_ID, len(schema.migrations())]
        with pytest.raises(sqlite3.DatabaseError):
            await database.read("DELETE FROM probe")


def test_the_tables_are_described_as_they_are() -> None:
    connection = sqlite3.connect(":memory:")
    for script in schema.migrations():
        connection.executescript(script)
    for table in TABLES.values():
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table.name})")]
        assert columns == [*table.columns, *(["sum"] if table.checked else [])]
    connection.close()


async def test_a_job_that_fails_is_taken_back_alone(workspace: Paths) -> None:
    async with opened(workspace) as database:

        def good(number: int) -> Any:
            return database.write(lambda c: c.execute("INSERT INTO probe VALUES (?, x'')", (number,)).rowcount)

        def bad(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO probe VALUES (77, x'')")
            raise NotFoundError("not this one")

        results = await asyncio.gather(good(1), database.write(bad), good(2), good(1), good(3), return_exceptions=True)
        assert [type(result) for result in results] == [int, NotFoundError, int, sqlite3.IntegrityError, int]
        assert await database.read("SELECT id FROM probe ORDER BY id") == [(1,), (2,), (3,)]


async def test_slices_let_those_go_first_who_wait_for_an_acknowledgement(workspace: Paths) -> None:
    async with opened(workspace) as database:
        order: list[str] = []
        slices = [asyncio.ensure_future(database.slice(lambda _c: order.append("slice"))) for _ in range(5)]
        jobs = [asyncio.ensure_future(database.write(lambda _c: order.append("job"))) for _ in range(5)]
        await asyncio.gather(*slices, *jobs)
        assert order[-3:] == ["slice"] * 3


async def test_everything_is_written_by_one_thread_and_never_by_the_loop(workspace: Paths) -> None:
    async with opened(workspace) as database:
        names = {await database.write(lambda _c: threading.current_thread().name) for _ in range(3)}
        names |= {await database.slice(lambda _c: threading.current_thread().name)}
        assert names == {"storage"}


async def test_the_wal_file_is_checkpointed_when_idle_and_under_load(workspace: Paths) -> None:
    async with opened(workspace) as database:
        wal = Wal(database)
        for _ in range(30):
            await asyncio.gather(*(wal.append_one("r", n, "turn_add", bytes(3_000)) for n in range(100)))
        assert workspace.database.stat().st_size > 4_000_000
        wal_file = workspace.data / "o.db-wal"
        assert wal_file.stat().st_size < 9_100_000 * 2
    assert not wal_file.exists()


def test_nothing_but_a_started_database_can_be_written(workspace: Paths) -> None:
    database = Database.open(workspace)
    with pytest.raises(OError, match="not started"):
        database.enqueue(lambda _connection: None, lambda _result: None)
    database.close_blocking()


async def test_entries_of_open_requests_are_never_compacted(workspace: Paths) -> None:
    async with opened(workspace) as database:
        wal = Wal(database)
        journal = Journal(database, wal)
        for number in range(5):
            await wal.append_one("before", number, "turn_add", b"")
        await accept(journal, Request("open", "text"))
        for number in range(5):
            await wal.append_one("open", number, "turn_add", b"")
        assert await wal.compact(9) == 5
        (request,) = await journal.unfinished()
        assert request.committed == 5
        await finish(journal, "open")
        assert await wal.compact(9) == 4


# --- backup


async def _filled(paths: Paths) -> dict[str, Any]:
    (paths.genome / ".git" / "objects").mkdir(parents=True)
    (paths.genome / ".git" / "objects" / "ab").write_bytes(b"object")
    (paths.genome / "genome.toml").write_text("name = 'seed'")
    paths.config_file.write_text("[brain]\n")
    paths.keys_file.write_text("secret")
    async with opened(paths) as database:
        wal, vault = Wal(database), Vault(database)
        journal = Journal(database, wal)
        await accept(journal, Request("a", "text"))
        for number in range(50):
            await wal.append_one("r", number, "turn_add", b"data")
        row = await take_checkpoint(vault, wal)
        target = paths.data / "out.tar.zst"
        await backup.backup(database, paths, str(target))
        assert target.stat().st_mode & 0o777 == 0o600
        return {"digest": wal.digest, "checkpoint": row["id"], "path": target}


async def test_a_workspace_comes_back_from_its_backup(workspace: Paths, folder: Path) -> None:
    kept = await _filled(workspace)
    other = locate(str(folder / "other"))
    result = await asyncio.to_thread(backup.restore, kept["path"], other)
    assert result["files"] == 5
    assert (other.genome / ".git" / "objects" / "ab").read_bytes() == b"object"
    assert other.config_file.exists()
    assert not other.keys_file.exists()
    async with opened(other) as database:
        assert database.findings == []
        wal, vault = Wal(database), Vault(database)
        assert (wal.seq, wal.digest) == (50, kept["digest"])
        assert (await vault.verify())["ok"]
        assert [request.request_id for request in await Journal(database, wal).load()] == ["a"]
    # the genome of this test is a few bytes in the right places, not a repository
    assert [check["name"] for check in doctor.checks(other) if not check["ok"]] == ["genome"]


async def test_a_workspace_that_is_not_empty_is_only_replaced_by_force(workspace: Paths) -> None:
    kept = await _filled(workspace)
    async with opened(workspace) as database:
        await Wal(database).append_one("r", 50, "turn_add", b"later")
    with pytest.raises(RefusedError, match="not empty"):
        await asyncio.to_thread(backup.restore, kept["path"], workspace)
    result = await asyncio.to_thread(lambda: backup.restore(kept["path"], workspace, force=True))
    assert (workspace.data / "quarantine" / str(result["replaced"]) / "o.db").exists()
    async with opened(workspace) as database:
        assert (Wal(database).seq, database.findings) == (50, [])


def _archive(target: Path, members: list[tarfile.TarInfo]) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
        body = json.dumps({"format": 1, "files": {}}).encode()
        manifest = tarfile.TarInfo("manifest.json")
        manifest.size = len(body)
        tar.addfile(manifest, io.BytesIO(body))
    target.write_bytes(zstandard.compress(raw.getvalue()))


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "genome/../../evil", "other/file", "config/../../x"])
def test_a_backup_that_points_outside_is_refused(folder: Path, name: str) -> None:
    _archive(folder / "bad.tar.zst", [tarfile.TarInfo(name)])
    paths = locate(str(folder / "w"))
    with pytest.raises(RefusedError, match="does not belong"):
        backup.restore(folder / "bad.tar.zst", paths)
    assert not paths.database.exists()
    assert not (folder / "evil").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_a_backup_with_links_or_devices_is_refused(folder: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("genome/link")
    member.type, member.linkname = kind, "/etc/passwd"
    _archive(folder / "bad.tar.zst", [member])
    with pytest.raises(RefusedError, match="does not belong"):
        backup.restore(folder / "bad.tar.zst", locate(str(folder / "w")))


@pytest.mark.parametrize("damage", ["text", "cut", "flip", "empty"])
async def test_a_damaged_backup_leaves_the_workspace_as_it_was(workspace: Paths, folder: Path, damage: str) -> None:
    kept = await _filled(workspace)
    raw = bytearray(kept["path"].read_bytes())
    if damage == "flip":
        raw[len(raw) // 2] ^= 1
    bad = folder / "bad.tar.zst"
    bad.write_bytes({"text": b"hello", "cut": bytes(raw[:-100]), "flip": bytes(raw), "empty": b""}[damage])
    other = locate(str(folder / "other"))
    with pytest.raises(CorruptError):
        await asyncio.to_thread(backup.restore, bad, other)
    assert not other.database.exists()
    assert [path.name for path in other.data.iterdir() if path.name.startswith("restore-")] == []


# --- the doctor


async def test_the_doctor_finds_nothing_with_and_without_a_guardian(workspace: Paths) -> None:
    async with opened(workspace) as database:
        wal = Wal(database)
        for number in range(20):
            await wal.append_one("r", number, "turn_add", b"")
        await take_checkpoint(Vault(database), wal)
        checks = await asyncio.to_thread(doctor.checks, workspace)
        assert [check for check in checks if not check["ok"]] == []
    checks = doctor.checks(workspace)
    assert [check for check in checks if not check["ok"]] == []
    details = {check["name"]: check["detail"] for check in checks}
    assert sqlite3.sqlite_version in details["sqlite"]
    assert ("3.51.3" in details["sqlite"]) == (sqlite3.sqlite_version_info < (3, 51, 3))
    assert details["wal"] == "entries 1 to 20"


def test_the_doctor_looks_at_an_empty_workspace_without_making_anything(workspace: Paths) -> None:
    before = sorted(workspace.data.rglob("*"))
    details = {check["name"]: check["detail"] for check in doctor.checks(workspace)}
    assert details["database"] == "not made yet"
    assert sorted(workspace.data.rglob("*")) == before


def test_the_doctor_has_nothing_against_a_folder_that_is_not_made_yet(folder: Path) -> None:
    place = locate(str(folder / "not" / "there"))
    checks = {check["name"]: check for check in doctor.checks(place)}
    assert all(check["ok"] for check in checks.values()), checks
    assert "not made yet" in checks["folder"]["detail"]
    assert list(folder.iterdir()) == []


async def test_the_doctor_names_a_row_that_was_changed_and_mends_it(workspace: Paths) -> None:
    async with opened(workspace) as database:
        journal = Journal(database, Wal(database))
        await accept(journal, Request("a", "what I said"))
        await finish(journal, "a", text="what it answered")
    connection = sqlite3.connect(workspace.database)
    connection.execute("UPDATE requests SET text = 'what I never said'")
    connection.commit()
    connection.close()
    bad = [check for check in doctor.checks(workspace) if not check["ok"]]
    assert [check["name"] for check in bad] == ["rows"]
    assert "requests 1" in bad[0]["detail"]
    findings = await asyncio.to_thread(doctor.mend, workspace)
    assert any("built anew" in finding.text for finding in findings)
    async with opened(workspace) as database:
        row = await Journal(database, Wal(database)).get("a")
        assert (row["text"], row["answer"]) == ("what I said", "what it answered")


async def test_what_is_durable_is_not_written_twice_when_its_mirror_fails(
    workspace: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: asyncio.Queue[bool] = asyncio.Queue()
    database = await asyncio.to_thread(Database.open, workspace)
    database.start(lambda read_only, _text: states.put_nowait(read_only))
    wal = Wal(database)

    def damaged(*_: object) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    async with asyncio.timeout(PATIENCE_S):
        with monkeypatch.context() as patch:
            patch.setattr(module, "extend_mirror", damaged)
            database._mirror_behind = True
            assert await wal.append_one("a", 0, "turn_add", b"once") == 1
            assert await states.get(), "nobody was told"
            with pytest.raises(PeerError, match="beside the database"):
                await wal.append_one("a", 1, "turn_add", b"not now")
        assert not await states.get()
        assert await wal.append_one("a", 1, "turn_add", b"now") == 2
        assert [row["position"] for row in await wal.describe()] == [0, 1]
        assert (await wal.verify())["ok"]
        await database.close()


async def test_the_writer_outlives_whatever_goes_wrong_while_it_is_idle(
    workspace: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(workspace) as database:
        wal = Wal(database)
        failed = threading.Event()

        def broken() -> None:
            failed.set()
            raise RuntimeError("a defect")

        with monkeypatch.context() as patch:
            patch.setattr(database._rows, "sync", broken)
            await wal.append_one("a", 0, "turn_add", b"")
            assert await asyncio.to_thread(failed.wait, 10)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    assert await wal.append_one("a", 1, "turn_add", b"") == 2
                    break
                except PeerError:
                    await asyncio.sleep(0.05)


async def test_a_damaged_file_is_a_typed_error_for_longer_reads_too(workspace: Paths) -> None:
    async with opened(workspace) as database:

        def damaged(_connection: sqlite3.Connection) -> None:
            error = sqlite3.DatabaseError("database disk image is malformed")
            error.sqlite_errorcode = 11
            raise error

        with pytest.raises(CorruptError, match=r"o\.db is damaged"):
            await database.call_reader(damaged)


async def test_a_mirror_that_a_kill_has_cut_off_in_an_entry_goes_on_without_a_word(workspace: Paths) -> None:
    async with opened(workspace) as database:
        await Wal(database).append_one("a", 0, "turn_add", bytes(100))
    (segment,) = segment_paths(workspace.mirror)
    whole = segment.read_bytes()
    for cut in (1, 3, 4, 60, len(whole) - 1):
        segment.write_bytes(whole[:cut])
        async with opened(workspace) as database:
            assert database.findings == []
        assert segment.read_bytes() == whole
    segment.write_bytes(whole[:59] + b"x")
    async with opened(workspace) as database:
        assert [finding.kind for finding in database.findings] == ["mirror"]


def test_a_kill_at_any_moment_of_the_first_start_leaves_a_workspace_that_opens(folder: Path) -> None:
    """The child ends at each line of making the database in turn, until it gets to its end."""
    for line in range(1, 200):
        paths = locate(str(folder / str(line)))
        paths.prepare()
        pid = os.fork()
        if pid == 0:
            _create_until(paths.database, line)
        ended_early = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        database = Database.open(paths)
        assert database.opened.seq == 0 and not database.opened.findings
        database.close_blocking()
        if not ended_early:
            break
    assert 10 < line < 199, "the child has not been killed, or has never come to its end"


def _create_until(path: Path, line: int) -> NoReturn:
    left = line

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename != schema.__file__:
            return None
        left -= event == "line"
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    try:
        sys.settrace(trace)
        schema.create(path)
    finally:
        os._exit(0)


async def test_an_empty_file_in_place_of_the_database_is_built_anew(workspace: Paths) -> None:
    async with opened(workspace) as database:
        await Wal(database).append_one("r", 0, "turn_add", b"kept")
    workspace.database.write_bytes(b"")
    async with opened(workspace) as database:
        found = [finding.text for finding in database.opened.findings]
        assert any("built anew (the database is empty)" in text for text in found), found
        assert await database.read("SELECT seq FROM wal") == [(1,)]


@pytest.mark.parametrize("kind", ["a pipe", "a device", "a folder"])
async def test_what_is_no_file_in_a_mirror_is_put_aside_and_not_waited_for(workspace: Paths, kind: str) -> None:
    async with opened(workspace) as database:
        await Wal(database).append_one("r", 0, "turn_add", b"kept")
    for path in workspace.mirror.glob("*.log"):
        path.unlink()
        if kind == "a pipe":
            os.mkfifo(path)
        elif kind == "a device":
            path.symlink_to("/dev/zero")
        else:
            path.mkdir()
    async with opened(workspace) as database:
        assert await database.read("SELECT seq FROM wal") == [(1,)]
        assert {finding.kind for finding in database.opened.findings} == {"mirror"}
    assert all(path.is_file() for path in workspace.mirror.iterdir())
