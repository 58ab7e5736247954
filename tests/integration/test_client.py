"""The blocking client against a guardian's socket, and against what is none."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from o_tui import client as module
from o_tui.client import connect, ensure_guardian, running, start_guardian
from o_tui.guardian.lock import GuardianLock, holder
from o_tui.guardian.views import ViewServer
from o_tui.paths import Paths, locate
from o_tui.protocol import frames, messages
from o_tui.protocol.errors import (
    BusyError,
    CorruptError,
    NotFoundError,
    OError,
    PeerError,
    UnreachableError,
)
from tests.support.patience import PATIENCE_S


class Api:
    """What the served guardian offers."""

    acting = frozenset({"say"})

    def __init__(self, publish: Callable[..., None]) -> None:
        self.publish = publish
        self.methods = {"say": self.say, "missing": self.missing, "odd": self.odd, "big": self.big, "never": self.never}

    async def snapshot(self) -> dict[str, Any]:
        return {"status": "fine"}

    async def say(self, text: str) -> dict[str, Any]:
        for word in text.split():
            self.publish("chat.event", {"text": word})
        return {"text": text}

    async def missing(self) -> None:
        raise NotFoundError("not there", hint="look")

    async def odd(self) -> None:
        error = OError("odd")
        error.code = 42
        raise error

    async def big(self) -> str:
        return "x" * 2_000_000

    async def never(self) -> None:
        await asyncio.Event().wait()


@pytest.fixture
def served(workspace: Paths) -> Iterator[Paths]:
    """A server of views in a thread."""
    up, stop, loops = threading.Event(), asyncio.Event(), []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        lock = GuardianLock.acquire(workspace)
        welcome = messages.Welcome(
            protocol=messages.PROTOCOL_VERSION, build="b", instance="i", epoch=1, pid=os.getpid(), placement="embedded"
        )
        server = ViewServer(workspace.socket, Api(lambda *a: server.publish(*a)), lambda: welcome)  # type: ignore[arg-type]
        await server.start(lock)
        up.set()
        await stop.wait()
        await server.close()
        lock.release()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert up.wait(PATIENCE_S)
    yield workspace
    loops[0].call_soon_threadsafe(stop.set)
    thread.join(PATIENCE_S)


def test_calls_answers_and_errors(served: Paths) -> None:
    with connect(served) as client:
        assert client.welcome.epoch == 1 and client.snapshot is None
        assert client.call("say", text="a b") == {"text": "a b"}
        assert len(client.call("big")) == 2_000_000
        with pytest.raises(NotFoundError, match="not there") as caught:
            client.call("missing")
        assert caught.value.hint == "look"
        with pytest.raises(OError, match="odd"):
            client.call("odd")
        with pytest.raises(UnreachableError, match="does not answer"):
            client.call("never", wait_s=0.1)
        assert client.call("say", text="still") == {"text": "still"}


def test_a_stream_gives_notices_and_then_the_answer(served: Paths) -> None:
    with connect(served, follow=True) as client:
        assert client.snapshot is not None and client.snapshot.data == {"status": "fine"}
        answers = client.stream("say", text="one two three")
        assert [notice.data["text"] for notice in answers] == ["one", "two", "three"]
        assert answers.value == {"text": "one two three"}


def test_no_guardian(workspace: Paths) -> None:
    with pytest.raises(UnreachableError, match="no guardian runs"):
        connect(workspace)
    assert running(workspace) is None
    assert running(locate(str(workspace.data / "nowhere"))) is None


def test_a_holder_that_does_not_serve_is_named(workspace: Paths) -> None:
    lock = GuardianLock.acquire(workspace)
    with pytest.raises(UnreachableError, match=f"pid {os.getpid()}"):
        running(workspace, wait_s=0.1)
    lock.release()


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"", UnreachableError),
        (b"\xff" * 64, PeerError),
        (frames.encode(messages.Shutdown()), PeerError),
        (frames.encode(messages.Shutdown())[:9], UnreachableError),
    ],
    ids=["nothing", "no frame", "another frame", "half a frame"],
)
def test_what_listens_there_may_be_anything(reply: bytes, error: type[OError], workspace: Paths) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(workspace.socket))
    listener.listen()

    def answer() -> None:
        peer, _ = listener.accept()
        peer.recv(65536)
        peer.sendall(reply)
        peer.close()

    thread = threading.Thread(target=answer)
    thread.start()
    with pytest.raises(error):
        connect(workspace)
    thread.join(PATIENCE_S)
    listener.close()


def stand_in(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """The guardian's program is replaced by some code; `fd` is where it tells that it is ready."""
    real = subprocess.Popen

    def popen(command: list[str], **fields: Any) -> Any:
        fd = command[command.index("--ready-fd") + 1]
        return real([sys.executable, "-c", f"import os, time\nfd = {fd}\n{code}"], **fields)

    monkeypatch.setattr(subprocess, "Popen", popen)


