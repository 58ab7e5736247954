"""The link against a real Unix socket with real frames: calls, notices, loss, coming back, refusals."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from o_tui.protocol import messages
from o_tui.protocol.errors import NotFoundError, OError, PeerError, UnreachableError
from o_tui.ui.link import link
from o_tui.ui.link.link import Link
from tests.support.patience import PATIENCE_S
from tests.support.screen import view
from tests.support.scripted_link import ScriptedGuardian


class Heard:
    """Records what the link says."""

    def __init__(self) -> None:
        self.states: list[tuple[str, str]] = []
        self.snapshots: list[messages.StateSnapshot] = []
        self.notices: list[messages.Notice] = []
        self.something = asyncio.Event()

    def link_changed(self, state: str, detail: str) -> None:
        self.states.append((state, detail))
        self.something.set()

    def link_snapshot(self, snapshot: messages.StateSnapshot) -> None:
        self.snapshots.append(snapshot)
        self.something.set()

    def link_notices(self, notices: list[messages.Notice]) -> None:
        self.notices += notices
        self.something.set()

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self.something.clear()
                await self.something.wait()


class Running:
    """A link that runs while a test does."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.heard = Heard()
        self.link = Link(path, self.heard, **options)

    async def __aenter__(self) -> Running:
        self.task = asyncio.create_task(self.link.run())
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.link.close()
        await asyncio.wait_for(self.task, PATIENCE_S)

    async def connected(self) -> None:
        await self.heard.until(lambda: self.link.state == "connected")


async def test_hello_brings_a_snapshot_and_then_notices(folder: Path) -> None:
    async with ScriptedGuardian(folder / "s") as guardian, Running(folder / "s") as r:
        await r.connected()
        assert r.heard.snapshots[0].data["status"]["pending"] == 1
        assert r.link.welcome is not None and r.link.welcome.pid == os.getpid()
        for number in range(100):
            guardian.notify("event", {"id": number})
        await r.heard.until(lambda: len(r.heard.notices) == 100)
        assert [notice.data["id"] for notice in r.heard.notices] == list(range(100))


async def test_calls_are_answered_whatever_the_order(folder: Path) -> None:
    async with ScriptedGuardian(folder / "s") as guardian, Running(folder / "s") as r:
        await r.connected()

        async def slow(n: int) -> int:
            await asyncio.sleep(0.02 if n == 1 else 0)
            return n

        guardian.handlers["echo"] = slow
        assert await asyncio.gather(r.link.call("echo", n=1), r.link.call("echo", n=2)) == [1, 2]


async def test_errors_arrive_with_their_type_and_hint(folder: Path) -> None:
    async with ScriptedGuardian(folder / "s") as guardian, Running(folder / "s") as r:
        await r.connected()

        def fail() -> None:
            raise PeerError("the disk is full", hint="make room")

        guardian.handlers["fail"] = fail
        with pytest.raises(PeerError) as found:
            await r.link.call("fail")
        assert found.value.hint == "make room"
        with pytest.raises(NotFoundError):
            await r.link.call("nothing")


async def test_large_values_come_in_chunks(folder: Path) -> None:
    async with ScriptedGuardian(folder / "s") as guardian, Running(folder / "s") as r:
        await r.connected()
        guardian.handlers["echo"] = lambda text: text
        text = "x" * 1_500_000
        assert await r.link.call("echo", text=text) == text


async def test_a_lost_guardian_is_found_again_and_open_calls_fail(folder: Path) -> None:
    guardian = ScriptedGuardian(folder / "s")
    await guardian.start()
    async with Running(folder / "s") as r:
        await r.connected()
        guardian.handlers["wait"] = lambda: asyncio.Event().wait()
        call = asyncio.create_task(r.link.call("wait"))
        await guardian.called("wait")
        await guardian.stop()
        with pytest.raises(UnreachableError):
            await call
        await r.heard.until(lambda: r.link.state == "lost")
        with pytest.raises(UnreachableError):
            await r.link.call("status")
        async with ScriptedGuardian(folder / "s"):
            await r.heard.until(lambda: len(r.heard.snapshots) == 2)
            await r.connected()


async def test_a_guardian_is_started_when_nobody_listens(folder: Path) -> None:
    guardian = ScriptedGuardian(folder / "s")
    started = 0

    async def start() -> None:
        nonlocal started
        started += 1
        await guardian.start()

    async with Running(folder / "s", start=start) as r:
        await r.connected()
        assert started == 1
    await guardian.stop()


