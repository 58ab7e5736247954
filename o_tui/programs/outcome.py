"""How a run ended: its best program and history in the run's folder; a file of the user's only with his word."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from o_tui.evolution import run_notes
from o_tui.evolution.run_notes import write
from o_tui.programs import run as running
from o_tui.programs.convention import OBJECTIVE
from o_tui.programs.starting import digest
from o_tui.programs.store import Row, Store
from o_tui.protocol.errors import NotFoundError, RefusedError, UsageError

BEST, HISTORY, INITIAL = "best.py", "history.jsonl", "initial.py"


def finish(store: Store) -> dict[str, Any]:
    """Writes the best program and the history; what a command says at its end, but for the time.

    The champion is the one that was measured again; both its scores are there.
    """
    value = _summary(store)
    write(store.folder / INITIAL, store.source(store.fact("initial_sha256")))
    write(store.folder / HISTORY, "".join(running.history(store)).encode())
    store.set(outcome=value["outcome"])
    store.commit()
    run_notes.change(
        store.folder,
        ended_ns=time.time_ns(),
        outcome=value["outcome"],
        reason=value.get("reason", ""),
        evaluations=value["evaluations"],
        failed=value["failed"],
        initial=value["best"].get("initial_again"),
        best=value["best"].get("measured_again"),
        revision=value["best"]["revision"],
        path=value["best"]["path"],
    )
    return value


def _summary(store: Store) -> dict[str, Any]:
    rows = list(store.rows())
    champion = store.fact("champion") or {}
    best = next((row for row in rows if row.number == champion.get("number")), None)
    held = champion.get("measured_again")
    better = best is not None and best.number > 1 and running.improved(champion.get("initial_again"), held)
    settings = (store.fact("setup") or {}).get("settings", {})
    value: dict[str, Any] = {
        "evolution": store.fact("id"),
        "objective": ("-" if settings.get("smaller") else "") + settings.get("objective", OBJECTIVE),
        "outcome": "improved" if better else "no_improvement" if best is not None else "failed",
        "best": {"metrics": {}, "path": "", "revision": ""},
        "evaluations": len(rows),
        "failed": sum(row.score is None for row in rows),
    }
    if reason := store.fact("reason", ""):
        value |= {"outcome": "nothing_to_change", "reason": reason}
    elif best is None and store.fact("unloaded"):
        value["reason"] = "its time was over before the evaluator was loaded: that takes longer, or it hangs"
    elif not rows:
        value["reason"] = "its time was over before the first evaluation"
    if best is not None:
        value["best"] = _best(store, best) | {
            "claimed": best.score,
            "measured_again": held,
            "initial": rows[0].score,
            "initial_again": champion.get("initial_again"),
        }
    return value


def _best(store: Store, row: Row) -> dict[str, Any]:
    path = store.folder / BEST
    write(path, store.source(row.sha256))
    return {"metrics": row.metrics, "path": str(path), "revision": row.sha256}


def offer(store: Store, file: Path) -> str:
    """The best program as `file`: written where there was none ("written"), else "pending" until `approve`.

    A link stands for what it leads to.

    Raises:
        UsageError: It cannot be read; PeerError: it cannot be written.
    """
    file = Path(os.path.realpath(file))
    best = _champion(store)
    try:
        base = file.read_bytes()
    except FileNotFoundError:
        write(file, best)
        store.decide(digest(best), str(file), "", "written", "")
        store.commit()
        return "written"
    except OSError as error:
        raise UsageError(f"{file} cannot be replaced: {error.strerror}") from error
    if base == best:
        return "written"
    store.decide(digest(best), str(file), digest(base), "pending", "")
    store.commit()
    return "pending"


def approve(store: Store, sha256: str, who: str) -> str:
    """Replaces the file that waits, if program and file are still those that were shown; returns its path.

    Raises:
        NotFoundError: Nothing waits.
        RefusedError: Another program was approved, or the file is not the one that was offered to be replaced.
    """
    pending = store.pending()
    if pending is None:
        raise NotFoundError("no file of this run waits for an approval")
    best, file = _champion(store), Path(pending["file"])
    if not pending["sha256"] == digest(best) == sha256:
        raise RefusedError("that is not the digest of the program that waits", hint=f"it is {pending['sha256']}")
    try:
        now = digest(file.read_bytes())
    except OSError:
        now = ""
    if now != pending["base_sha256"]:
        store.decide(sha256, str(file), now, "stale base", who)
        store.commit()
        raise RefusedError(f"{file} has changed since it was offered; it is as it was", hint="say --out once more")
    store.decide(sha256, str(file), now, "approved", who)
    store.commit()  # who approved what is known before it is done
    write(file, best)
    return str(file)


def _champion(store: Store) -> bytes:
    champion = store.fact("champion")
    if not champion:
        raise NotFoundError("the run has no best program")
    for row in store.rows():
        if row.number == champion["number"]:
            return store.source(row.sha256)
    raise NotFoundError("the run has no best program")
