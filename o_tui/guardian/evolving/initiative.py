"""What becomes of an intent: an evolution, or a row that says why there was none.

Nothing begins on its own while the agent is at work, more often than the settings say, or twice for a gene within the
cool-down. What an instance asks for is taken into account like what was seen, without figures; it can ask in vain.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from o_tui.config import EvolutionConfig
from o_tui.guardian.evolving.perception import METRICS, Intent
from o_tui.guardian.storage.learning_rows import LearningRows
from o_tui.protocol import contracts
from o_tui.protocol.errors import OError
from o_tui.protocol.safe_text import safe

QUIET_S = 5.0
"""The agent has had nothing to do for so long before anything begins."""
COOLDOWN_S = 3_600.0
"""Least time between two tries of the same gene, and between two rows that say the same."""
DAY_S = 86_400.0
WAITING = 16
_TEXT_CHARS = 200
_READ = 1_000


class Initiative:
    """Takes intents, and tries what may be tried."""

    def __init__(
        self,
        rows: LearningRows,
        *,
        begin: Callable[..., Awaitable[dict[str, Any]]],
        busy: Callable[[str], Awaitable[bool]],
        settings: Callable[[], EvolutionConfig],
        held: Callable[[], str],
        told: Callable[[str, dict[str, Any]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begins with nothing known.

        Args:
            rows: Where intents are kept.
            begin: `Evolutions.begin`.
            busy: Whether an evolution of a gene runs or waits.
            settings: How often.
            held: Why nothing may begin.
            told: A sentence for the events, and its data.
            clock: Monotonic seconds.
        """
        self._rows = rows
        self._begin = begin
        self._busy = busy
        self._settings = settings
        self._held = held
        self._told = told
        self._clock = clock
        self._waiting: dict[tuple[str, str], Intent] = {}
        self._said: dict[tuple[str, str, str], float] = {}
        self._tried: dict[str, float] = {}
        self._days: list[float] = []
        self._worked_s = clock()

    async def load(self) -> None:
        """At the start: what the last guardian tried counts for the limits of this one."""
        try:
            rows = await self._rows.intents(_READ)
        except OError as error:
            self._told(f"what was tried before cannot be read: {error}", {})
            return
        now_ns, now_s = time.time_ns(), self._clock()
        for row in reversed(rows):
            age_s = max(0.0, (now_ns - row["time_ns"]) / 1e9)
            if row["evolution"] and age_s < DAY_S:
                self._days.append(now_s - age_s)
                self._tried[row["gene"]] = now_s - age_s

    def raised(self, intent: Intent) -> None:
        """Something was seen; it waits for quiet."""
        if len(self._waiting) < WAITING:
            self._waiting.setdefault((intent.gene, intent.metric), intent)

    def asked(self, gene: str, reason: str, hypothesis: str) -> None:
        """An instance would like a gene changed: its words count, figures of its own do not."""
        if not contracts.is_gene(gene):
            return
        text = safe(reason)[:_TEXT_CHARS]
        goal = safe(hypothesis)[:_TEXT_CHARS] or text
        self.raised(Intent(gene, "asked", f"the agent would like {gene} changed: {text}", goal, {}))

    async def look(self, in_flight: int) -> None:
        """Called again and again: what waits is tried as soon as the agent has been quiet."""
        now_s = self._clock()
        if in_flight:
            self._worked_s = now_s
        if not self._waiting or now_s - self._worked_s < QUIET_S:
            return
        intent = self._waiting.pop(next(iter(self._waiting)))
        reason, evolution = await self._why_not(intent, now_s), ""
        if not reason:
            reason, evolution = await self._try(intent, now_s)
        said = (intent.gene, intent.metric, reason)
        if reason and now_s - self._said.get(said, -COOLDOWN_S) < COOLDOWN_S:
            return
        self._said = {key: at for key, at in self._said.items() if now_s - at < COOLDOWN_S} | {said: now_s}
        await self._keep(intent, evolution, reason)

    async def _why_not(self, intent: Intent, now_s: float) -> str:
        limit = self._settings().intents_per_day
        if not limit:
            return "nothing begins without being asked for (evolution.intents_per_day is 0)"
        if held := self._held():
            return held
        if now_s - self._tried.get(intent.gene, -COOLDOWN_S) < COOLDOWN_S:
            return f"{intent.gene} was tried within the last hour"
        self._days = [at for at in self._days if now_s - at < DAY_S]
        if len(self._days) >= limit:
            return f"{limit} evolutions have begun by themselves today (evolution.intents_per_day)"
        if await self._busy(intent.gene):
            return f"an evolution of {intent.gene} runs or waits already"
        return ""

    async def _try(self, intent: Intent, now_s: float) -> tuple[str, str]:
        why = {"metric": intent.metric, "text": intent.text, "figures": dict(intent.figures)}
        usual = METRICS[intent.metric].measured if intent.metric in METRICS else "any"
        metric = intent.measured or usual
        try:
            begun = await self._begin(
                intent.gene, "", "auto", intent.goal, why=why, hypothesis=intent.text, metric=metric
            )
        except OError as error:
            return str(error), ""
        self._tried[intent.gene] = now_s
        self._days.append(now_s)
        return "", str(begun["evolution"])

    async def _keep(self, intent: Intent, evolution: str, reason: str) -> None:
        outcome = f"tried as {evolution}" if evolution else f"not tried: {reason}"
        self._told(f"{intent.text}; {outcome}", {"gene": intent.gene, "metric": intent.metric, "evolution": evolution})
        fields = {"gene": intent.gene, "metric": intent.metric, "text": intent.text}
        await self._rows.intent(intent.figures, evolution=evolution, reason=reason, **fields)
