"""Which requests a trial is made of: the recorded ones first, then the gene's workload.

A workload is `<gene>.jsonl`, one object a line: `text`, and where they differ from a chat's `kind` and `session`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from o_tui.evolution.samples import RecordedRequest
from o_tui.protocol.errors import CorruptError

FILE_LIMIT_BYTES = 4 * 1024 * 1024


def load(folders: Sequence[Path], gene: str) -> list[RecordedRequest]:
    """The workload of a gene from the first folder that has one; for a tool without one, that of `respond`.

    Raises:
        CorruptError: A line is not what it should be (named).
    """
    names = [gene, "respond"] if gene.startswith("tools/") else [gene]
    for name in names:
        for folder in folders:
            file = folder / f"{name}.jsonl"
            if file.is_file():
                return _read(file, gene)
    return []


def choose(
    recorded: Sequence[RecordedRequest], workload: Sequence[RecordedRequest], pairs: int, seed: int
) -> list[RecordedRequest]:
    """`pairs` requests in random order: the newest recorded, filled up from the workload, repeated if need be."""
    known = list(recorded[:pairs])
    known += workload[: pairs - len(known)]
    if not known:
        return []
    chosen = [known[at % len(known)] for at in range(pairs)]
    random.Random(seed).shuffle(chosen)
    return chosen


def _read(file: Path, gene: str) -> list[RecordedRequest]:
    if file.stat().st_size > FILE_LIMIT_BYTES:
        raise CorruptError(f"the workload {file.name} is larger than {FILE_LIMIT_BYTES // 1024**2} MiB")
    found: list[RecordedRequest] = []
    for number, line in enumerate(file.read_text("utf-8", "replace").splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            found.append(_request(line, f"workload-{gene}-{number}", f"{file.name}:{number}"))
    return found


def _request(line: str, name: str, where: str) -> RecordedRequest:
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        raise CorruptError(f"{where}: not JSON: {error}") from error
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise CorruptError(f"{where}: an object with a text is needed")
    return RecordedRequest(
        id=name,
        text=row["text"],
        kind=str(row.get("kind", "chat")),
        session=str(row.get("session", "main")),
        source="workload",
    )
