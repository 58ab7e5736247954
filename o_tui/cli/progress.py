"""What an evolution does, line by line while it goes on: its phases, its candidates or generations, how they did."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from o_tui.cli.output import Output
from o_tui.ui.outcome import at_work

SAID_S = 10.0
"""Where no line can be written anew, what is being done is said no more often."""
_MAKING = ("generate", "validate")


class Progress:
    """Tells each change of an evolution's row once.

    Attributes:
        many: Several candidates are made: each has one line of its own, and only the stages that it did not pass.
    """

    def __init__(self, out: Output, *, many: bool, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.many = many
        self._out = out
        self._clock_s = clock_s
        self._said_s = clock_s()
        self._state = ""
        self._revision = ""
        self._candidates = 0
        self._stages = 0
        self._race = 0
        self._generation = 0

    def tell(self, row: dict[str, Any]) -> None:
        """The row as it is now."""
        if self._out.json:
            self._out.value({"event": "evolution"} | row)
            return
        self._out.status("")
        if row.get("generations"):
            self._population(row["generations"], row["state"] in _MAKING)
        else:
            self._candidate(row)
            self._validation(row.get("stages") or [])
        self._measured(row.get("race") or [])
        if row["state"] != self._state and not (self.many and row["state"] in _MAKING):
            self._out.line(f"{row['state']}")
        self._state = row["state"]
        self._doing(row)

    def end(self) -> None:
        """Nothing is done any more."""
        self._out.status("")

    def _doing(self, row: dict[str, Any]) -> None:
        """With which candidate of how many what is done, or of a generation of them."""
        if not (words := at_work(row)):
            return
        last = (row.get("generations") or [{}])[-1]
        if last and row["state"] in _MAKING and row["work"]["doing"] != "final":
            words = f"generation {last['number']} of {last['of']}: {words}"
        if self._out.is_live:
            self._out.status(words)
        elif self._clock_s() - self._said_s >= SAID_S:
            self._said_s = self._clock_s()
            self._out.line(f"  {words}")
            self._out.flush()

    def _candidate(self, row: dict[str, Any]) -> None:
        if row["revision"] == self._revision:
            return
        self._revision, self._stages = row["revision"], 0
        self._candidates += 1
        if self.many:
            self._out.line(f"candidate {self._candidates}: {_how(row.get('source') or {})}")

    def _population(self, generations: list[dict[str, Any]], more: bool) -> None:
        """A line for each generation that is over: it is whole, the next one has begun, or no `more` are made."""
        last = generations[-1]
        over = generations if last["measured"] == last["size"] or not more else generations[:-1]
        for each in over[self._generation :]:
            quality = f"  quality {each['quality']:+.3f}" if each.get("quality") else ""
            found = f"{quality}  {_how(each)}" if each.get("score", 0) > 0 else "  nothing better"
            self._out.line(f"generation {each['number']} of {each['of']}: {each['measured']} looked at{found}".rstrip())
        self._generation = max(self._generation, len(over))

    def _validation(self, stages: list[dict[str, Any]]) -> None:
        for stage in stages[self._stages :]:
            if not self.many or stage["verdict"] != "pass":
                line = f"  {stage['name']:<12} {stage['verdict']:<5} {stage['ms']:>8.1f} ms  {stage['detail']}"
                self._out.line(line.rstrip())
        self._stages = len(stages)

    def _measured(self, race: list[dict[str, Any]]) -> None:
        for number, found in enumerate(race[self._race :], self._race + 1):
            quality = f"  quality {found['quality']:+.3f}" if found.get("quality") else ""
            self._out.line(
                f"  measured {number}: {found['verdict'].replace('_', ' ')}{quality}  {_how(found)}".rstrip()
            )
        self._race = len(race)


def _how(source: dict[str, Any]) -> str:
    """By which operator, and what it changed."""
    who = source.get("operator") or source.get("origin") or ""
    detail = source.get("detail") or ""
    return f"{who}: {detail}" if who and detail else who or detail
