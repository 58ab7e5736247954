"""Runs of users' programs are rows of the history: read from what each run says of itself, when somebody looks.

A run needs no guardian and asks none: what it did while none ran is in the history of the next one.
"""

from __future__ import annotations

import asyncio
import copy
import heapq
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from o_tui.evolution import run_notes
from o_tui.evolution.run_notes import Note
from o_tui.guardian.evolving.evolution_book import EMPTY, light
from o_tui.guardian.evolving.seams import Rows

ORIGIN = "program"
MOST = 1_000
"""The newest runs that are looked at."""


class ProgramRuns:
    """The runs below a folder, and their rows."""

    def __init__(self, folder: Path, rows: Rows, publish: Callable[[str, dict[str, Any]], None]) -> None:
        self._folder = folder
        self._rows = rows
        self._publish = publish
        self._seen: dict[str, tuple[int, str]] = {}
        self._turn = asyncio.Lock()

    async def look(self) -> None:
        """Makes rows of what has changed since the last look, and tells the views."""
        async with self._turn:
            for changed_ns, note in await asyncio.to_thread(self._changed):
                row = row_of(note)
                known = await self._rows.get(note.id)
                if known is None or known["id"] != note.id or any(known.get(key) != row[key] for key in _TOLD):
                    await self._rows.add(row)
                    self._publish("evolution", light(row))
                self._seen[note.id] = changed_ns, note.state

    def _changed(self) -> list[tuple[int, Note]]:
        """Notes that were replaced, and those of runs whose process has gone; the oldest first."""
        found = []
        for folder in _folders(self._folder):
            try:
                changed_ns = (folder / run_notes.FILE).stat().st_mtime_ns
            except OSError:
                continue
            before_ns, state = self._seen.get(folder.name, (-1, ""))
            if changed_ns == before_ns and state != run_notes.RUNNING:
                continue
            note = run_notes.read(folder)
            if note is not None and (changed_ns, note.state) != (before_ns, state):
                found.append((changed_ns, note))
        return sorted(found, key=lambda each: each[1].began_ns)


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []
    return [folder / name for name in names[-MOST:]]  # names begin with the day


def row_of(note: Note) -> dict[str, Any]:
    """A run as a row of the history. Its `gene` has a dot, which no gene's name has: it is none."""
    name = Path(note.program).name
    ended = note.state not in (run_notes.RUNNING, run_notes.STOPPED)
    return copy.deepcopy(EMPTY) | {
        "id": note.id,
        "gene": name if "." in name else f"./{name}",
        "origin": ORIGIN,
        "source": {"origin": ORIGIN},
        "goal": "",
        "state": note.state,
        "reason": told(note),
        "time_ns": note.began_ns,
        "decided_ns": (note.ended_ns or time.time_ns()) if ended else 0,
        "evaluations": note.evaluations,
        "best": {"initial": note.initial, "measured_again": note.best, "path": note.path, "revision": note.revision},
    }


_TOLD = ("state", "reason", "evaluations", "best")


def told(note: Note) -> str:
    """How a run stands or ended, in one line."""
    if note.reason:
        return note.reason
    if note.state == run_notes.RUNNING:
        return f"{note.budget} evaluations, seed {note.seed}"
    if note.state == run_notes.STOPPED:
        stopped = f"stopped after {note.evaluations} of {note.budget} evaluations"
        how = "its process ended in the middle" if note.process else stopped
        return f"{how}; go on: o-tui evolve --resume {note.id}"
    scores = f"{_figure(note.initial)} -> {_figure(note.best)}"
    return f"{scores} in {note.evaluations} evaluations, {note.failed} failed"


def _figure(score: float | None) -> str:
    return "none" if score is None else f"{score:.6g}"


def without(rows: list[Mapping[str, Any]] | list[dict[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows that are changes of the agent itself."""
    return [row for row in rows if row.get("origin") != ORIGIN]


def in_order(rows: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Newest first, as the database has them, whatever the clock said; runs, which it may have read later than they
    began, by their time among the others.
    """
    runs = sorted((row for row in rows if row.get("origin") == ORIGIN), key=_newness)
    return list(heapq.merge(without(rows), runs, key=_newness))


def _newness(row: Mapping[str, Any]) -> int:
    return -int(row["time_ns"])