async def test_a_stale_socket_counts_as_nobody(folder: Path) -> None:
    guardian = ScriptedGuardian(folder / "s")
    await guardian.start()
    server = guardian._server
    assert server is not None
    server.close()
    assert (folder / "s").exists()

    async def start() -> None:
        (folder / "s").unlink()
        await guardian.start()

    async with Running(folder / "s", start=start) as r:
        await r.connected()
    await guardian.stop()


async def test_a_start_that_fails_is_one_line(folder: Path) -> None:
    async def start() -> None:
        raise OError("the data folder is read-only", hint="choose another")

    async with Running(folder / "s", start=start) as r:
        await r.heard.until(lambda: ("refused", "the data folder is read-only (choose another)") in r.heard.states)


async def test_a_guardian_that_stops_on_purpose_is_not_started_again(folder: Path) -> None:
    guardian = ScriptedGuardian(folder / "s")
    starts = 0

    async def start() -> None:
        nonlocal starts
        starts += 1
        await guardian.start()

    async with Running(folder / "s", start=start) as r:
        await r.connected()
        guardian.notify("stopping", {"reason": "o-tui stop"})
        await r.heard.until(lambda: r.link.stopping)
        await guardian.stop()
        await r.heard.until(lambda: ("lost", "o-tui stop") in r.heard.states)
        assert starts == 1
        r.link.start_now()
        await r.heard.until(lambda: starts == 2)
        await r.connected()
    await guardian.stop()


async def test_another_protocol_is_refused_with_what_to_do(folder: Path) -> None:
    guardian = ScriptedGuardian(folder / "s")
    guardian.protocol = 99
    async with guardian, Running(folder / "s") as r:
        await r.heard.until(lambda: any(s == "refused" and "o-tui stop" in d for s, d in r.heard.states))


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x03abc", b"\x00\x00\x00\x01\xc0"])
async def test_bytes_that_are_no_frames_end_the_connection_and_it_comes_back(folder: Path, garbage: bytes) -> None:
    async with ScriptedGuardian(folder / "s") as guardian, Running(folder / "s") as r:
        await r.connected()
        guardian.send_raw(garbage)
        await r.heard.until(lambda: any(state == "lost" for state, _ in r.heard.states))
        await r.heard.until(lambda: len(r.heard.snapshots) == 2)


async def test_the_view_shows_a_loss_keeps_what_was_written_and_comes_back() -> None:
    async with view() as v:
        await v.write("half a thought")
        await v.guardian.stop()
        await v.sees("guardian lost", "Guardian lost", "what you write is kept")
        assert v.app.chat.prompt.text == "half a thought"
        await v.guardian.start()
        await v.misses("Guardian lost")
        await v.sees("main [OK]")
        assert v.app.chat.prompt.text == "half a thought"


async def test_the_view_says_when_the_guardian_was_stopped_and_starts_it_by_leader() -> None:
    async with view() as v:
        v.guardian.notify("stopping", {"reason": "by o-tui stop"})
        await v.until(lambda: v.app.link.stopping)
        await v.guardian.stop()
        await v.sees("The guardian has stopped", "F5")


async def test_a_read_only_guardian_is_said() -> None:
    async with view() as v:
        v.guardian.notify("storage", {"read_only": True, "text": "no space left"})
        await v.sees("WAL [!!] read-only", "takes no writes")
        v.guardian.notify("storage", {"read_only": False, "text": ""})
        await v.misses("takes no writes")


async def test_a_guardian_that_falls_silent_is_named_and_goes_on_when_it_does(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "QUIET_S", 0.2)
    script = "import asyncio; from tests.support import scripted_link; asyncio.run(scripted_link.main())"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(folder / "s.sock"), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    await child.stdout.readline()
    try:
        async with Running(folder / "s.sock") as running:
            await running.heard.until(lambda: running.link.state == "connected")
            await asyncio.sleep(1.0)
            assert "silent" not in dict(running.heard.states), "who is asked answers"
            os.kill(child.pid, signal.SIGSTOP)
            await running.heard.until(lambda: running.link.state == "silent")
            with pytest.raises(UnreachableError, match="does not answer"):
                await running.link.call("status")
            os.kill(child.pid, signal.SIGCONT)
            await running.heard.until(lambda: running.link.state == "connected")
    finally:
        child.kill()
        await child.wait()
