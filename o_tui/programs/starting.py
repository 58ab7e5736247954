"""How a run begins, or goes on: what it was given is read once, pinned, and kept in the run's file."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from o_tui import _native
from o_tui.evolution import run_notes
from o_tui.evolution.run_notes import Note
from o_tui.paths import source_of
from o_tui.programs import convention, markers, search
from o_tui.programs.lane import modules_of
from o_tui.programs.orders import Setup
from o_tui.programs.run import Plan, Report, Run
from o_tui.programs.store import Store
from o_tui.protocol.errors import NotFoundError, OError, RefusedError, UsageError

BUDGET = 200
SEED = 0


@dataclass(frozen=True, slots=True)
class Wish:
    """What a command asks for; None: what the config says, else the default."""

    program: Path
    evaluator: Path
    config: Path | None = None
    budget: int | None = None
    time_s: float | None = None
    seed: int | None = None
    cluster: str = ""


def begin(folder: Path, wish: Wish, report: Report) -> Run:
    """A new run below `folder`; whatever is wrong with what it was given is in the run's file too.

    Raises:
        OError: A file is missing or is not what it must be; says which and what.
    """
    name = f"{time.strftime('%Y%m%d')}-{secrets.token_hex(4)}"
    note = Note(
        id=name,
        program=str(wish.program.absolute()),
        evaluator=str(wish.evaluator.absolute()),
        began_ns=time.time_ns(),
        process=run_notes.process(os.getpid()),
    )
    about = {"program": note.program, "evaluator": note.evaluator}
    store = Store.create(folder / name, {"id": name, "began_ns": note.began_ns, **about})
    try:
        plan = _plan(store, wish)
        store.commit()
        run_notes.keep(store.folder, msgspec.structs.replace(note, budget=plan.budget, seed=plan.seed))
        return _run(store, plan, report)
    except OError as error:
        store.set(outcome=run_notes.REFUSED, error=str(error))
        store.commit()
        store.close()
        ended = {"outcome": run_notes.REFUSED, "reason": str(error), "ended_ns": time.time_ns()}
        run_notes.keep(store.folder, msgspec.structs.replace(note, **ended))
        raise


def resume(
    folder: Path,
    name: str,
    wish: Wish | None,
    report: Report,
    budget: int | None = None,
    time_s: float | None = None,
    cluster: str = "",
) -> Run:
    """A run that stopped: by its name, or the newest of that program and evaluator; with another budget and time.

    Raises:
        NotFoundError: There is none.
        RefusedError: The evaluator has changed, or another process is at it.
    """
    store = Store.open(folder / (name or newest(folder, wish)))
    if store.fact("setup") is None:
        raise RefusedError(f"run {store.fact('id')} never began: {store.fact('error')}")
    setup = msgspec.convert({**store.fact("setup"), "source": store.source(store.fact("evaluator_sha256"))}, Setup)
    _unchanged(setup)
    initial = store.source(store.fact("initial_sha256"))
    plan = Plan(
        setup=setup,
        parts=markers.read(initial),
        seed=store.fact("seed"),
        budget=budget or store.fact("budget"),
        time_s=time_s,
        cluster=cluster,
    )
    store.set(budget=plan.budget)
    store.commit()
    now = {"process": run_notes.process(os.getpid()), "outcome": "", "reason": "", "ended_ns": 0}
    run_notes.change(store.folder, **now, budget=plan.budget)
    return _run(store, plan, report)


def newest(folder: Path, wish: Wish | None) -> str:
    """The name of the newest run, of that program and evaluator where they are given. Raises NotFoundError."""
    notes = [note for path in folder.glob(f"*/{run_notes.FILE}") if (note := run_notes.read(path.parent)) is not None]
    files = None if wish is None else (str(wish.program.absolute()), str(wish.evaluator.absolute()))
    found = [
        (note.began_ns, note.id)
        for note in notes
        if note.outcome != run_notes.REFUSED and files in (None, (note.program, note.evaluator))
    ]
    if not found:
        raise NotFoundError("there is no run to resume", hint="leave --resume out to begin one")
    return str(max(found)[1])


def _plan(store: Store, wish: Wish) -> Plan:
    program, evaluator = (source_of(path, markers.SOURCE_LIMIT_BYTES) for path in (wish.program, wish.evaluator))
    settings = convention.Settings()
    if wish.config is not None:
        settings, unused = convention.settings_of(_text(wish.config), str(wish.config))
        store.set(unused=unused)
    parts = markers.read(program, str(wish.program))
    kind = convention.kind_of(evaluator, settings, str(wish.evaluator))
    setup = Setup(
        evaluator=str(wish.evaluator.absolute()),
        source=evaluator,
        kind=kind,
        settings=settings,
        text=convention.reads_text(evaluator),
        program=wish.program.name,
        modules=modules_of([program, evaluator]),
    )
    seed = next(each for each in (wish.seed, settings.seed, SEED) if each is not None)
    plan = Plan(setup, parts, seed, wish.budget or settings.budget or BUDGET, wish.time_s, wish.cluster)
    tier = _native.probe()["tier"]
    if tier == "X":
        raise RefusedError("programs cannot be confined on this machine", hint="o-tui sandbox probe says why")
    facts = msgspec.to_builtins(setup)
    del facts["source"]
    store.set(
        setup=facts, seed=seed, budget=plan.budget, tier=tier, initial_sha256=store.put(program),
        evaluator_sha256=store.put(evaluator),
    )  # fmt: skip
    return plan


def _run(store: Store, plan: Plan, report: Report) -> Run:
    initial = plan.parts.joined(plan.parts.blocks).decode("utf-8")
    maker: Callable[[dict[str, Any] | None], search.Proposer] = search.operators(plan.seed)
    return Run(store, plan, search.Search(initial, maker), report)


def _unchanged(setup: Setup) -> None:
    path = Path(setup.evaluator)
    try:
        same = source_of(path, markers.SOURCE_LIMIT_BYTES) == setup.source
    except OError:
        return  # it is kept in the run
    if not same:
        raise RefusedError(
            f"{path} has changed since the run began: its scores would not be alike",
            hint="leave --resume out to begin a new run",
        )


def _text(path: Path) -> str:
    try:
        return source_of(path, markers.SOURCE_LIMIT_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text: byte {error.start}") from error


def digest(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()
