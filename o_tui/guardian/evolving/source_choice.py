"""Which source an evolution asks first: the gene `strategy` says so, from how earlier candidates ended.

It runs where all genes run, confined, in a fork that is thrown away; the guardian reads one word of its answer. Where
there is no such gene, or it fails, the built-in strategy decides.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from o_tui.evolution import strategy
from o_tui.evolution.genome import Genome
from o_tui.evolution.samples import RecordedRequest
from o_tui.guardian.evolving.code import code_of
from o_tui.guardian.evolving.seams import InstanceDiedError, Instances
from o_tui.guardian.storage.learning_rows import LearningRows
from o_tui.protocol.errors import OError

KIND = "strategy.choose"
"""The kind of request that the kernel answers by the gene."""
CHOOSE_S = 2.0
_SHOWN = ("gene", "source", "operator", "outcome", "cost_s")


class SourceChoice:
    """Chooses a source."""

    def __init__(self, genome: Genome, instances: Instances, rows: LearningRows) -> None:
        self._genome = genome
        self._instances = instances
        self._rows = rows

    async def order(self, options: Sequence[str]) -> tuple[list[str], str]:
        """The options, the chosen one first, and who chose: "strategy" or "built in", with why the gene did not."""
        outcomes = await self._rows.outcomes()
        if len(options) < 2:
            return list(options), "there was one"
        by = "strategy"
        try:
            chosen = await self._ask_gene(outcomes, options)
        except OError as error:
            chosen, by = strategy.choose(outcomes, options), f"built in ({error})"
        return [chosen, *(each for each in options if each != chosen)], by

    async def _ask_gene(self, outcomes: Sequence[dict[str, Any]], options: Sequence[str]) -> str:
        head = await asyncio.to_thread(self._genome.head)
        code = await code_of(self._genome, head)
        if "strategy.py" not in code.files:
            raise OError("the genome has no gene strategy")
        shown = [{key: row[key] for key in _SHOWN} for row in outcomes]
        text = json.dumps({"outcomes": shown, "options": list(options)})
        instance = await self._instances.fork_shadow(code, "strategy", "")
        try:
            async with asyncio.timeout(CHOOSE_S):
                outcome = await instance.request(RecordedRequest("strategy", text, KIND))
        except TimeoutError as error:
            raise OError(f"the gene strategy did not choose within {CHOOSE_S:g} s") from error
        except InstanceDiedError as error:
            raise OError(f"the gene strategy ended its instance: {error}") from error
        finally:
            await instance.kill()
        if not outcome.ok:
            raise OError(f"the gene strategy failed: {outcome.error}")
        try:
            chosen = json.loads(outcome.text)
        except ValueError:
            chosen = None
        if chosen not in options:
            raise OError("the gene strategy chose what was not to choose from")
        return str(chosen)
