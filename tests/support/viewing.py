"""The views' socket with an API of plain functions, and clients of the test's own."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from o_tui.guardian.fleet.channel import Channel
from o_tui.guardian.views import ViewServer
from o_tui.paths import Paths
from o_tui.protocol import frames, messages
from o_tui.protocol.errors import NotFoundError, OError
from tests.support.patience import PATIENCE_S


class FakeApi:
    """An API of plain functions."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.finished: list[str] = []
        self.cancelled: list[str] = []
        self.snapshots = 0
        self.filling = ""
        self.methods: dict[str, Callable[..., Awaitable[Any]]] = {
            "echo": self.echo,
            "missing": self.missing,
            "broken": self.broken,
            "hold": self.hold,
            "act": self.act,
            "big": self.big,
            "odd": self.odd,
            "status": self.echo,
        }
        self.acting = frozenset({"act"})

    async def snapshot(self) -> dict[str, Any]:
        self.snapshots += 1
        return {"number": self.snapshots, "filling": self.filling}

    async def echo(self, text: str = "") -> str:
        return text

    async def missing(self) -> None:
        raise NotFoundError("no such thing", hint="look elsewhere")

    async def broken(self) -> None:
        raise ZeroDivisionError("defect")

    async def hold(self) -> str:
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.append("hold")
            raise
        return "held"

    async def act(self) -> str:
        await self.release.wait()
        self.finished.append("act")
        return "acted"

    async def big(self, size: int) -> str:
        return "x" * size

    async def odd(self) -> object:
        return object()


class Client:
    """A view of the test's own."""

    def __init__(self) -> None:
        self.notices: asyncio.Queue[messages.Notice] = asyncio.Queue()
        self.snapshots: asyncio.Queue[messages.StateSnapshot] = asyncio.Queue()
        self.results: dict[int, asyncio.Future[messages.Result]] = {}
        self.closed: asyncio.Future[OError | None] = asyncio.get_running_loop().create_future()
        self.welcome: asyncio.Future[messages.Welcome] = asyncio.get_running_loop().create_future()
        self.channel: Channel

    async def connect(self, path: Path, **hello: Any) -> Client:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(path))
        self.channel = await Channel.connect(sock, self.take, self.closed.set_result)
        if hello is not None:
            self.channel.send(messages.Hello(**{"protocol": messages.PROTOCOL_VERSION, "build": "test"} | hello))
            await asyncio.wait_for(asyncio.shield(self.welcome), PATIENCE_S)
        return self

    def take(self, frame: frames.Frame) -> None:
        match frame.data:
            case messages.Welcome():
                self.welcome.set_result(frame.data)
            case messages.StateSnapshot():
                self.snapshots.put_nowait(frame.data)
            case messages.Notice():
                self.notices.put_nowait(frame.data)
            case messages.Result():
                self.results[frame.data.id].set_result(frame.data)

    def send(self, method: str, **params: Any) -> asyncio.Future[messages.Result]:
        number = len(self.results) + 1
        self.results[number] = asyncio.get_running_loop().create_future()
        self.channel.send(messages.Call(id=number, method=method, params=params))
        return self.results[number]

    async def call(self, method: str, **params: Any) -> messages.Result:
        return await asyncio.wait_for(self.send(method, **params), PATIENCE_S)

    async def snapshot(self) -> messages.StateSnapshot:
        return await asyncio.wait_for(self.snapshots.get(), PATIENCE_S)

    async def notice(self) -> messages.Notice:
        return await asyncio.wait_for(self.notices.get(), PATIENCE_S)


class Stage:
    """A server with its API and what it noted."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.api = FakeApi()
        self.notes: list[str] = []
        self.noted = asyncio.Event()
        self.server = ViewServer(paths.socket, self.api, self.welcome, self.note)
        self.clients: list[Client] = []

    def note(self, level: str, text: str) -> None:
        self.notes.append(f"{level}: {text}")
        self.noted.set()

    def welcome(self) -> messages.Welcome:
        return messages.Welcome(
            protocol=messages.PROTOCOL_VERSION, build="b", instance="i", epoch=3, pid=os.getpid(), placement="process"
        )

    async def view(self, **hello: Any) -> Client:
        client = await Client().connect(self.paths.socket, **hello)
        self.clients.append(client)
        return client

    async def follower(self, **hello: Any) -> Client:
        client = await self.view(follow=True, **hello)
        await client.snapshot()
        return client
