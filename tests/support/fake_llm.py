"""A model's HTTP endpoint under a test's control: it says, byte by byte, what a real one says only on a bad day.

Each response is a list of steps: bytes are sent, a float waits, `CUT` resets the connection, an Event is waited for.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

CUT = "cut"
"""A step: the connection is reset."""
END = "end"
"""A step: the connection is closed politely, whatever was promised."""
HANG = "hang"
"""A step: nothing more comes, until the client goes away."""
Step = bytes | float | str | asyncio.Event


@dataclass
class Request:
    """What the client has sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client closes the connection before the response's end."""

    def json(self) -> Any:
        return json.loads(self.body)


class FakeServer:
    """Answers POSTs by the given responses, in order, the last one for ever; GETs by `listing`."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.arrived = asyncio.Condition()
        self.responses: list[Sequence[Step]] = []
        self.listing: Sequence[Step] = whole(200, {"data": [{"id": "fake-1"}]})
        self.listings = 0
        self.writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def say(self, *responses: Sequence[Step]) -> None:
        """What the next POSTs get."""
        self.responses = list(responses)

    async def wait(self, count: int) -> Request:
        """The request number `count` (from 1), when it has come."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: len(self.requests) >= count)
        return self.requests[count - 1]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            while (request := await _read(reader)) is not None:
                if not await self._answer(request, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    async def _answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if request.method == "GET":
            self.listings += 1
            steps = self.listing
        else:
            async with self.arrived:
                self.requests.append(request)
                self.arrived.notify_all()
            steps = self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]
        watch = asyncio.create_task(_watch(reader, request.gone))
        try:
            return await _play(steps, writer, request.gone)
        finally:
            watch.cancel()
            await asyncio.wait([watch])


async def _watch(reader: asyncio.StreamReader, gone: asyncio.Event) -> None:
    # A client that keeps its word sends nothing while it waits: the next thing to see is its end.
    while not reader.at_eof():
        if reader._buffer:  # type: ignore[attr-defined]  # the next request on this connection
            return
        try:
            await reader._wait_for_data("watch")  # type: ignore[attr-defined]
        except ConnectionError:
            break
    gone.set()


async def _play(steps: Sequence[Step], writer: asyncio.StreamWriter, gone: asyncio.Event) -> bool:
    for step in steps:
        if gone.is_set():
            return False
        if isinstance(step, bytes):
            writer.write(step)
            await writer.drain()
        elif isinstance(step, asyncio.Event):
            await step.wait()
        elif isinstance(step, float):
            await asyncio.sleep(step)
        elif step == HANG:
            await gone.wait()
            return False
        elif step == CUT:
            reset(writer)
            return False
        else:
            return False
    return True


def reset(writer: asyncio.StreamWriter) -> None:
    """Closes with RST instead of FIN."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    method, path, _ = lines[0].split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, body)


def whole(status: int, body: Any, headers: dict[str, str] | None = None) -> list[Step]:
    """A response that is no stream."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"content-type": "application/json", "content-length": str(len(content)), **(headers or {})}
    head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
    return [head.encode() + content]


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One piece in HTTP's chunked coding."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def event(data: Any, name: str = "") -> bytes:
    """One server-sent event."""
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


def delta(text: str = "", finish: str | None = None, **more: Any) -> dict[str, Any]:
    """One piece of an OpenAI-compatible stream."""
    content = {"content": text} if text else {}
    choice = {"index": 0, "delta": content | more, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "fake-1", "choices": [choice]}


def usage(given: int, made: int) -> dict[str, Any]:
    """The last piece of an OpenAI-compatible stream."""
    counts = {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
    return delta() | {"choices": [], "usage": counts}


def stream(*pieces: bytes, end: Sequence[Step] = (LAST,)) -> list[Step]:
    """A stream of these bytes, each in an HTTP chunk and a packet of its own."""
    return [HEAD, *(chunk(piece) for piece in pieces), *end]


def answer(*texts: str, finish: str = "stop") -> list[Step]:
    """A good OpenAI-compatible answer."""
    pieces = [event(delta(text)) for text in texts]
    return stream(*pieces, event(delta(finish=finish)), event(usage(7, len(texts))), event("[DONE]"))


def anthropic(*blocks: dict[str, Any], reason: str = "end_turn", stop: bool = True) -> list[bytes]:
    """A stream of Anthropic's events; a block is {text: [...]} or {tool, id, json: [...]}."""
    message = {"id": "m1", "type": "message", "role": "assistant", "model": "claude-fake", "content": []}
    message |= {"stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 11, "output_tokens": 1}}
    events: list[tuple[str, dict[str, Any]]] = [("message_start", {"message": message}), ("ping", {})]
    for index, block in enumerate(blocks):
        if "text" in block:
            start: dict[str, Any] = {"type": "text", "text": ""}
            parts = [{"type": "text_delta", "text": text} for text in block["text"]]
        else:
            start = {"type": "tool_use", "id": block["id"], "name": block["tool"], "input": {}}
            parts = [{"type": "input_json_delta", "partial_json": part} for part in block["json"]]
        events.append(("content_block_start", {"index": index, "content_block": start}))
        events += [("content_block_delta", {"index": index, "delta": part}) for part in parts]
        events.append(("content_block_stop", {"index": index}))
    if stop:
        final = {"delta": {"stop_reason": reason, "stop_sequence": None}, "usage": {"output_tokens": 5}}
        events += [("message_delta", final), ("message_stop", {})]
    return [event({"type": name, **data}, name) for name, data in events]


@asynccontextmanager
async def fake_server() -> AsyncIterator[FakeServer]:
    """A server on a port of its own."""
    fake = FakeServer()
    server = await asyncio.start_server(fake.handle, "127.0.0.1", 0)
    fake.port = server.sockets[0].getsockname()[1]
    try:
        yield fake
    finally:
        server.close()
        for writer in list(fake.writers):
            writer.transport.abort()


def call_piece(index: int, arguments: str, **first: str) -> bytes:
    function = {"arguments": arguments} | ({"name": first["name"]} if "name" in first else {})
    call = {"index": index, "function": function} | ({"id": first["id"], "type": "function"} if "id" in first else {})
    return event(delta(tool_calls=[call]))
