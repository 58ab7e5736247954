"""The processes around a measured guardian: views that follow it, a model that streams; all end by `with`.

`python -m o_tui.bench.around view FOLDER` and `… model RATE CHUNKS` are the programs themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from o_tui import client
from o_tui.paths import locate
from o_tui.protocol.errors import UnreachableError
from o_tui.protocol.safe_text import safe

WORDS = "the guardian holds **what** the agent `changes` "
MODEL = "bench-1"
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@contextlib.contextmanager
def program(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A program of this module; killed at the end."""
    command = [sys.executable, "-m", "o_tui.bench.around", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def first_line(process: subprocess.Popen[str]) -> str:
    """What a program says when it is ready; raises UnreachableError if it ends before."""
    line = process.stdout.readline().strip() if process.stdout is not None else ""
    if not line:
        raise UnreachableError(f"a program of the benchmark has ended: {process.args!r}")
    return line


def _view(folder: str) -> None:
    """Follows as a screen does, until it is killed or the guardian ends."""
    with (
        contextlib.suppress(UnreachableError),
        client.connect(locate(folder), follow=True, viewer=True, metrics_hz=2.0) as link,
    ):
        print(safe("follows"), flush=True)
        for _ in link.notices():
            pass


async def _model(rate: float, chunks: int) -> None:
    """An OpenAI-compatible endpoint: each answer is `chunks` pieces, `rate` a second."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                await _request(reader)
                writer.write(_HEAD)
                for piece in _pieces(chunks):
                    writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                    await writer.drain()
                    await asyncio.sleep(1 / rate)
                writer.write(b"0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    print(safe(f"http://{host}:{port}"), flush=True)
    await server.serve_forever()


async def _request(reader: asyncio.StreamReader) -> None:
    """Reads one to its end."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    lengths = [line.partition(":")[2] for line in head.split("\r\n") if line.startswith("content-length:")]
    await reader.readexactly(int(lengths[0]) if lengths else 0)


def _pieces(chunks: int) -> Iterator[bytes]:
    """The events of one answer."""
    for _ in range(chunks):
        yield _event(_piece({"content": WORDS}))
    yield _event(_piece({}, "stop"))
    counts = {"prompt_tokens": 7, "completion_tokens": chunks, "total_tokens": 7 + chunks}
    yield _event(_piece({}) | {"choices": [], "usage": counts})
    yield b"data: [DONE]\n\n"


def _piece(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice]}


def _event(data: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % json.dumps(data).encode()


if __name__ == "__main__":
    if sys.argv[1] == "view":
        _view(sys.argv[2])
    else:
        asyncio.run(_model(float(sys.argv[2]), int(sys.argv[3])))
