"""The model as a writer of attacks: asked through the broker while nobody needs the agent, within its tokens a day."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from o_tui.evolution import attack_writing
from o_tui.evolution.adversarial import Day
from o_tui.evolution.attacks import Attack
from o_tui.evolution.candidates import ModelText
from o_tui.evolution.probe.case import Case, show
from o_tui.guardian.storage.eventlog import Level
from o_tui.protocol.errors import OError

_CHARS_A_TOKEN = 4
"""What a question has cost of which no answer came: an estimate."""


class Writer:
    """Asks for inputs that could break a gene; one question at a time."""

    def __init__(
        self,
        ask: Callable[[Sequence[Mapping[str, str]]], Awaitable[ModelText]],
        *,
        model: Callable[[], str],
        tokens: Callable[[], int],
        told: Callable[[Level, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Asks nothing yet.

        Args:
            ask: The model's answer (Surroundings.ask_model).
            model: Its name; empty: there is none.
            tokens: What it may use a day.
            told: Level and sentence for the events.
            clock: Monotonic seconds.
        """
        self.used = Day()
        self._ask = ask
        self._model = model
        self._tokens = tokens
        self._told = told
        self._clock = clock
        self._asked: asyncio.Future[ModelText] | None = None

    def name(self) -> str:
        """The model's."""
        return self._model()

    def may_write(self, now_s: float) -> bool:
        """Whether there is a model, and tokens left for today."""
        return bool(self._model()) and self.used.total(now_s) < self._tokens()

    def stop(self) -> None:
        """Gives up the question: somebody needs the agent, and perhaps the model."""
        if self._asked is not None:
            self._asked.cancel()

    async def write(self, gene: str, source: str, known: Sequence[Attack]) -> list[Case] | None:
        """Inputs for a gene, none where the model writes none or does not answer; None: it was stopped."""
        said = [f"{show(attack.case())}: {attack.expected}" for attack in known]
        asked = attack_writing.question(gene, source, said)
        self._asked = asyncio.ensure_future(self._ask(asked))
        cost = sum(len(message["content"]) for message in asked) // _CHARS_A_TOKEN
        try:
            await asyncio.wait([self._asked])
            if self._asked.cancelled():
                return None
            answer = self._asked.result()
            cost = answer.cost.tokens or cost
        except OError as error:
            self._told("warning", f"the model wrote no attacks on {gene}: {error}")
            return []
        finally:
            self._asked.cancel()
            self._asked = None
            self.used.add(cost, self._clock())
        found = await asyncio.to_thread(attack_writing.read, answer.text, gene)
        self._told("info", f"{answer.model or 'the model'} wrote {len(found)} inputs for {gene} ({cost:,} tokens)")
        return found
