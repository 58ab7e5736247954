"""Channels over real socket pairs: frames whole and cut, bad ones, peers that vanish or do not read."""

from __future__ import annotations

import asyncio
import socket

import pytest

from o_tui.guardian.fleet.channel import Channel
from o_tui.protocol import chunks, frames, messages
from o_tui.protocol.errors import FrameError, OError, PeerError
from tests.support.patience import PATIENCE_S


class End:
    """One end: a channel and what it heard."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[frames.Frame] = asyncio.Queue()
        self.closed: asyncio.Future[OError | None] = asyncio.get_running_loop().create_future()
        self.drained = asyncio.Event()
        self.channel: Channel

    async def open(self, sock: socket.socket, limit_bytes: int = 1 << 25) -> End:
        self.channel = await Channel.connect(
            sock, self.frames.put_nowait, self.closed.set_result, on_drained=self.drained.set, limit_bytes=limit_bytes
        )
        return self

    async def next(self) -> frames.Frame:
        return await asyncio.wait_for(self.frames.get(), PATIENCE_S)

    async def end(self) -> OError | None:
        return await asyncio.wait_for(self.closed, PATIENCE_S)


async def pair() -> tuple[End, End]:
    left, right = socket.socketpair()
    return await End().open(left), await End().open(right)


async def half(limit_bytes: int = 1 << 25) -> tuple[End, socket.socket]:
    left, right = socket.socketpair()
    right.setblocking(False)
    return await End().open(left, limit_bytes), right


def call(number: int, text: str = "") -> messages.Call:
    return messages.Call(id=number, method="x", params={"text": text})


async def test_frames_arrive_in_order_in_few_writes() -> None:
    a, b = await pair()
    for number in range(500):
        a.channel.send(call(number), frames.Metadata(request_id=str(number)))
    for number in range(500):
        frame = await b.next()
        assert (frame.data.id, frame.metadata.request_id) == (number, str(number))
    assert b.frames.empty()
    a.channel.close()
    assert await b.end() is None
    assert await a.end() is None


async def test_a_large_message_is_cut_and_joined() -> None:
    a, b = await pair()
    text = "x" * 3_000_000
    a.channel.send(call(1, text))
    a.channel.send(call(2))
    assert (await b.next()).data.params["text"] == text
    assert (await b.next()).data.id == 2
    with pytest.raises(FrameError, match="pass the limit"):
        a.channel.send(call(3, "x" * (chunks.WHOLE_LIMIT_BYTES + 1)))
    a.channel.close()
    await b.end()


async def test_bytes_one_by_one() -> None:
    a, peer = await half()
    packed = frames.encode(call(7))
    loop = asyncio.get_running_loop()
    for byte in packed:
        await loop.sock_sendall(peer, bytes([byte]))
    assert (await a.next()).data.id == 7
    peer.close()
    assert await a.end() is None


async def test_what_was_sent_before_close_is_delivered() -> None:
    a, b = await pair()
    a.channel.send(call(1, "x" * 1_000_000))
    a.channel.close()
    assert (await b.next()).data.id == 1
    assert await b.end() is None


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"\xff\xff\xff\xff", "announces"),
        (b"\x00\x00\x00\x01\xc1", "bad frame"),
        (frames.encode(call(1)).replace(b"call", b"cell"), "unknown type"),
    ],
    ids=["too long", "no message", "another type"],
)
async def test_a_bad_frame_closes_with_its_error(raw: bytes, says: str) -> None:
    a, peer = await half()
    await asyncio.get_running_loop().sock_sendall(peer, raw)
    error = await a.end()
    assert isinstance(error, FrameError) and says in str(error)
    assert a.channel.closed
    a.channel.send(call(1))  # harmless
    peer.close()


async def test_good_frames_before_a_bad_one_count() -> None:
    a, peer = await half()
    await asyncio.get_running_loop().sock_sendall(peer, frames.encode(call(1)) + b"\x00\x00\x00\x01\xc1")
    assert (await a.next()).data.id == 1
    assert isinstance(await a.end(), FrameError)
    peer.close()


async def test_a_peer_that_does_not_read_is_closed_at_the_limit() -> None:
    a, peer = await half(limit_bytes=1 << 20)
    sent = 0
    while not a.channel.closed:
        a.channel.send(call(sent, "x" * 100_000))
        sent += 1
        assert sent < 100
        await asyncio.sleep(0)
    error = await a.end()
    assert isinstance(error, PeerError) and "does not read" in str(error)
    peer.close()


async def test_drained_is_told_when_a_slow_peer_has_caught_up() -> None:
    a, peer = await half()
    a.channel.send(call(1, "x" * 1_000_000))
    await asyncio.sleep(0)
    assert a.channel.waiting_bytes > 0
    assert not a.drained.is_set()
    loop = asyncio.get_running_loop()
    taken = 0
    while taken < 1_000_000:
        taken += len(await loop.sock_recv(peer, 65536))
    await asyncio.wait_for(a.drained.wait(), PATIENCE_S)
    assert a.channel.waiting_bytes == 0
    peer.close()
    await a.end()


async def test_a_frozen_peer_can_be_dropped() -> None:
    a, peer = await half()
    a.channel.send(call(1, "x" * 1_000_000))
    a.channel.close()
    assert not a.closed.done()
    a.channel.close(drop=True)
    assert await a.end() is None
    peer.close()


async def test_a_listener_that_raises_ends_its_own_channel_only() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["exception"]))
    left, right = socket.socketpair()
    closed: asyncio.Future[OError | None] = asyncio.get_running_loop().create_future()

    def listener(_: frames.Frame) -> None:
        raise KeyError("defect")

    await Channel.connect(left, listener, closed.set_result)
    right.sendall(frames.encode(call(1)))
    error = await asyncio.wait_for(closed, PATIENCE_S)
    assert "defect" in str(error)
    assert isinstance(complaints[0], KeyError)
    right.close()


async def test_reading_can_be_paused() -> None:
    a, b = await pair()
    b.channel.pause_reading()
    a.channel.send(call(1))
    for _ in range(20):
        await asyncio.sleep(0)
    assert b.frames.empty()
    b.channel.resume_reading()
    assert (await b.next()).data.id == 1
    a.channel.close()
    await b.end()
