"""Another shadow run of a change that waits: fresh forks, other requests. Its evidence takes the place of the old one.

Until it has come, the old evidence stays in the row and nothing can be approved; then evidence, verdict and state
change in one step. A run that cannot be finished, whatever the reason, leaves the change waiting as it was.
"""

from __future__ import annotations

import asyncio
from typing import Any

from o_tui.config import EvolutionConfig
from o_tui.evolution import evidence
from o_tui.evolution.budget import Cost
from o_tui.guardian.evolving.evolution_book import Book
from o_tui.guardian.evolving.measuring import Measuring
from o_tui.guardian.evolving.seams import GenomeLoadError
from o_tui.protocol.errors import OError


async def measure(
    book: Book, measuring: Measuring, row: dict[str, Any], settings: EvolutionConfig, turn: asyncio.Lock
) -> None:
    """Measures the candidate of a row that `Deploying.reopen` has opened, when it is its turn. Raises nothing of it."""
    try:
        async with turn:
            # a race's winner was measured under 1 already
            found = await measuring.measure(
                row, row["revision"], settings, pairs=settings.pairs, again=1 + row["again"]
            )
    except GenomeLoadError as error:
        await book.end(row, state="rejected", verdict="reject", reason=str(error))
    except OError as error:
        await put_back(book, row, str(error))
    except asyncio.CancelledError as error:
        await asyncio.shield(put_back(book, row, str(error.args[0]) if error.args else "it was stopped"))
        raise
    except Exception as error:  # noqa: BLE001 - the border of a task: a defect of ours ends this run only
        await put_back(book, row, f"a defect of O: {type(error).__name__}: {error}")
    else:
        # numbered: its digest is another one even where all figures are equal
        plain, decision = {**found.evidence, "run": 1 + row["again"]}, found.decision
        refused = decision.verdict == "reject"
        spent = Cost(**row["budget"].get("spent", {})) + found.cost
        await book.end(
            row,
            state="rejected" if refused else "pending",
            reason="; ".join(decision.reasons) if refused else decision.reasons[0],
            verdict=decision.verdict,
            evidence=plain,
            evidence_sha256=evidence.digest(plain),
            budget={**row["budget"], "spent": spent.row()},
        )


async def put_back(book: Book, row: dict[str, Any], why: str) -> None:
    """It waits as before, with the evidence that it had."""
    reason = f"another shadow run was not finished ({why}); the evidence is the one from before"
    await book.end(row, state="pending", reason=reason)
