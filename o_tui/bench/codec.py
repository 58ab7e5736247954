"""What checkpoints cost: packed, loaded, taken as deltas, beside zstandard and hashlib one after the other.

Half of a state is text, half are vectors that do not shrink. Each round does ours and the peer's work in turns; loading
is measured in a process with the nursery's environment.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
import uuid
from array import array
from collections.abc import Callable
from typing import IO

import msgspec
import zstandard

from o_tui import _native
from o_tui.bench.report import Report, median
from o_tui.guardian.fleet.nursery import ENVIRONMENT
from o_tui.protocol import checkpoint
from o_tui.protocol.errors import CorruptError
from o_tui.protocol.safe_text import safe

EDITS = 20
"""Between a checkpoint and the delta over it."""
PEER = "zstandard and hashlib, one after the other"
HEADER = checkpoint.Header(uuid.UUID(int=1), 1, 42, 0, 0, bytes(32), bytes(32))
WORDS = [f"{a}{b}" for a in ("am", "be", "co", "du", "el", "fa") for b in ("ran", "tis", "lor", "mek", "vos", "pin")]


def state(size: int) -> dict[str, bytes]:
    """Sections of so many bytes."""
    choose = random.Random(1)
    blocks = []
    left = size // 2
    while left > 0:
        blocks.append(" ".join(choose.choices(WORDS, k=60)).encode() + choose.randbytes(16))
        left -= len(blocks[-1])
    numbers = [choose.gauss(0, 0.06) for _ in range(1 << 16)]
    vectors = array("f", (choose.choice(numbers) + choose.random() / 1e3 for _ in range(size // 8)))
    return {"meta": b"m" * 200, "memory": b"".join(blocks), "vectors": vectors.tobytes()}


def edited(sections: dict[str, bytes], seed: int) -> dict[str, bytes]:
    """The same after EDITS edits: half of them change the text's length, half give a block another vector."""
    choose = random.Random(seed)
    memory, vectors = bytearray(sections["memory"]), bytearray(sections["vectors"])
    for _ in range(EDITS // 2):
        at = choose.randrange(len(memory))
        memory[at : at + 20] = choose.randbytes(40)
        at = choose.randrange(len(vectors) // 1024) * 1024
        vectors[at : at + 1024] = choose.randbytes(1024)
    return {**sections, "memory": bytes(memory), "vectors": bytes(vectors)}


def spent_ms(work: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def in_turns(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Medians; every round does each of them once."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds + 1):
        for name, work in works.items():
            times[name].append(spent_ms(work))
    return {name: median(values[1:]) for name, values in times.items()}


def peer_pack(sections: dict[str, bytes]) -> bytes:
    """What one writes without the extension: the same digests, the same level."""
    for data in sections.values():
        hashlib.sha256(data).digest()
    packed = zstandard.ZstdCompressor(level=1).compress(b"".join(sections.values()))
    hashlib.sha256(packed).digest()
    return packed


def peer_load(packed: bytes, sizes: list[int]) -> None:
    """The way back."""
    hashlib.sha256(packed).digest()
    body = memoryview(zstandard.ZstdDecompressor().decompress(packed))
    at = 0
    for size in sizes:
        hashlib.sha256(body[at : at + size]).digest()
        at += size


def run(arguments: argparse.Namespace) -> Report:
    """Medians over `arguments.rounds` rounds."""
    return measure(arguments.rounds)


def measure(rounds: int) -> Report:
    """The report over so many rounds."""
    report = Report(peers={PEER: {}})
    _packing(report, rounds)
    _loading(report, rounds)
    _deltas(report, rounds)
    _dictionary(report)
    peer = report.peers[PEER]
    for name in ("pack_24_mb_ms", "load_35_mb_ms"):
        report.ratios[name.removesuffix("_ms")] = report.results[name] / peer[name]
    report.ratios["delta_bytes_to_full"] = report.results["delta_51_mb_bytes"] / report.results["full_51_mb_bytes"]
    return report


def _packing(report: Report, rounds: int) -> None:
    """24 MB, the same digests on both sides."""
    sections = state(24_000_000)
    contents = list(sections.values())
    with tempfile.TemporaryFile() as file:

        def ours() -> None:
            _native.fingerprint(contents)
            _native.pack(file.fileno(), 256, contents)

        works: dict[str, Callable[[], object]] = {
            "ours": ours,
            "frames": lambda: _native.pack(file.fileno(), 256, contents),
            "peer": lambda: peer_pack(sections),
        }
        times = in_turns(works, rounds)
    report.results["pack_24_mb_ms"] = times["ours"]
    report.results["frames_only_24_mb_ms"] = times["frames"]
    report.peers[PEER]["pack_24_mb_ms"] = times["peer"]


def _loading(report: Report, rounds: int) -> None:
    """35 MB, where a nursery does it."""
    command = [sys.executable, "-m", "o_tui.bench.codec", str(rounds)]
    environment = ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=300)
    times = msgspec.json.decode(done.stdout, type=dict[str, float])
    report.results["load_35_mb_ms"] = times["full"]
    report.results["load_35_mb_of_a_delta_ms"] = times["delta"]
    report.results["check_35_mb_ms"] = times["checked"]
    report.peers[PEER]["load_35_mb_ms"] = times["peer"]


def load(rounds: int) -> dict[str, float]:
    """In the process that measures it."""
    sections = state(35_000_000)
    with tempfile.TemporaryFile() as full, tempfile.TemporaryFile() as delta:
        checkpoint.write(full, sections, HEADER)
        checkpoint.write(delta, edited(sections, 3), HEADER, full)
        packed, sizes = peer_pack(sections), list(map(len, sections.values()))
        works: dict[str, Callable[[], object]] = {
            "full": lambda: checkpoint.read(full),
            "delta": lambda: checkpoint.read(delta, full),
            "checked": lambda: checkpoint.inspect(full),
            "peer": lambda: peer_load(packed, sizes),
        }
        return in_turns(works, rounds)


def _deltas(report: Report, rounds: int) -> None:
    """EDITS edits in 51 MB."""
    sections = state(51_000_000)
    after = edited(sections, 2)
    with tempfile.TemporaryFile() as full, tempfile.TemporaryFile() as delta:
        report.results["full_51_mb_bytes"] = checkpoint.write(full, sections, HEADER).compressed_bytes
        small = checkpoint.write(delta, after, HEADER, full)
        if not small.is_delta or not _same(after, delta, full):
            raise CorruptError("the delta is not what was edited")
        report.results["delta_51_mb_bytes"] = small.compressed_bytes
        works: dict[str, Callable[[], object]] = {
            "full": lambda: checkpoint.write(full, sections, HEADER),
            "delta": lambda: checkpoint.write(delta, after, HEADER, full),
        }
        times = in_turns(works, rounds)
    report.results["full_51_mb_ms"], report.results["delta_51_mb_ms"] = times["full"], times["delta"]


def _same(sections: dict[str, bytes], delta: IO[bytes], full: IO[bytes]) -> bool:
    found = checkpoint.read(delta, full)[1]
    return {name: bytes(data) for name, data in found.items()} == sections


def bodies() -> list[bytes]:
    """Small answers, as the broker records them."""
    choose = random.Random(5)
    made = []
    for number in range(3_000):
        text = " ".join(choose.choices(WORDS, k=choose.randint(6, 30)))
        usage = {"input_tokens": choose.randrange(2_000), "output_tokens": choose.randrange(400)}
        body = {"text": text, "model": "local-7b", "finish": "stop", "usage": usage, "call_id": f"c{number}"}
        made.append(msgspec.msgpack.encode(body))
    return made


def _dictionary(report: Report) -> None:
    """Small bodies with a dictionary of 16 KB that was learned from others."""
    samples = bodies()
    known, unknown = samples[:2_000], samples[2_000:]
    learned = _native.Dictionary(_native.train_dictionary(known))
    packed = [learned.compress(body) for body in unknown]
    if [learned.decompress(body) for body in packed] != unknown:
        raise CorruptError("a body does not come back")
    size = sum(map(len, unknown))
    report.results["small_body_bytes"] = size / len(unknown)
    report.results["dictionary_ratio"] = size / sum(map(len, packed))
    report.peers[PEER]["dictionary_ratio"] = size / sum(len(_plain(body)) for body in unknown)
    took_ms = spent_ms(lambda: [learned.compress(body) for body in unknown])
    report.results["small_body_us"] = took_ms / len(unknown) * 1000


def _plain(body: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=3).compress(body)


if __name__ == "__main__":
    print(safe(msgspec.json.encode(load(int(sys.argv[1]))).decode()))
