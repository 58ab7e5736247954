from __future__ import annotations

import os
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_tui.guardian.storage import vault as vault_module
from o_tui.guardian.storage.plan import Known, RecoveryPlan, Restored, plans
from o_tui.guardian.storage.vault import Vault
from o_tui.guardian.storage.wal import Wal
from o_tui.paths import Paths, locate
from o_tui.protocol import checkpoint
from o_tui.protocol.errors import CorruptError, NotFoundError, OError, RefusedError, UsageError
from o_tui.protocol.operations import StateRestore, pack
from o_tui.ui import snapshot_model
from o_tui.ui.snapshot_model import Model
from tests.support.storage import opened, take_checkpoint

ZERO = bytes(32)


def read(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def flip(file: Path, at: int) -> None:
    raw = bytearray(file.read_bytes())
    raw[at] ^= 4
    file.write_bytes(raw)


async def test_a_checkpoint_is_kept_twice_and_private(workspace: Paths) -> None:
    async with opened(workspace) as database:
        wal, vault = Wal(database), Vault(database)
        await wal.append_one("r", 0, "turn_add", b"")
        row = await take_checkpoint(vault, wal, 200_000)
        file = workspace.checkpoints / f"{row['id']}.ckpt"
        assert file.stat().st_mode & 0o777 == 0o600
        assert (row["seq"], row["file_ok"], row["rows_ok"], row["pinned"], row["deleted"]) == (
            1,
            True,
            True,
            False,
            False,
        )
        content = file.read_bytes()
        assert read(await vault.open_fd(row["id"])) == content
        rows = await database.read("SELECT data FROM checkpoint_parts ORDER BY part")
        assert b"".join(data for (data,) in rows) == content
        assert max(len(data) for (data,) in rows) == 64 * 1024
        shown = await vault.show(row["id"][:8])
        assert [section["name"] for section in shown["sections"]] == ["meta", "memory"]
        assert await vault.verify() == {"ok": True, "usable": True, "problems": [], "checked": 1}


async def test_after_a_jump_of_the_clock_the_log_says_which_is_newer(
    workspace: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(workspace) as database:
        wal, vault, made = Wal(database), Vault(database), list[str]()
        for time_ns in (2_000, 9_000, 1_000):
            await wal.append_one("r", 0, "turn_add", b"")
            monkeypatch.setattr(time, "time_ns", lambda now=time_ns: now)
            made.append((await take_checkpoint(vault, wal))["id"])
        assert [row["id"] for row in await vault.list()] == made[::-1]
        assert [row["id"] for row in await vault.list(limit=1)] == made[2:]
        monkeypatch.undo()
        await vault.export(made[2], str(tmp_path / "of-another-log.ckpt"))
        await vault.delete(made[2])
        monkeypatch.setattr(vault_module, "UNDELETE_S", -1.0)
        await vault.retain(3)
        await vault.import_(str(tmp_path / "of-another-log.ckpt"))
        assert [row["id"] for row in await vault.list()] == [made[1], made[0], made[2]]
        model = Model()
        rows = await vault.list()
        snapshot_model.load(model, 1, {"checkpoints": rows[::-1]})
        assert [row["id"] for row in model.checkpoints] == [made[1], made[0], made[2]]


@pytest.mark.parametrize("damage", ["flip", "cut", "longer", "gone", "pipe", "device"])
async def test_a_bad_file_is_put_aside_and_written_again_from_the_rows(workspace: Paths, damage: str) -> None:
    async with opened(workspace) as database:
        wal, vault = Wal(database), Vault(database)
        row = await take_checkpoint(vault, wal)
        file = workspace.checkpoints / f"{row['id']}.ckpt"
        content = file.read_bytes()
        if damage == "flip":
            flip(file, 300)
        elif damage == "cut":
            file.write_bytes(content[:-1])
        elif damage == "longer":
            file.write_bytes(content + b"x")
        else:
            file.unlink()
        if damage == "pipe":
            os.mkfifo(file)
        elif damage == "device":
            file.symlink_to("/dev/zero")
        assert read(await vault.open_fd(row["id"])) == content
        assert file.read_bytes() == content
        assert len(database.findings) == 1
        kept = list((workspace.data / "quarantine").glob("*.ckpt.*"))
        assert len(kept) == (damage != "gone")
        assert (await vault.verify())["ok"]


async def test_bad_rows_are_written_again_from_the_file_and_two_bad_copies_are_said(workspace: Paths) -> None:
    async with opened(workspace) as database:
        wal, vault = Wal(database), Vault(database)
        row = await take_checkpoint(vault, wal)
        await database.write(lambda c: c.execute("UPDATE checkpoint_parts SET data = x'00' WHERE part = 0"))
        report = await vault.verify(row["id"])
        assert (report["ok"], report["usable"]) == (False, True)
        assert "rows are damaged" in report["problems"][0]
        assert (await vault.verify())["ok"]
        await database.write(lambda c: c.execute("DELETE FROM checkpoint_parts"))
        flip(workspace.checkpoints / f"{row['id']}.ckpt", 280)
        with pytest.raises(CorruptError, match="no copy is good"):
            await vault.open_fd(row["id"])
        report = await vault.verify()
        assert (report["ok"], report["usable"]) == (False, False)


async def test_a_checkpoint_that_was_not_written_whole_is_refused_and_kept_aside(workspace: Paths) -> None:
    async with opened(workspace) as database:
        vault = Vault(database)
        pending = await vault.begin(uuid.uuid4(), "test")
        os.write(pending.fd, b"half of it")
        with pytest.raises(CorruptError):
            await vault.commit(pending)
        other = await vault.begin(uuid.uuid4(), "test")
        await vault.abandon(other)
        assert list(workspace.checkpoints.iterdir()) == []
        assert len(list((workspace.data / "quarantine").iterdir())) == 1
        assert await vault.list() == []


async def test_delete_can_be_taken_back_until_it_is_purged(workspace: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(workspace) as database:
        wal, vault = Wal(database), Vault(database)
        row = await take_checkpoint(vault, wal)
        assert (await vault.delete(row["id"]))["deleted"]
        assert await vault.list() == []
        assert len(await vault.list(deleted=True)) == 1
        assert await vault.retain(50) == 0
        assert not (await vault.undelete(row["id"]))["deleted"]
        await vault.pin(row["id"])
        with pytest.raises(RefusedError, match="pinned"):
            await vault.delete(row["id"])
        await vault.pin(row["id"], False)
        await vault.delete(row["id"])
        monkeypatch.setattr(vault_module, "UNDELETE_S", 0.0)
        assert await vault.retain(50) == 1
        with pytest.raises(NotFoundError):
            await vault.undelete(row["id"])
        assert list(workspace.checkpoints.iterdir()) == []
        assert await database.read("SELECT count(*) FROM checkpoint_parts") == [(0,)]


async def test_retention_keeps_the_newest_the_pinned_and_what_the_log_needs(workspace: Paths) -> None:
    async with opened(workspace) as database:
        wal, vault = Wal(database), Vault(database)
        rows = []
        for number in range(6):
            await wal.append_one("r", number, "turn_add", b"")
            rows.append(await take_checkpoint(vault, wal, 10))
        await vault.pin(rows[0]["id"])
        operation = StateRestore(checkpoint_id=rows[1]["id"], checkpoint_seq=2)
        await wal.append_one("", 0, *pack(operation))
        with pytest.raises(RefusedError, match="needs it"):
            await vault.delete(rows[1]["id"])
        assert await vault.retain(2) == 2
        assert {row["seq"] for row in await vault.list()} == {1, 2, 5, 6}
        assert await vault.oldest_seq() == 0
        await vault.prove(rows[5]["id"])
        assert await vault.oldest_seq() == 2
        assert await vault.newest_seq() == 6


async def test_comparing_names_what_differs(workspace: Paths) -> None:
    async with opened(workspace) as database:
        wal, vault = Wal(database), Vault(database)
        a = await take_checkpoint(vault, wal, 10, extra=b"same", only=b"a")
        await wal.append_one("r", 0, "turn_add", b"")
        b = await take_checkpoint(vault, wal, 20, extra=b"same")
        found = await vault.compare(a["id"], b["id"])
        assert (found["seq_difference"], found["same_revision"]) == (1, True)
        sections = {section.pop("name"): section for section in found["sections"]}
        assert sections["extra"] == {"a_bytes": 4, "b_bytes": 4, "equal": True}
        assert sections["only"] == {"a_bytes": 1, "b_bytes": -1, "equal": False}
        assert sections["memory"] == {"a_bytes": 10, "b_bytes": 20, "equal": False}


async def test_a_checkpoint_travels_but_is_no_base_elsewhere(workspace: Paths, folder: Path) -> None:
    target = folder / "out.ckpt"
    async with opened(workspace) as database:
        wal, vault = Wal(database), Vault(database)
        await wal.append_one("r", 0, "turn_add", b"")
        row = await take_checkpoint(vault, wal)
        await vault.export(row["id"], str(target))
        assert target.stat().st_mode & 0o777 == 0o600
        with pytest.raises(RefusedError, match="exists"):
            await vault.export(row["id"], str(target))
        with pytest.raises(UsageError):
            await vault.export(row["id"], str(folder / "none" / "out.ckpt"))
        assert (await vault.import_(str(target)))["id"] == row["id"]
        assert len(await vault.list()) == 1
    other = locate(str(folder / "other"))
    other.prepare()
    async with opened(other) as database:
        vault = Vault(database)
        imported = await vault.import_(str(target))
        assert (imported["origin"], imported["seq"]) == ("imported", 1)
        assert read(await vault.open_fd(imported["id"])) == target.read_bytes()
        assert await vault.recovery_plans() == []
        assert await vault.newest_seq() == 0
    async with opened(other) as database:
        assert database.findings == []


@pytest.mark.parametrize("damage", ["text", "flip", "cut", "section", "pipe", "gone"])
async def test_a_bad_file_is_not_imported(workspace: Paths, folder: Path, damage: str) -> None:
    target = folder / "in.ckpt"
    async with opened(workspace) as database:
        vault = Vault(database)
        header = checkpoint.Header(uuid.uuid4(), 1, 5, 0, 0, b"", ZERO)
        with target.open("w+b") as file:
            checkpoint.write(file, {"meta": b"12345"}, header)
        if damage == "text":
            target.write_text("not a checkpoint")
        elif damage in ("flip", "section"):
            flip(target, 270 if damage == "flip" else 60)
        elif damage == "cut":
            target.write_bytes(target.read_bytes()[:-2])
        else:
            target.unlink()
            if damage == "pipe":
                os.mkfifo(target)
        with pytest.raises(OError):
            await vault.import_(str(target))
        assert await vault.list() == []
        assert list(workspace.checkpoints.iterdir()) == []


async def test_files_come_back_into_a_database_that_was_lost(workspace: Paths) -> None:
    async with opened(workspace) as database:
        wal, vault = Wal(database), Vault(database)
        for number in range(5):
            await wal.append_one("r", number, "turn_add", b"")
        row = await take_checkpoint(vault, wal)
        await wal.append_one("r", 5, "turn_add", b"")
        digest = wal.digest
    workspace.database.unlink()
    async with opened(workspace) as database:
        assert any(finding.level == "error" for finding in database.findings)
        assert (Wal(database).seq, Wal(database).digest) == (6, digest)
        assert await Vault(database).recovery_plans() == [RecoveryPlan(row["id"], after_seq=5)]
        assert (await Vault(database).verify())["usable"]


async def test_without_database_and_mirror_numbers_go_on_behind_the_newest_checkpoint(workspace: Paths) -> None:
    async with opened(workspace) as database:
        wal, vault = Wal(database), Vault(database)
        for number in range(5):
            await wal.append_one("r", number, "turn_add", b"")
        row = await take_checkpoint(vault, wal)
    workspace.database.unlink()
    for file in workspace.mirror.iterdir():
        file.unlink()
    async with opened(workspace) as database:
        wal = Wal(database)
        assert any("goes on from the checkpoint" in finding.text for finding in database.findings)
        assert (await Vault(database).recovery_plans())[0] == RecoveryPlan(row["id"], after_seq=5)
        assert await wal.append_one("r", 5, "turn_add", b"") == 6
        assert (await wal.verify())["ok"]


# --- planning


def test_the_newest_checkpoint_is_the_base() -> None:
    known = [Known("old", 5), Known("new", 9), Known("foreign", 50, own=False)]
    assert [(plan.checkpoint_id, plan.seq, plan.after_seq) for plan in plans(known, [], 0, ZERO)] == [
        ("new", -1, 9),
        ("old", -1, 5),
        ("", -1, 0),
    ]


def test_a_restore_behind_the_newest_checkpoint_makes_the_restored_one_the_base() -> None:
    known = [Known("old", 5), Known("new", 9)]
    restores = [Restored(7, b"7", "older"), Restored(12, b"c", "old")]
    (first, *rest) = plans(known, restores, 0, ZERO)
    assert first == RecoveryPlan("old", 12, b"c", 12)
    assert all(plan.problem == "" for plan in rest)
    assert plans([*known, Known("newest", 13)], restores, 0, ZERO)[0] == RecoveryPlan("newest", after_seq=13)


def test_an_imported_checkpoint_can_be_what_was_restored() -> None:
    known = [Known("own", 5), Known("foreign", 50, own=False)]
    assert plans(known, [Restored(8, b"8", "foreign")], 0, ZERO)[0] == RecoveryPlan("foreign", 8, b"8", 8)


def test_a_restored_checkpoint_that_is_gone_is_said() -> None:
    (first, *_rest) = plans([Known("own", 5)], [Restored(8, b"8", "gone")], 0, ZERO)
    assert (first.checkpoint_id, first.after_seq) == ("own", 5)
    assert "gone" in first.problem


def test_what_is_older_than_the_compacted_log_is_no_way() -> None:
    (only,) = plans([Known("old", 5)], [], 8, b"8" * 32)
    assert (only.checkpoint_id, only.seq, only.digest, only.after_seq) == ("", 8, b"8" * 32, 8)
    assert "lost" in only.problem


@given(
    st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=8),
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 9)), max_size=4, unique_by=lambda restore: restore[0]),
    st.integers(0, 20),
)
def test_a_plan_without_a_problem_gives_the_state_of_the_whole_log(
    found: Sequence[tuple[int, bool]], restored: Sequence[tuple[int, int]], base: int
) -> None:
    """The state is modelled as where its entries come from: (checkpoint or nothing, entries after which number)."""
    known = [Known(f"c{number}", seq, own) for number, (seq, own) in enumerate(found)]
    restores = [Restored(seq, b"%d" % seq, f"c{target}") for seq, target in sorted(restored) if seq > base]
    last = restores[-1] if restores else None
    for plan in plans(known, restores, base, ZERO):
        if plan.problem:
            continue
        after_restore = last is not None and plan.after_seq < last.seq
        assert not after_restore, "entries before a restore would be applied over it"
        assert plan.after_seq >= base
        if last is not None and plan.after_seq == last.seq and plan.seq >= 0:
            assert plan.checkpoint_id == last.checkpoint_id
        if plan.checkpoint_id and plan.seq < 0:
            (chosen,) = [one for one in known if one.checkpoint_id == plan.checkpoint_id]
            assert chosen.own
            assert chosen.seq == plan.after_seq
