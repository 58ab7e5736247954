from __future__ import annotations

import asyncio
import os

import pytest

from o_tui.guardian.storage import brokered
from o_tui.guardian.storage.brokered import Brokered, digest_arguments
from o_tui.guardian.storage.eventlog import EventLog
from o_tui.guardian.storage.evolution_rows import EvolutionRows
from o_tui.guardian.storage.journal import Journal, Request
from o_tui.guardian.storage.wal import Wal
from o_tui.paths import Paths
from o_tui.protocol.errors import CorruptError, NotFoundError, RefusedError
from tests.support.storage import accept, finish, opened


async def test_a_request_is_kept_from_its_acceptance_to_its_end(workspace: Paths) -> None:
    async with opened(workspace) as database:
        journal = Journal(database, Wal(database))
        assert await journal.load() == []
        await accept(journal, Request("a", "first"))
        await accept(journal, Request("b", "second", "memory", "other"))
        assert (await journal.get("a"))["state"] == "accepted"
        journal.mark_running("a")
        assert (await journal.get("a"))["state"] == "running"
        await finish(journal, "a", text="the answer")
        row = await journal.get("a")
        assert (row["state"], row["answer"], row["elapsed_ms"]) == ("done", "the answer", 1.5)
        assert [row["request_id"] for row in await journal.page()] == ["b", "a"]
        assert [row["request_id"] for row in await journal.page("b")] == ["a"]
        with pytest.raises(NotFoundError):
            await finish(journal, "a")
        with pytest.raises(NotFoundError):
            await journal.get("c")


async def test_the_next_guardian_takes_up_what_is_unfinished(workspace: Paths) -> None:
    async with opened(workspace) as database:
        wal = Wal(database)
        journal = Journal(database, wal)
        for name in ("a", "b", "c"):
            await accept(journal, Request(name, f"text of {name}", time_ns=7))
        await finish(journal, "b", "failed", error="no")
        await wal.append_one("c", 0, "turn_add", b"")
        await wal.append_one("c", 1, "turn_add", b"")
    async with opened(workspace) as database:
        journal = Journal(database, Wal(database))
        first, second = await journal.load()
        assert (first.request_id, first.committed, first.attempts) == ("a", 0, 1)
        assert (second.request_id, second.committed, second.attempts) == ("c", 2, 1)
        assert (second.text, second.time_ns) == ("text of c", 7)
        await finish(journal, "c", "quarantined")
        await accept(journal, Request("d", "new"))
        assert [request.request_id for request in await journal.unfinished()] == ["a", "d"]
        states = {row["request_id"]: row["state"] for row in await journal.page()}
        assert states == {"a": "accepted", "b": "failed", "c": "quarantined", "d": "accepted"}


async def test_a_known_id_is_refused_alone(workspace: Paths) -> None:
    async with opened(workspace) as database:
        journal = Journal(database, Wal(database))
        await accept(journal, Request("a", "first"))
        results = await asyncio.gather(
            *(accept(journal, Request(name, "again")) for name in ("b", "a", "c")), return_exceptions=True
        )
        assert [type(result) for result in results] == [type(None), RefusedError, type(None)]
        rows = await journal.page()
        assert [(row["request_id"], row["text"]) for row in rows] == [("c", "again"), ("b", "again"), ("a", "first")]


async def test_old_requests_are_pruned_but_never_open_ones(workspace: Paths) -> None:
    async with opened(workspace) as database:
        journal = Journal(database, Wal(database))
        for number in range(20):
            await accept(journal, Request(str(number), ""))
            if number != 3:
                await finish(journal, str(number))
        assert await journal.prune(5) == 14
        assert [row["request_id"] for row in await journal.page()] == ["19", "18", "17", "16", "15", "3"]


async def test_events_are_numbered_filtered_and_bounded(workspace: Paths) -> None:
    async with opened(workspace) as database:
        events = EventLog(database, keep=10)
        rows = [events.add("wal", "row", "info", f"Event {n}", {"n": n}) for n in range(30)]
        rows.append(events.add("vault", "row", "error", "bad", {}))
        await database.write(lambda _connection: None)
        assert await events.page(limit=2) == rows[:-3:-1]
        assert [row["id"] for row in await events.page(before=3)] == [2, 1]
        assert [row["text"] for row in await events.page(level="error")] == ["bad"]
        assert [row["text"] for row in await events.page(source="wal", text="event 2", limit=1)] == ["Event 29"]
        assert await events.prune() == 21
        assert len(await events.page()) == 10
    async with opened(workspace) as database:
        assert EventLog(database).add("x", "y", "info", "next")["id"] == 32


