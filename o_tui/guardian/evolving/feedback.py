"""What an operator says of an answer, `good` or `bad`: a row, and a figure that perception watches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from o_tui.guardian.evolving.seams import Operator
from o_tui.guardian.storage.journal import Journal
from o_tui.guardian.storage.learning_rows import LearningRows
from o_tui.protocol.errors import NotFoundError, UsageError

VERDICTS = ("good", "bad")
TEXT_CHARS = 2_000
_LOOKED_AT = 100
"""Of so many of the newest requests the answer may be judged."""


class Feedback:
    """Takes feedback on answers."""

    def __init__(
        self,
        rows: LearningRows,
        journal: Journal,
        revision: Callable[[], str],
        heard: Callable[[dict[str, Any]], None],
    ) -> None:
        """`revision` is what main runs; `heard` is told of each row."""
        self._rows = rows
        self._journal = journal
        self._revision = revision
        self._heard = heard

    async def give(self, verdict: str, text: str, request_id: str, operator: Operator) -> dict[str, Any]:
        """Keeps it, for the newest answer where none is named.

        Raises:
            UsageError: Neither good nor bad.
            NotFoundError: There is no such answer among the newest.
        """
        if verdict not in VERDICTS:
            raise UsageError(f"feedback is good or bad, not {verdict[:40]!r}")
        page = await self._journal.page("", _LOOKED_AT)
        answered = [row for row in page if row["kind"] == "chat" and row["state"] in ("done", "failed")]
        found = next((row for row in answered if not request_id or row["request_id"].startswith(request_id)), None)
        if found is None:
            what = f"no answer {request_id[:40]!r} among the newest" if request_id else "no answer yet"
            raise NotFoundError(f"there is {what}")
        row = await self._rows.feedback(
            request_id=found["request_id"],
            verdict=verdict,
            text=text.strip()[:TEXT_CHARS],
            who=operator.name,
            revision=self._revision(),
        )
        self._heard(row)
        return row
