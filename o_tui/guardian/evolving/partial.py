"""What an operator makes of a candidate that waits: a part of it (the base with only the lines that were marked), or
its text, edited. It is a new candidate, and goes through everything again: what was measured was the other one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from o_tui.evolution import diffs
from o_tui.evolution.genome import Genome
from o_tui.guardian.evolving.compare_and_set import waiting
from o_tui.guardian.evolving.evolution_book import Book
from o_tui.guardian.evolving.seams import Operator
from o_tui.protocol.contracts import FILE_LIMIT_BYTES, path_of
from o_tui.protocol.errors import UsageError


async def make(
    book: Book, genome: Genome, evolution: str, digest: str, keep: Sequence[str], operator: Operator
) -> tuple[str, dict[str, Any]]:
    """The source of the part, and the row that it is a part of.

    Args:
        book: The evolutions.
        genome: The genome.
        evolution: One that waits for a decision.
        digest: SHA-256 of the diff that the lines were marked in.
        keep: "recall.py:+12", "-7", "@2": new line 12, old line 7, the whole second hunk.
        operator: Who marked them.

    Raises:
        NotFoundError: There is no such evolution.
        RefusedError: It does not wait any more, its diff is another one, its base is not what runs, or the operator
            only looks.
        UsageError: There is no such line, or what is kept is nothing, or all.
    """
    row = await waiting(book, genome, evolution, digest, operator)
    before = await asyncio.to_thread(genome.source, row["base"], row["gene"])
    return await asyncio.to_thread(_apply, before, row, keep), row


async def edited(
    book: Book, genome: Genome, evolution: str, digest: str, text: str, operator: Operator
) -> dict[str, Any]:
    """The row whose candidate an operator has edited into `text`.

    Raises:
        NotFoundError, RefusedError: As `make`.
        UsageError: The text is the candidate's, main's, or too long.
    """
    row = await waiting(book, genome, evolution, digest, operator)
    if len(text.encode("utf-8", "surrogateescape")) > FILE_LIMIT_BYTES:
        raise UsageError(f"a gene has at most {FILE_LIMIT_BYTES} bytes")
    for revision, whose in ((row["revision"], "the candidate's"), (row["base"], "main's")):
        if text == await asyncio.to_thread(genome.source, revision, row["gene"]):
            raise UsageError(f"nothing to try: that is {whose} text")
    return row


def _apply(before: str, row: dict[str, Any], keep: Sequence[str]) -> str:
    files = [file for file in diffs.parse(row["diff"]) if path_of(row["gene"]) in (file.new_path, file.old_path)]
    if len(files) != 1:
        raise UsageError(f"the diff of {row['id']} has no lines of {row['gene']}")
    (file,) = files
    try:
        chosen = diffs.chosen_keys(file, keep)
        made = diffs.apply_part(before, file, chosen)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if not chosen:
        raise UsageError("nothing of it would be kept", hint=f"o-tui reject {row['id']} --reason TEXT")
    if len(chosen) == file.added + file.removed:
        raise UsageError("that is all of it", hint=f"o-tui approve {row['id']} --digest {row['diff_sha256']}")
    return made
