"""Which requests a trial is made of: the recorded ones first, then the gene's workload.

A workload is `<gene>.jsonl`, one object a line: `text`, and where they differ from a chat's `kind` and `session`;
`expect` is what a right answer holds (quality.py). Lines with `setup` fill the memory that the others are answered
from: each process gets them first, and they are not measured. Lines with the same `scope` belong together: their
requests are answered from their memories alone. Lines with `holdout` are for the proof only.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from o_tui.evolution import quality
from o_tui.evolution.samples import RecordedRequest
from o_tui.protocol.errors import CorruptError

KEYS = ("text", "kind", "session", "setup", "expect", "scope", "holdout")
FILE_LIMIT_BYTES = 16 * 1024 * 1024
BLOCK = 50
"""Requests of one scope that are given one behind the other."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What is given to each process first, and what is measured then."""

    setup: tuple[RecordedRequest, ...] = ()
    requests: tuple[RecordedRequest, ...] = ()


def load(folders: Sequence[Path], gene: str) -> Workload:
    """The workload of a gene, from the first folder that has one; for a tool without one, that of `respond`.

    Raises:
        CorruptError: A line is not what it should be (named).
    """
    names = [gene, "respond"] if gene.startswith("tools/") else [gene]
    for name in names:
        for folder in folders:
            file = folder / f"{name}.jsonl"
            if file.is_file():
                return _read(file, gene)
    return Workload()


def choose(
    recorded: Sequence[RecordedRequest],
    workload: Workload,
    pairs: int,
    seed: int,
    attacks: Sequence[RecordedRequest] = (),
    *,
    proof: bool = False,
) -> Workload:
    """At most `pairs` requests: kept attacks first, then the newest recorded and the workload's in random order.

    Workload requests whose quality can be judged have half of the places, if there are so many; all of them, where
    some are held back. Those that are held back are for a `proof`, and a proof is made on them alone.
    """
    chance = random.Random(seed)
    held_back = [request for request in workload.requests if request.held_back]
    if held_back and proof:
        chance.shuffle(held_back)
        return Workload(workload.setup, (*attacks[:pairs], *in_blocks(held_back, chance)))
    usual = [request for request in workload.requests if not request.held_back]
    judged = [request for request in usual if request.expect is not None]
    chance.shuffle(judged)
    judged = judged[: pairs if held_back else pairs // 2]
    others = [request for request in usual if request.expect is None]
    known = list(recorded[: max(0, pairs - len(judged))]) + judged
    known += others[: max(0, pairs - len(known))]
    chance.shuffle(known)
    setup = workload.setup if any(request.source == "workload" for request in known) else ()
    return Workload(setup, (*attacks[:pairs], *in_blocks(known, chance)))


def in_blocks(requests: Sequence[RecordedRequest], chance: random.Random) -> list[RecordedRequest]:
    """The requests, those of one scope in blocks of `BLOCK`: a pair of processes has one memory."""
    blocks: list[list[RecordedRequest]] = []
    open_blocks: dict[str, list[RecordedRequest]] = {}
    for request in requests:
        block = open_blocks.get(request.scope)
        if block is None or len(block) == BLOCK:
            block = open_blocks[request.scope] = []
            blocks.append(block)
        block.append(request)
    if len(open_blocks) > 1:
        chance.shuffle(blocks)
    return [request for block in blocks for request in block]


def _read(file: Path, gene: str) -> Workload:
    if file.stat().st_size > FILE_LIMIT_BYTES:
        raise CorruptError(f"the workload {file.name} is larger than {FILE_LIMIT_BYTES // 1024**2} MiB")
    setup: list[RecordedRequest] = []
    requests: list[RecordedRequest] = []
    for number, line in enumerate(file.read_text("utf-8", "replace").splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            first, request = _request(line, f"workload-{gene}-{number}", f"{file.name}:{number}")
            (setup if first else requests).append(request)
    return Workload(tuple(setup), tuple(requests))


def _request(line: str, name: str, where: str) -> tuple[bool, RecordedRequest]:
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        raise CorruptError(f"{where}: not JSON: {error}") from error
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise CorruptError(f"{where}: an object with a text is needed")
    if unknown := sorted(row.keys() - set(KEYS)):
        raise CorruptError(f"{where}: there is no key {unknown[0][:40]!r}: {', '.join(KEYS)}")
    if "expect" in row and row.get("setup") is True:
        raise CorruptError(f"{where}: expect does not go with setup: what is set up is not measured")
    if "expect" in row and (wrong := quality.check(row["expect"])):
        raise CorruptError(f"{where}: {wrong}")
    request = RecordedRequest(
        id=name,
        text=row["text"],
        kind=str(row.get("kind", "chat")),
        session=str(row.get("session", "main")),
        source="workload",
        expect=row.get("expect"),
        scope=str(row.get("scope", "")),
        held_back=row.get("holdout") is True,
    )
    return row.get("setup") is True, request