@pytest.mark.parametrize(("number", "error"), [(75, BusyError), (1, OError), (5, UnreachableError)])
def test_a_start_that_fails_says_why(
    number: int, error: type[OError], workspace: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = json.dumps({"ok": False, "error": "no luck", "code": number, "hint": "try"}) + "\n"
    stand_in(monkeypatch, f"os.write(fd, {line.encode()!r})")
    with pytest.raises(error, match="no luck") as caught:
        start_guardian(workspace)
    assert caught.value.hint == "try" and not isinstance(caught.value, CorruptError)


def test_a_start_that_dies_without_a_word(workspace: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, "os._exit(9)")
    with pytest.raises(UnreachableError, match=r"ended while it started \(status 9\)") as caught:
        start_guardian(workspace)
    assert "o.log" in caught.value.hint


def test_a_start_that_hangs_is_ended(workspace: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, "time.sleep(600)")
    start = time.monotonic()
    with pytest.raises(UnreachableError, match="not ready within"):
        start_guardian(workspace, wait_s=0.5)
    assert time.monotonic() - start < PATIENCE_S


def test_the_log_is_private_and_keeps_what_it_said(workspace: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, "os.write(2, b'last words\\n'); os._exit(1)")
    with pytest.raises(UnreachableError):
        start_guardian(workspace)
    assert workspace.log.read_text() == "last words\n"
    assert workspace.log.stat().st_mode & 0o777 == 0o600


def test_one_that_we_start_ends_with_us_and_one_that_ran_stays(workspace: Paths) -> None:
    with ensure_guardian(workspace) as client:
        assert client.started
        pid = client.welcome.pid
        with ensure_guardian(workspace) as second:
            assert not second.started and second.welcome.pid == pid
        assert holder(workspace) is not None
    assert holder(workspace) is None


def test_one_that_we_start_does_not_end_under_somebody_who_came_meanwhile(workspace: Paths) -> None:
    first = ensure_guardian(workspace)
    with ensure_guardian(workspace) as second:
        first.close()
        assert first.started and not second.started
        assert second.call("say", text="what is 6*7")["ok"]
        assert second.call("status")["guardian"]["pid"] == second.welcome.pid
        pidfd = os.pidfd_open(second.welcome.pid)
    assert select.select([pidfd], [], [], PATIENCE_S)[0], "nobody is there any more"
    os.close(pidfd)
    assert holder(workspace) is None


def test_kept_it_stays_in_a_session_of_its_own_until_it_is_stopped(workspace: Paths) -> None:
    with ensure_guardian(workspace, keep=True) as client:
        pid = client.welcome.pid
    assert os.getsid(pid) == pid != os.getsid(0)
    with connect(workspace) as client:
        assert module.stop_guardian(client)
    assert holder(workspace) is None and not workspace.socket.exists()


def test_a_stopped_guardian_is_named_soon_with_what_lets_it_go_on(workspace: Paths) -> None:
    with ensure_guardian(workspace) as client:
        pid = client.call("status")["guardian"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            began_s = time.monotonic()
            with pytest.raises(UnreachableError, match="is stopped and answers nobody") as caught:
                running(workspace)
            assert time.monotonic() - began_s < 30 and caught.value.hint == f"let it go on: kill -CONT {pid}"
        finally:
            os.kill(pid, signal.SIGCONT)
        assert client.call("status")["guardian"]["pid"] == pid


def test_a_guardian_that_another_command_started_is_kept_for_who_wishes_it(workspace: Paths) -> None:
    first = ensure_guardian(workspace)
    assert first.call("status")["guardian"]["stays"] is False
    with ensure_guardian(workspace, keep=True) as second:
        assert not second.started and second.call("status")["guardian"]["stays"] is True
        first.close()
    with ensure_guardian(workspace) as third:
        assert third.welcome.pid == first.welcome.pid and not third.started
        assert module.stop_guardian(third), "an operator's stop ends it all the same"
    assert holder(workspace) is None


def test_two_starts_at_once_give_one_guardian(workspace: Paths) -> None:
    found: list[int] = []

    def work() -> None:
        with ensure_guardian(workspace, keep=True) as client:
            found.append(client.welcome.pid)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert len(found) == 3 and len(set(found)) == 1
    with connect(workspace) as client:
        module.stop_guardian(client)


def test_a_killed_guardian_is_noticed(workspace: Paths) -> None:
    with ensure_guardian(workspace, keep=True) as client:
        os.kill(client.welcome.pid, signal.SIGKILL)
        with pytest.raises(UnreachableError):
            client.call("evolution.wait", id="x", wait_s=PATIENCE_S)
        assert client.wait_closed(PATIENCE_S)
    with ensure_guardian(workspace) as client:
        assert client.started
