"""Which requests a trial is made of: the recorded ones first, then the gene's workload.

A workload is `<gene>.jsonl`, one object a line: `text`, and where they differ from a chat's `kind` and `session`;
`expect` is what a right answer holds (quality.py). Lines with `setup` fill the memory that the others are answered
from: each process gets them first, and they are not measured.
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

FILE_LIMIT_BYTES = 4 * 1024 * 1024


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
) -> Workload:
    """At most `pairs` requests: kept attacks first, then the newest recorded and the workload's in random order.

    Workload requests whose quality can be judged have half of the places, if there are so many.
    """
    judged = [request for request in workload.requests if request.expect is not None][: pairs // 2]
    others = [request for request in workload.requests if request.expect is None]
    known = list(recorded[: max(0, pairs - len(judged))]) + judged
    known += others[: max(0, pairs - len(known))]
    random.Random(seed).shuffle(known)
    setup = workload.setup if any(request.source == "workload" for request in known) else ()
    return Workload(setup, (*attacks[:pairs], *known))


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
    if "expect" in row and (wrong := quality.check(row["expect"])):
        raise CorruptError(f"{where}: {wrong}")
    request = RecordedRequest(
        id=name,
        text=row["text"],
        kind=str(row.get("kind", "chat")),
        session=str(row.get("session", "main")),
        source="workload",
        expect=row.get("expect"),
    )
    return row.get("setup") is True, request
