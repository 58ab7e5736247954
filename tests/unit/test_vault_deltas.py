"""Checkpoints that are deltas: kept twice as others are, never without their base, whole wherever they go."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
from pathlib import Path

import pytest

from o_tui.guardian import doctor
from o_tui.guardian.storage import backup, vault_bases, vault_files
from o_tui.guardian.storage import vault as vault_module
from o_tui.guardian.storage.vault import Vault
from o_tui.guardian.storage.wal import Wal
from o_tui.paths import Paths, locate
from o_tui.protocol import checkpoint
from o_tui.protocol.errors import CorruptError, NotFoundError, RefusedError
from tests.support.storage import opened, take_checkpoint, take_delta

STATE = random.Random(1).randbytes(300_000)


def edited(number: int) -> bytes:
    """The state after so many edits."""
    state = bytearray(STATE)
    for place in range(number):
        state[place * 30_000 : place * 30_000 + 5] = b"%09d" % place
    return bytes(state)


async def content(vault: Vault, id: str) -> bytes:
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(os.fdopen(descriptor, "rb")) for descriptor in await vault.open_fds(id)]
        return bytes(checkpoint.read(*files)[1]["memory"])


def damage(file: Path) -> None:
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 4
    file.write_bytes(raw)


def file_of(paths: Paths, row: dict[str, object]) -> Path:
    return paths.checkpoints / f"{row['id']}.ckpt"


async def test_what_changed_little_is_a_delta_over_the_newest_full_one(workspace: Paths) -> None:
    async with opened(workspace) as database:
        wal, vault = Wal(database), Vault(database)
        base = await take_delta(vault, wal, memory=STATE)
        first = await take_delta(vault, wal, memory=edited(1))
        second = await take_delta(vault, wal, memory=edited(2))
        assert [row["kind"] for row in (base, first, second)] == ["full", "delta", "delta"]
        assert second["size_bytes"] < 0.2 * base["size_bytes"]
        assert second["uncompressed_bytes"] == pytest.approx(base["uncompressed_bytes"], abs=100)
        for row, number in ((base, 0), (first, 1), (second, 2)):
            assert await content(vault, row["id"]) == edited(number)
        shown = await vault.show(second["id"])
        assert shown["sections"] == [{"name": "memory", "size_bytes": len(edited(2))}]
        compared = await vault.compare(first["id"], base["id"])
        assert [section["equal"] for section in compared["sections"]] == [False]
        assert await vault.verify() == {"ok": True, "usable": True, "problems": [], "checked": 3}


async def test_after_so_many_deltas_or_for_another_state_a_full_one_is_due(
    workspace: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vault_bases, "DELTAS", 2)
    async with opened(workspace) as database:
        wal, vault = Wal(database), Vault(database)
        rows = [await take_delta(vault, wal, memory=edited(number)) for number in range(5)]
        rows.append(await take_delta(vault, wal, memory=os.urandom(300_000)))
        assert [row["kind"] for row in rows] == ["full", "delta", "delta", "full", "delta", "full"]
        (workspace.checkpoints / f"{rows[-1]['id']}.ckpt").unlink()
        assert (await take_delta(vault, wal, memory=STATE))["kind"] == "full"


async def test_a_base_stays_for_as_long_as_a_delta_needs_it(workspace: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(workspace) as database:
        wal, vault = Wal(database), Vault(database)
        base = await take_delta(vault, wal, memory=STATE)
        delta = await take_delta(vault, wal, memory=edited(1))
        await vault.pin(delta["id"])
        for _ in range(3):
            await take_checkpoint(vault, wal)
        assert await vault.retain(2) == 1
        assert base["id"] not in {row["id"] for row in await vault.list()}
        monkeypatch.setattr(vault_module, "UNDELETE_S", 0.0)
        assert await vault.retain(2) == 0
        assert await content(vault, delta["id"]) == edited(1)
        await vault.pin(delta["id"], False)
        assert await vault.retain(2) == 2
        with pytest.raises(NotFoundError):
            await vault.get(base["id"])
        assert len(list(workspace.checkpoints.iterdir())) == 2


async def test_deleting_a_base_leaves_its_deltas_whole(workspace: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault_module, "UNDELETE_S", 0.0)
    async with opened(workspace) as database:
        wal, vault = Wal(database), Vault(database)
        base = await take_delta(vault, wal, memory=STATE)
        delta = await take_delta(vault, wal, memory=edited(1))
        await vault.delete(base["id"])
        assert await vault.retain(50) == 0
        assert await content(vault, delta["id"]) == edited(1)
        assert (await take_delta(vault, wal, memory=edited(2)))["kind"] == "full"


async def test_a_delta_leaves_as_a_full_one_and_comes_back(workspace: Paths, folder: Path) -> None:
    target, raw = folder / "out.ckpt", folder / "raw.ckpt"
    async with opened(workspace) as database:
        wal, vault = Wal(database), Vault(database)
        await take_delta(vault, wal, memory=STATE)
        delta = await take_delta(vault, wal, memory=edited(1))
        await vault.export(delta["id"], str(target))
        with target.open("rb") as file:
            header, sections = checkpoint.read(file)
        assert (header.flags, str(header.checkpoint_id)) == (0, delta["id"])
        assert bytes(sections["memory"]) == edited(1)
        assert (await vault.import_(str(target)))["id"] == delta["id"]
        shutil.copy(file_of(workspace, delta), raw)
        with pytest.raises(RefusedError, match="delta"):
            await vault.import_(str(raw))
        assert sorted(file.name for file in workspace.checkpoints.iterdir()) == sorted(
            f"{row['id']}.ckpt" for row in await vault.list()
        )
    elsewhere = locate(str(folder / "elsewhere"))
    elsewhere.prepare()
    async with opened(elsewhere) as database:
        vault = Vault(database)
        imported = await vault.import_(str(target))
        assert await content(vault, imported["id"]) == edited(1)


@pytest.mark.parametrize("which", ["base", "delta"])
async def test_a_damaged_file_of_a_pair_is_mended_from_its_rows(workspace: Paths, which: str) -> None:
    async with opened(workspace) as database:
        wal, vault = Wal(database), Vault(database)
        pair = {
            "base": await take_delta(vault, wal, memory=STATE),
            "delta": await take_delta(vault, wal, memory=edited(1)),
        }
        damage(file_of(workspace, pair[which]))
        assert await content(vault, pair["delta"]["id"]) == edited(1)
        assert pair[which]["id"] in database.findings[0].text
        assert (await vault.verify())["ok"]
        assert len(list((workspace.data / "quarantine").iterdir())) == 1


async def test_a_base_of_which_no_copy_is_good_is_named_and_others_go_on(workspace: Paths) -> None:
    async with opened(workspace) as database:
        wal, vault = Wal(database), Vault(database)
        old = await take_checkpoint(vault, wal, 1_000)
        await wal.append_one("r", 0, "turn_add", b"")
        base = await take_delta(vault, wal, memory=STATE)
        await wal.append_one("r", 1, "turn_add", b"")
        delta = await take_delta(vault, wal, memory=edited(1))
        damage(file_of(workspace, base))
        await database.write(lambda c: c.execute("DELETE FROM checkpoint_parts WHERE checkpoint_id = ?", (base["id"],)))
        with pytest.raises(CorruptError, match=base["id"]):
            await vault.open_fds(delta["id"])
        report = await vault.verify(delta["id"])
        assert (report["ok"], report["usable"]) == (False, False)
        assert base["id"] in report["problems"][0]
        plans = await vault.recovery_plans()
        assert [plan.checkpoint_id for plan in plans[:3]] == [delta["id"], base["id"], old["id"]]
        os.close((await vault.open_fds(old["id"]))[0])
        # what is taken next does not stand on it
        assert (await take_delta(vault, wal, memory=edited(2)))["kind"] == "full"


async def test_a_missing_base_is_said_by_the_doctor(workspace: Paths) -> None:
    async with opened(workspace) as database:
        wal, vault = Wal(database), Vault(database)
        base = await take_delta(vault, wal, memory=STATE)
        delta = await take_delta(vault, wal, memory=edited(1))
        await database.write(lambda c: c.execute("DELETE FROM checkpoints WHERE id = ?", (base["id"],)))
        with pytest.raises(CorruptError, match="its base is gone"):
            await vault.open_fds(delta["id"])
    (found,) = [check for check in doctor.checks(workspace) if check["name"] == "checkpoints"]
    assert not found["ok"]
    assert f"the base of {delta['id'][:8]} is gone" in found["detail"]


async def test_deltas_outlive_their_database_and_travel_in_a_backup(workspace: Paths, folder: Path) -> None:
    async with opened(workspace) as database:
        wal, vault = Wal(database), Vault(database)
        await take_delta(vault, wal, memory=STATE)
        await wal.append_one("r", 0, "turn_add", b"")
        delta = await take_delta(vault, wal, memory=edited(1))
        await backup.backup(database, workspace, str(folder / "all.tar.zst"))
    elsewhere = locate(str(folder / "elsewhere"))
    await asyncio.to_thread(backup.restore, folder / "all.tar.zst", elsewhere)
    async with opened(elsewhere) as database:
        assert await content(Vault(database), delta["id"]) == edited(1)
        assert (await Vault(database).verify())["ok"]
    for file in workspace.data.glob("o.db*"):
        file.unlink()
    shutil.rmtree(workspace.mirror)
    workspace.prepare()
    async with opened(workspace) as database:
        vault = Vault(database)
        assert (await vault.recovery_plans())[0].checkpoint_id == delta["id"]
        assert await content(vault, delta["id"]) == edited(1)


async def test_a_delta_of_another_base_than_it_was_given_is_refused(workspace: Paths) -> None:
    async with opened(workspace) as database:
        wal, vault = Wal(database), Vault(database)
        await take_delta(vault, wal, memory=STATE)
        delta = await take_delta(vault, wal, memory=edited(1))
        pending = await vault.begin(reason="a lie")
        descriptor = os.open(file_of(workspace, delta), os.O_RDONLY)
        vault_files.copy_bytes(descriptor, pending.fd)
        os.close(descriptor)
        with pytest.raises(CorruptError):
            await vault.commit(pending)
        assert len(await vault.list()) == 2
