from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o_tui.guardian.storage.database import Database
from o_tui.guardian.storage.wal import Proposed, Wal
from o_tui.paths import Paths, locate
from o_tui.protocol.errors import CorruptError, NotFoundError, OError
from o_tui.protocol.operations import GENESIS, chain, unpack_entry
from tests.support.storage import opened


async def append(wal: Wal, items: list[Proposed]) -> list[bytes]:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    wal.append(items, future.set_result)
    result = await future
    if isinstance(result, BaseException):
        raise result
    return result


proposals = st.builds(
    Proposed,
    request_id=st.text(max_size=20),
    position=st.integers(0, 1 << 40),
    operation=st.text(min_size=1, max_size=20),
    data=st.binary(max_size=300),
)


@settings(max_examples=40)
@given(
    sessions=st.lists(
        st.lists(st.lists(proposals, min_size=1, max_size=5), min_size=1, max_size=8), min_size=1, max_size=3
    )
)
def test_whatever_is_appended_is_a_gapless_chain_that_comes_back(sessions: list[list[list[Proposed]]]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="o-"))
    paths = locate(str(folder))
    paths.prepare()
    expected: list[bytes] = []

    async def session(batches: list[list[Proposed]]) -> None:
        async with opened(paths, segment_bytes=400) as database:
            wal = Wal(database)
            assert database.findings == []
            assert wal.seq == len(expected)
            results = await asyncio.gather(*(append(wal, batch) for batch in batches))
            for batch, packed in zip(batches, results, strict=True):
                entries = [unpack_entry(raw) for raw in packed]
                assert [(e.request_id, e.position, e.operation, e.data) for e in entries] == [
                    (p.request_id, p.position, p.operation, p.data) for p in batch
                ]
                assert {e.epoch for e in entries} == {database.epoch}
                expected.extend(packed)
            digest = GENESIS
            for raw in expected:
                digest = chain(digest, raw)
            assert wal.digest == digest
            assert [unpack_entry(raw).seq for raw in expected] == list(range(1, len(expected) + 1))
            for prefix in range(len(expected) + 1):
                tail = wal.tail(prefix)
                assert tail is None or tail == expected[prefix:]
            assert await wal.read(0, 1_000) == expected
            assert (await wal.verify())["ok"]

    try:
        for batches in sessions:
            asyncio.run(session(batches))
    finally:
        shutil.rmtree(folder)


@settings(max_examples=25)
@given(count=st.integers(2, 60), cuts=st.lists(st.integers(0, 70), max_size=3))
def test_any_prefix_can_be_compacted_and_the_rest_still_verifies(count: int, cuts: list[int]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="o-"))
    paths = locate(str(folder))
    paths.prepare()

    async def run() -> None:
        async with opened(paths, segment_bytes=500) as database:
            wal = Wal(database)
            entries = await append(wal, [Proposed("r", n, "turn_add", bytes(n)) for n in range(count)])
            base = 0
            for cut in cuts:
                removed = await wal.compact(cut)
                assert removed == max(0, min(cut, count - 1) - base)
                base += removed
                report = await wal.verify()
                assert report["ok"], report
                assert report["entries"] == count - base
                assert await wal.first_seq() == base
                assert await wal.read(base, 1_000) == entries[base:]
                if base:
                    with pytest.raises(NotFoundError):
                        await wal.read(base - 1, 10)
            assert await wal.append_one("r", count, "turn_add", b"") == count + 1
        async with opened(paths) as database:
            assert database.findings == []
            assert (await Wal(database).verify())["ok"]

    try:
        asyncio.run(run())
    finally:
        shutil.rmtree(folder)


async def test_one_bad_item_does_not_fail_its_batch(workspace: Paths) -> None:
    async with opened(workspace) as database:
        wal = Wal(database)
        bad = Proposed("r", 0, "turn_add", "not bytes")  # type: ignore[arg-type]
        results = await asyncio.gather(
            append(wal, [Proposed("r", 0, "turn_add", b"1")]),
            append(wal, [Proposed("r", 1, "turn_add", b"2"), bad]),
            append(wal, [Proposed("r", 1, "turn_add", b"3")]),
            return_exceptions=True,
        )
        assert isinstance(results[1], sqlite3.IntegrityError)
        assert [unpack_entry(raw).data for raw in await wal.read(0, 10)] == [b"1", b"3"]
        assert (await wal.verify())["ok"]


async def test_acknowledgements_come_in_the_order_of_the_numbers(workspace: Paths) -> None:
    async with opened(workspace) as database:
        wal = Wal(database)
        order: list[int] = []
        last: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(result: list[bytes] | OError) -> None:
            assert isinstance(result, list)
            order.append(unpack_entry(result[0]).seq)
            assert wal.seq >= order[-1]
            if len(order) == 3_000:
                last.set_result(None)

        for number in range(3_000):
            wal.append([Proposed("r", number, "turn_add", bytes(100))], done)
        await last
        assert order == list(range(1, 3_001))


