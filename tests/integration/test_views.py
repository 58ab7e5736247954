"""The views' socket, with real sockets: greeting, calls, notices, and views that freeze."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from o_tui.client import connect
from o_tui.guardian import views
from o_tui.guardian.fleet.channel import Channel
from o_tui.guardian.lock import GuardianLock
from o_tui.guardian.view import STALE_BYTES
from o_tui.paths import Paths, locate
from o_tui.protocol import messages
from o_tui.protocol.errors import RefusedError
from tests.support.patience import PATIENCE_S
from tests.support.viewing import Stage


@pytest.fixture
async def stage(workspace: Paths) -> AsyncIterator[Stage]:
    lock = GuardianLock.acquire(workspace)
    stage = Stage(workspace)
    await stage.server.start(lock)
    yield stage
    stage.api.release.set()
    for client in stage.clients:
        client.channel.close(drop=True)
    await stage.server.close()
    lock.release()


async def test_greeting_snapshot_and_notices_in_order(stage: Stage) -> None:
    for number in range(3):
        stage.server.publish("event", {"n": number})
    client = await stage.view(follow=True)
    assert (await client.welcome).epoch == 3
    assert (await client.snapshot()).seq == 3
    for number in range(100):
        stage.server.publish("event", {"n": number})
    got = [await client.notice() for _ in range(100)]
    assert [notice.seq for notice in got] == list(range(4, 104))
    assert got[7].data == {"n": 7}


async def test_what_happens_while_the_snapshot_is_made_is_not_lost(stage: Stage) -> None:
    gate = asyncio.Event()
    entered = asyncio.Event()

    async def slow() -> dict[str, Any]:
        entered.set()
        await gate.wait()
        return {}

    stage.api.snapshot = slow  # type: ignore[method-assign]
    client = await stage.view(follow=True)
    await entered.wait()
    stage.server.publish("event", {"n": 1})
    gate.set()
    assert (await client.snapshot()).seq == 0
    assert (await client.notice()).seq == 1


async def test_who_does_not_follow_gets_no_notices(stage: Stage) -> None:
    client = await stage.view()
    stage.server.publish("event", {})
    assert (await client.call("echo", text="hi")).value == "hi"
    assert client.notices.empty() and client.snapshots.empty()


async def test_the_socket_is_private(stage: Stage) -> None:
    assert stat.S_IMODE(stage.paths.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(stage.paths.run.stat().st_mode) == 0o700


async def test_a_peer_of_another_uid_is_turned_away(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(stage.paths.socket))
    closed = asyncio.get_running_loop().create_future()
    await Channel.connect(sock, lambda _: None, closed.set_result)
    await asyncio.wait_for(closed, PATIENCE_S)
    assert "turned away" in stage.notes[0]


async def test_errors_come_back_typed(stage: Stage) -> None:
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
    client = await stage.view()
    missing = await client.call("missing")
    assert (missing.ok, missing.code, missing.error, missing.hint) == (False, 3, "no such thing", "look elsewhere")
    unknown = await client.call("ecko")
    assert (unknown.code, unknown.hint) == (2, "did you mean echo?")
    params = await client.call("echo", txet="x")
    assert params.code == 2 and "txet" in params.error and "text" in params.hint
    broken = await client.call("broken")
    assert broken.code == 1 and "ZeroDivisionError" in broken.error
    odd = await client.call("odd")
    assert odd.code == 1 and "internal" in odd.error
    assert any("ZeroDivisionError" in note for note in stage.notes) and complaints
    assert (await client.call("echo", text="still here")).value == "still here"


async def test_a_big_answer_comes_in_chunks_and_a_huge_one_is_an_error(stage: Stage) -> None:
    client = await stage.view()
    assert len((await client.call("big", size=3_000_000)).value) == 3_000_000
    huge = await client.call("big", size=17_000_000)
    assert not huge.ok and "limit" in huge.error


async def test_calls_of_one_view_run_at_once_and_beyond_the_limit_wait(stage: Stage) -> None:
    client = await stage.view()
    held = [client.send("hold") for _ in range(255)]
    assert (await client.call("echo", text="past them")).value == "past them"
    more = [client.send("hold") for _ in range(50)]
    stage.api.release.set()
    results = await asyncio.wait_for(asyncio.gather(*held, *more), PATIENCE_S)
    assert {result.value for result in results} == {"held"}
    assert (await client.call("echo", text="after")).value == "after"


async def test_a_viewer_may_look_but_not_act(stage: Stage) -> None:
    client = await stage.view(viewer=True)
    refused = await client.call("act")
    assert refused.code == 4 and "viewer" in refused.error
    assert (await client.call("echo", text="look")).ok


async def test_another_protocol_may_only_ask_for_the_status_and_the_end(stage: Stage) -> None:
    client = await stage.view(protocol=99, follow=True)
    refused = await client.call("echo")
    assert refused.code == 4 and "protocol" in refused.error
    assert (await client.call("status")).ok
    assert client.snapshots.empty()


async def test_when_a_view_vanishes_reads_end_and_acts_are_finished(stage: Stage) -> None:
    client = await stage.view()
    client.send("act")
    client.send("hold")
    await client.call("echo")
    client.channel.close(drop=True)
    await client.closed
    other = await stage.view()
    await other.call("echo")
    assert stage.api.cancelled == ["hold"]
    assert not stage.api.finished
    stage.api.release.set()
    await other.call("echo")
    assert stage.api.finished == ["act"]


@pytest.mark.parametrize("first", [messages.Call(id=1, method="echo"), messages.Shutdown()])
async def test_who_does_not_say_hello_is_closed_with_a_note(stage: Stage, first: messages.Message) -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(stage.paths.socket))
    closed = asyncio.get_running_loop().create_future()
    channel = await Channel.connect(sock, lambda _: None, closed.set_result)
    channel.send(first)
    await asyncio.wait_for(closed, PATIENCE_S)
    await asyncio.wait_for(stage.noted.wait(), PATIENCE_S)
    assert "may not send" in stage.notes[0]


async def test_garbage_closes_only_its_sender(stage: Stage) -> None:
    good = await stage.follower()
    bad = await stage.view()
    bad.channel.send_bytes(b"\xff" * 100)
    await asyncio.wait_for(bad.closed, PATIENCE_S)
    stage.server.publish("event", {})
    await good.notice()
    assert "announces" in stage.notes[0]


async def test_telemetry_is_latest_wins_at_the_views_rate(stage: Stage) -> None:
    client = await stage.follower(metrics_hz=10)
    start = time.monotonic()
    for number in range(100):
        stage.server.publish("telemetry", {"n": number})
    first, last = await client.notice(), await client.notice()
    assert (first.data["n"], last.data["n"]) == (0, 99)
    assert time.monotonic() - start >= 0.09
    stage.server.publish("event", {})
    assert (await client.notice()).topic == "event"
    assert client.notices.empty()
    silent = await stage.follower(metrics_hz=0)
    stage.server.publish("telemetry", {"n": 100})
    stage.server.publish("event", {"end": 1})
    assert (await silent.notice()).topic == "event"


async def test_a_frozen_view_goes_stale_and_gets_a_fresh_snapshot_when_it_drains(stage: Stage) -> None:
    frozen, lively = await stage.follower(), await stage.follower()
    frozen.channel.pause_reading()
    sent = 0
    while not any(row["stale"] for row in stage.server.rows()):
        stage.server.publish("chat.event", {"text": "x" * 2_000})
        sent += 1
        await lively.notice()
        assert sent < 2_000
    waiting = max(row["waiting_bytes"] for row in stage.server.rows())
    assert waiting <= STALE_BYTES + 4_000
    for _ in range(500):
        stage.server.publish("chat.event", {"text": "x" * 2_000})
        await lively.notice()
    assert max(row["waiting_bytes"] for row in stage.server.rows()) == waiting
    assert (await lively.call("echo", text="quick")).ok
    frozen.channel.resume_reading()
    snapshot = await frozen.snapshot()
    assert snapshot.seq == sent + 500
    assert frozen.notices.qsize() < sent + 500
    while not frozen.notices.empty():
        frozen.notices.get_nowait()
    stage.server.publish("event", {"after": 1})
    assert (await frozen.notice()).data == {"after": 1}


async def test_a_snapshot_larger_than_the_limit_does_not_make_a_view_stale(stage: Stage) -> None:
    stage.api.filling = "x" * 2_000_000
    client = await stage.view(follow=True)
    for _ in range(20):
        stage.server.publish("event", {"text": "y" * 1_000})
    assert len((await client.snapshot()).data["filling"]) == 2_000_000
    for _ in range(20):
        await client.notice()
    assert stage.api.snapshots == 1


async def test_answers_that_pile_up_stop_the_reading_not_the_guardian(stage: Stage) -> None:
    client, other = await stage.view(), await stage.view()
    client.channel.pause_reading()
    calls = [client.send("big", size=400_000) for _ in range(100)]
    for _ in range(50):
        assert (await other.call("echo", text="x")).ok
    client.channel.resume_reading()
    results = await asyncio.wait_for(asyncio.gather(*calls), PATIENCE_S)
    assert all(len(result.value) == 400_000 for result in results)


async def test_a_frozen_view_beside_three_holds_nobody_up(stage: Stage) -> None:
    """It never reads: whoever waited for it would wait for ever."""
    views = [await stage.follower() for _ in range(3)]
    frozen = await stage.follower()
    frozen.channel.pause_reading()
    for number in range(1, 201):
        stage.server.publish("chat.event", {"request_id": "r", "kind": "text", "data": {"text": "word " * 1_000}})
        assert [(await view.notice()).seq for view in views] == [number] * 3
    assert max(row["waiting_bytes"] for row in stage.server.rows()) > 0 and frozen.notices.empty()


async def test_a_stale_socket_is_replaced_but_nothing_else(workspace: Paths) -> None:
    lock = GuardianLock.acquire(workspace)
    old = socket.socket(socket.AF_UNIX)
    old.bind(str(workspace.socket))
    old.close()
    stage = Stage(workspace)
    await stage.server.start(lock)
    assert (await (await stage.view()).call("echo", text="new")).value == "new"
    await stage.server.close()
    assert not workspace.socket.exists()
    workspace.socket.write_text("precious")
    with pytest.raises(RefusedError, match="in the way"):
        await stage.server.start(lock)
    assert workspace.socket.read_text() == "precious"
    lock.release()
    with pytest.raises(RefusedError, match="holds the lock"):
        await Stage(workspace).server.start(lock)


async def test_a_path_longer_than_sun_path(folder: Path) -> None:
    paths = locate(str(folder / ("d" * 100) / ("e" * 100)))
    paths.prepare()
    lock = GuardianLock.acquire(paths)
    stage = Stage(paths)
    await stage.server.start(lock)
    assert len(str(paths.socket)) > 108 and paths.socket.is_socket()
    await stage.server.close()
    assert not paths.socket.exists()
    lock.release()


async def test_close_ends_frozen_views_too(workspace: Paths) -> None:
    lock = GuardianLock.acquire(workspace)
    stage = Stage(workspace)
    await stage.server.start(lock)
    frozen = await stage.follower()
    frozen.channel.pause_reading()
    for _ in range(300):
        stage.server.publish("event", {"text": "x" * 2_000})
    async with asyncio.timeout(PATIENCE_S):
        await stage.server.close(grace_s=0.2)
    assert stage.server.rows() == [] or all(view["waiting_bytes"] == 0 for view in stage.server.rows())
    frozen.channel.close(drop=True)
    lock.release()


async def test_a_socket_that_somebody_has_removed_is_there_again(workspace: Paths) -> None:
    lock = GuardianLock.acquire(workspace)
    stage = Stage(workspace)
    await stage.server.start(lock)
    before = await stage.view()
    await stage.server.look()
    assert not stage.notes, "nothing was amiss"
    shutil.rmtree(workspace.run)
    await stage.server.look()
    assert stat.S_IMODE(workspace.run.stat().st_mode) == 0o700
    assert stat.S_IMODE(workspace.socket.stat().st_mode) == 0o600
    assert (await (await stage.view()).call("echo", text="new")).value == "new"
    assert (await before.call("echo", text="old")).value == "old"
    await stage.server.close()
    assert not workspace.socket.exists()
    lock.release()


async def test_the_socket_of_the_next_guardian_is_left_alone(workspace: Paths) -> None:
    lock = GuardianLock.acquire(workspace)
    stage, following = Stage(workspace), Stage(workspace)
    await stage.server.start(lock)
    await following.server.start(lock)
    await stage.server.look()
    await stage.server.close()
    assert (await (await following.view()).call("echo", text="mine")).value == "mine"
    await following.server.close()
    lock.release()


async def test_a_folder_that_is_not_there_is_an_error_with_a_name(workspace: Paths) -> None:
    lock = GuardianLock.acquire(workspace)
    shutil.rmtree(workspace.run)
    with pytest.raises(RefusedError, match=r"cannot listen on .*guardian\.sock: No such file"):
        await Stage(workspace).server.start(lock)
    lock.release()


async def test_one_view_too_many_is_told_why_and_the_events_are_told_once(
    workspace: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "VIEWS_LIMIT", 2)
    lock = GuardianLock.acquire(workspace)
    stage = Stage(workspace)
    await stage.server.start(lock)
    one, _two = await stage.view(), await stage.view()
    for _ in range(5):
        with pytest.raises(RefusedError, match="2 views are connected already"):
            await asyncio.to_thread(connect, workspace)
    assert len(stage.notes) == 1, stage.notes
    one.channel.close()
    await one.channel.wait_closed()
    async with asyncio.timeout(PATIENCE_S):
        while len(stage.server.rows()) > 1:
            await asyncio.sleep(0)
    assert (await (await stage.view()).call("echo", text="room again")).value == "room again"
    await stage.server.close()
    lock.release()
