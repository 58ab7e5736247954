"""A guardian's hand for tests: starts the real fork server, gives it orders, talks with what it forks."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from o_tui import _native
from o_tui.guardian.fleet.nursery import ENVIRONMENT
from o_tui.protocol import chunks, frames, messages, operations
from tests.support.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]


def genome_files(folder: Path) -> dict[str, str]:
    """The files of a genome on disk."""
    return {
        str(path.relative_to(folder)): path.read_text("utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in {".py", ".md", ".toml"} and "__pycache__" not in path.parts
    }


class Peer:
    """Our end of an instance's socket; commits what it proposes, if it is told to."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.seq = 0
        self.digest = operations.GENESIS
        self.entries: list[bytes] = []
        self.everywhere: Callable[[messages.Committed], None] = lambda _committed: None
        self._reader = frames.FrameReader()
        self._joiner = chunks.Joiner()
        self._ready: list[frames.Frame] = []

    def send(self, message: messages.Message, request_id: str = "") -> None:
        self.sock.sendall(chunks.encode(message, frames.Metadata(request_id=request_id)))

    def receive(self, limit_s: float = PATIENCE_S) -> frames.Frame:
        """The next frame; EOFError at the peer's end, TimeoutError."""
        while not self._ready:
            if not select.select([self.sock], [], [], limit_s)[0]:
                raise TimeoutError("no frame")
            try:
                data = self.sock.recv(1 << 18)
            except ConnectionResetError:
                data = b""
            if not data:
                raise EOFError
            for payload in self._reader.feed(data):
                frame = self._joiner.add(frames.decode(payload))
                if frame is not None:
                    self._ready.append(frame)
        return self._ready.pop(0)

    def expect(self, kind: type[messages.Message], limit_s: float = PATIENCE_S) -> Any:
        """The data of the next frame of a kind, others are passed over."""
        while True:
            frame = self.receive(limit_s)
            if isinstance(frame.data, kind):
                return frame.data

    def commit(self, frame: frames.Frame) -> None:
        """Makes the proposals of a frame durable, as a guardian would, and tells the instance."""
        data = frame.data
        items = data.items if isinstance(data, messages.OperationProposals) else [data]
        packed = []
        for item in items:
            self.seq += 1
            entry = operations.Entry(
                self.seq, time.time_ns(), 1, frame.metadata.request_id, item.position, item.operation, item.data
            )
            packed.append(operations.pack_entry(entry))
            self.digest = operations.chain(self.digest, packed[-1])
        self.entries += packed
        committed = messages.Committed(entries=packed, digest=self.digest)
        self.send(committed)
        self.everywhere(committed)

    def ask(
        self,
        text: str,
        request_id: str = "r1",
        *,
        answers: Callable[[dict[str, Any]], Sequence[messages.BrokerReply]] | None = None,
        seen: list[frames.Frame] | None = None,
        **fields: Any,
    ) -> messages.Done:
        """One request from beginning to end; `answers` plays the model."""
        if answers is not None:
            fields["brain"] = "model"
        self.send(messages.ProcessRequest(text=text, **fields), request_id)
        while True:
            frame = self.receive()
            if seen is not None:
                seen.append(frame)
            if isinstance(frame.data, messages.OperationProposal | messages.OperationProposals):
                self.commit(frame)
            elif isinstance(frame.data, messages.BrokerRequest) and answers is not None:
                for reply in answers({"call_id": frame.data.call_id, **frame.data.arguments}):
                    self.send(reply, request_id)
            elif isinstance(frame.data, messages.Done) and frame.metadata.request_id == request_id:
                return frame.data


def _program(hidden: Sequence[str]) -> list[str]:
    if not hidden:
        return ["-m", "o_tui.agent.nursery"]
    hide = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.support.hiding import hide; hide({hidden!r})"
    return ["-c", f"{hide}; from o_tui.agent import nursery; nursery.main(sys.argv[1:])"]


class NurseryProcess:
    """The real program."""

    def __init__(self, heartbeat_s: float = 1.0, hidden: Sequence[str] = ()) -> None:
        """`hidden` are system calls that fail there, as on a kernel without them."""
        self.control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours, stream = socket.socketpair()
        self.stream = Peer(ours)
        self.process = subprocess.Popen(
            [
                sys.executable, "-I", "-X", "utf8", *_program(hidden),
                str(control.fileno()), str(stream.fileno()), str(heartbeat_s),
            ],
            env=ENVIRONMENT,
            pass_fds=(control.fileno(), stream.fileno()),
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        control.close()
        stream.close()
        self._descriptors: list[int] = []
        self.counters: _native.SharedReader
        """Those of the last fork."""

    def order(self, message: messages.Message, descriptors: Sequence[int] = ()) -> None:
        socket.send_fds(self.control, [frames.encode(message)[4:]], list(descriptors))

    def answer(self, limit_s: float = PATIENCE_S) -> tuple[Any, list[int]]:
        if not select.select([self.control], [], [], limit_s)[0]:
            raise TimeoutError("no answer")
        payload, descriptors, _flags, _address = socket.recv_fds(self.control, 1 << 18, 4)
        if not payload:
            raise EOFError
        self._descriptors += descriptors
        return frames.decode(payload).data, descriptors

    def restore(self, file: Path | None = None, seq: int = -1, digest: bytes = b"") -> Any:
        message = messages.Restore(seq=seq, digest=digest)
        if file is None:
            self.order(message)
        else:
            with file.open("rb") as opened:
                self.order(message, [opened.fileno()])
        return self.answer()[0]

    def fork(self, role: messages.Role = "main", instance: str = "main-1") -> tuple[Peer, messages.Forked, int]:
        ours, theirs = socket.socketpair()
        with theirs:
            self.order(messages.Fork(instance=instance, role=role), [theirs.fileno()])
        forked, (pidfd, shared) = self.answer()
        self.counters = _native.SharedReader(shared)
        self._descriptors.remove(shared)
        os.close(shared)
        return Peer(ours), forked, pidfd

    def close(self) -> None:
        self.control.close()
        self.stream.sock.close()
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            raise
        finally:
            for descriptor in self._descriptors:
                os.close(descriptor)