async def test_a_callback_that_raises_does_not_keep_the_others_from_hearing(workspace: Paths) -> None:
    async with opened(workspace) as database:
        problems: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: problems.append(context))
        wal = Wal(database)
        heard: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        wal.append([Proposed("r", 0, "turn_add", b"")], lambda _result: 1 / 0)
        wal.append([Proposed("r", 1, "turn_add", b"")], heard.set_result)
        assert len(await heard) == 1
        assert [type(problem["exception"]) for problem in problems] == [ZeroDivisionError]


async def test_a_changed_row_is_named_and_repaired_from_the_mirror(workspace: Paths) -> None:
    async with opened(workspace) as database:
        wal = Wal(database)
        entries = await append(wal, [Proposed("r", n, "turn_add", b"data %d" % n) for n in range(20)])
        await database.write(lambda c: c.execute("UPDATE wal SET data = x'00' WHERE seq = 7"))
        await database.write(lambda c: c.execute("DELETE FROM wal WHERE seq = 12"))
        assert (await wal.verify())["first_bad_seq"] == 7
        with pytest.raises(CorruptError, match="entry 7 "):
            await wal.read(0, 100)
        lines = await wal.repair()
        assert len(lines) == 2
        assert await wal.read(0, 100) == entries
        assert (await wal.verify())["ok"]


async def test_a_tail_that_vanished_comes_back_from_the_mirror(workspace: Paths) -> None:
    async with opened(workspace) as database:
        entries = await append(Wal(database), [Proposed("r", n, "turn_add", b"x") for n in range(30)])
    _edit(workspace, "DELETE FROM wal WHERE seq > 21")
    async with opened(workspace) as database:
        assert [finding.level for finding in database.findings] == ["warning"]
        assert "22 to 30" in database.findings[0].text
        assert await Wal(database).read(0, 100) == entries


async def test_what_cannot_be_repaired_is_said_loudly_and_kept(workspace: Paths) -> None:
    async with opened(workspace) as database:
        entries = await append(Wal(database), [Proposed("r", n, "turn_add", b"x") for n in range(30)])
    _edit(workspace, "UPDATE wal SET data = x'00' WHERE seq = 11")
    for segment in workspace.mirror.glob("wal_*.log"):
        segment.unlink()
    async with opened(workspace) as database:
        wal = Wal(database)
        assert any(finding.level == "error" and "entry 11" in finding.text for finding in database.findings)
        assert await wal.read(0, 100) == entries[:10]
        assert any(file.name.startswith("wal-rows") for file in (workspace.data / "quarantine").iterdir())
        assert await wal.append_one("r", 99, "turn_add", b"on we go") == 11
        assert (await wal.verify())["ok"]
    async with opened(workspace) as database:
        assert database.findings == []


def _edit(paths: Paths, sql: str) -> None:
    connection = sqlite3.connect(paths.database)
    connection.execute(sql)
    connection.commit()
    connection.close()


async def test_a_mirror_that_was_lost_is_written_again(workspace: Paths) -> None:
    async with opened(workspace) as database:
        entries = await append(Wal(database), [Proposed("r", n, "turn_add", b"x" * 50) for n in range(30)])
    shutil.rmtree(workspace.mirror)
    workspace.prepare()
    async with opened(workspace) as database:
        assert await Wal(database).append_one("r", 30, "turn_add", b"") == 31
    workspace.database.unlink()
    async with opened(workspace) as database:
        assert any("built anew" in finding.text for finding in database.findings)
        assert (await Wal(database).read(0, 100))[:30] == entries


async def test_counts_and_restores_of_the_log(workspace: Paths) -> None:
    from o_tui.protocol.operations import StateRestore, pack

    async with opened(workspace) as database:
        wal = Wal(database)
        await append(
            wal, [Proposed("a", 0, "turn_add", b""), Proposed("a", 1, "turn_add", b""), Proposed("b", 0, "skip", b"")]
        )
        seq = await wal.append_one("", 0, *pack(StateRestore(checkpoint_id="c", checkpoint_seq=2)))
        assert await wal.counts(["a", "b", "c"]) == {"a": 2, "b": 1, "c": 0}
        assert await wal.restores() == [(seq, wal.digest, "c")]
        described = await wal.describe(2)
        assert [row["seq"] for row in described] == [3, 4]
        assert described[1]["data"]["checkpoint_id"] == "c"
        assert described[1]["digest"] == wal.digest.hex()


async def test_nothing_can_be_written_after_the_end(workspace: Paths) -> None:
    database = await asyncio.to_thread(Database.open, workspace)
    database.start()
    wal = Wal(database)
    futures = [asyncio.ensure_future(wal.append_one("r", n, "turn_add", b"")) for n in range(10)]
    await asyncio.sleep(0)
    await database.close()
    assert [await future for future in futures] == list(range(1, 11))
    with pytest.raises(OError, match="closed"):
        await wal.append_one("r", 0, "turn_add", b"")
    await database.close()
