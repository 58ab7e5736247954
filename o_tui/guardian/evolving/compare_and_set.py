"""Whether an operator decides about what is there now: compare-and-set on evolution, base, diff and evidence."""

from __future__ import annotations

import asyncio
from typing import Any

from o_tui.evolution import diffs, evidence
from o_tui.evolution.genome import Genome
from o_tui.guardian.evolving.diffing import diff_of
from o_tui.guardian.evolving.evolution_book import Book
from o_tui.guardian.evolving.seams import Operator
from o_tui.protocol.errors import RefusedError


async def waiting(
    book: Book, genome: Genome, evolution: str, digest: str, operator: Operator, evidence_digest: str = ""
) -> dict[str, Any]:
    """The row of a change that this operator may decide about, as it was shown to him.

    Raises:
        NotFoundError: There is no such evolution.
        RefusedError: It does not wait, its diff (or its evidence, where that digest is given) is another one, its base
            is not what runs, or the operator only looks.
    """
    row = await book.get(evolution)
    operator.may_decide()
    if row["state"] != "pending":
        raise RefusedError(decided(row))
    if digest != row["diff_sha256"]:
        raise _other_digest(row, digest)
    diff = await diff_of(genome, row["base"], row["revision"])
    if diffs.digest(diff) != row["diff_sha256"]:
        raise RefusedError("changed: the candidate in git is not what was shown")
    if evidence.digest(row["evidence"]) != row["evidence_sha256"] or (
        evidence_digest and evidence_digest != row["evidence_sha256"]
    ):
        raise RefusedError("changed: the evidence is not what was shown")
    head = await asyncio.to_thread(genome.head)
    if head != row["base"]:
        raise RefusedError(f"stale base: made from {row['base'][:12]}, deployed is {head[:12]}", hint="evolve it again")
    return row


def _other_digest(row: dict[str, Any], digest: str) -> RefusedError:
    if digest and row["diff_sha256"].startswith(digest):
        return RefusedError(
            "give all 64 characters of the digest", hint=f"it is the last line of: o-tui show {row['id']}"
        )
    return RefusedError(
        f"changed: {digest[:12] or 'nothing'} was named, the candidate's diff is {row['diff_sha256'][:12]}",
        hint=f"look at it again: o-tui show {row['id']}",
    )


def decided(row: dict[str, Any]) -> str:
    """Why an evolution is not to be decided any more."""
    if row["state"] in ("promoted", "deploying", "canary"):
        return f"already approved by {row['by']}"
    reason = f": {row['reason']}" if row["reason"] else ""
    return f"{row['id']} is not waiting for approval, it is {row['state']}{reason}"