async def test_effects_are_found_again_by_what_was_asked(workspace: Paths) -> None:
    async with opened(workspace) as database:
        record = Brokered(database)
        asked = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
        same = {"max_tokens": 5, "messages": [{"content": "hi", "role": "user"}]}
        digest = digest_arguments(asked)
        assert digest == digest_arguments(same)
        record.record("r", "1", "llm.chat", digest, asked, "error", {"error": "no"})
        record.record("r", "2", "llm.chat", digest, asked, "done", {"text": "one " * 1_000})
        record.record("r", "3", "llm.chat", digest, asked, "done", {"text": "two"})
        await database.write(lambda _connection: None)
        first = await record.find("r", "llm.chat", digest)
        assert first == {"text": "one " * 1_000}
        assert await record.find("r", "llm.chat", digest, 1) == {"text": "two"}
        assert await record.find("r", "llm.chat", digest, 2) is None
        assert await record.find("other", "llm.chat", digest) is None
        effects = await record.of_requests(["r", "s"])
        assert [effect["state"] for effect in effects["r"]] == ["error", "done", "done"]
        assert effects["s"] == []
        assert await record.prune(1) == 2
        assert await record.find("r", "llm.chat", digest) == {"text": "two"}


async def test_small_effects_are_kept_smaller_once_there_are_enough(
    workspace: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brokered, "LEARN_FROM", 600)

    def answer(number: int) -> dict[str, object]:
        return {"text": f"answer {number * 7919} about the harbour", "model": "local-7b", "usage": {"tokens": number}}

    def ask(record: Brokered, number: int) -> bytes:
        digest = digest_arguments({"n": number})
        record.record(f"r{number}", "1", "llm.chat", digest, {"n": number}, "done", answer(number))
        return digest

    async with opened(workspace) as database:
        record = Brokered(database)
        for number in range(200):
            ask(record, number)
        await database.write(lambda _connection: None)
        assert not await record.learn()
        for number in range(200, 500):
            ask(record, number)
        await database.write(lambda _connection: None)
        assert await record.learn()
        assert not await record.learn()
        digest = ask(record, 500)
        await database.write(lambda _connection: None)
        assert await record.find("r500", "llm.chat", digest) == answer(500)
        sizes = "SELECT avg(length(data)) FROM bodies WHERE packed = ? AND length(data) > 10 AND length(data) < 1000"
        ((before,),), ((after,),) = [await database.read(sizes, [kind]) for kind in (0, 2)]
        assert after < before / 2
        assert await record.prune(1) == 500
    async with opened(workspace) as database:
        record = Brokered(database)
        assert await record.find("r500", "llm.chat", digest) == answer(500)
        digest = ask(record, 501)
        await database.write(lambda _connection: None)
        assert await record.find("r501", "llm.chat", digest) == answer(501)
        await database.write(lambda c: c.execute("UPDATE bodies SET data = x'00' WHERE packed = 3"))
        with pytest.raises(CorruptError, match="dictionary"):
            await record.find("r501", "llm.chat", digest)


async def test_effects_that_have_nothing_in_common_learn_nothing(
    workspace: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brokered, "LEARN_FROM", 100)
    async with opened(workspace) as database:
        record = Brokered(database)
        for number in range(100):
            record.record(f"r{number}", "1", "llm.chat", os.urandom(32), {"n": number}, "done", {"x": os.urandom(100)})
        await database.write(lambda _connection: None)
        assert not await record.learn()


async def test_evolutions_come_back_as_they_were_saved(workspace: Paths) -> None:
    async with opened(workspace) as database:
        rows = EvolutionRows(database)
        row = {"id": "abc", "gene": "recall", "state": "intent", "time_ns": 3, "evidence": {"pairs": 3}, "stages": [1]}
        await rows.save(row)
        await rows.add({"id": "abd", "gene": "respond", "state": "pending"})
        assert await rows.get("abc") == row
        assert await rows.get("ab") is None
        await rows.update("abc", {"state": "promoted"})
        found = await rows.get("abc")
        assert found is not None
        assert found["state"] == "promoted"
        assert [row["id"] for row in await rows.list()] == ["abd", "abc"]
        assert [row["id"] for row in await rows.pending()] == ["abd"]
        with pytest.raises(NotFoundError):
            await rows.update("nothing", {})
        await rows.add_candidate("abc", "f00", {"n": 1})
        await rows.add_samples("abc", [{"ms": 1.0}])
        await rows.add_decision("abc", "promote", {"ratio": 0.9})
        assert [c["revision"] for c in await rows.candidates("abc")] == ["f00"]
        assert [s["data"] for s in await rows.samples("abc")] == [[{"ms": 1.0}]]
        assert [d["verdict"] for d in await rows.decisions("abc")] == ["promote"]


async def test_a_page_of_long_texts_is_short_and_the_next_one_goes_on(workspace: Paths) -> None:
    async with opened(workspace) as database:
        journal = Journal(database, Wal(database))
        names = [f"r{number:02}" for number in range(30)]
        for name in names:
            await accept(journal, Request(name, "x" * 100_000))
        seen: list[str] = []
        while rows := await journal.page(seen[-1] if seen else "", 1_000, 1_000_000):
            assert len(rows) == 10
            seen += [row["request_id"] for row in rows]
        assert seen == names[::-1]
