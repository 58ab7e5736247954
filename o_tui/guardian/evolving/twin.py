"""Two warm processes beside the one that serves, with the old code and the new: both get the same requests.

One after the other, in random order, without effects on the world (shadows); forked anew every so often, since what
differs between equal processes sticks to them. Request ids are like those of real requests: code that behaves on
trial only finds nothing here to tell the two apart by.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from o_tui.evolution.eprocess import BLOCK
from o_tui.evolution.samples import RecordedRequest, Side
from o_tui.guardian.evolving.seams import InstanceDiedError, Instances, ShadowInstance
from o_tui.guardian.fleet.code import Code
from o_tui.protocol.refusals import Refusal

Name = Literal["twin", "shadow"]
FORK_PAIRS = BLOCK
"""Pairs after which both are forked anew, at the state of that moment. An unlucky process can be twice as slow as its
equal for as long as it lives: all it served is one observation of a watch."""
TRIES = 3
"""How often both get a request that only one of them failed at: each try tells chance from what the code does."""
WARM_UP = 2
"""Requests that fresh processes get unmeasured: their caches are cold."""
FLOOR_NS = 200_000
"""Added to both times: a tenth of a millisecond harms nobody, and on a busy machine it comes and goes."""
_REQUEST_ID_BYTES = 11


@dataclass(frozen=True, slots=True)
class TwinPair:
    """How old and new code took one request the last time, what the sandbox refused the new one, and all its tries.

    `tries` says of each whether the old and the new code answered; of one try, it may be left out.
    """

    old: Side
    new: Side
    refused: tuple[Refusal, ...] = ()
    tries: tuple[tuple[bool, bool], ...] = ()

    @property
    def failed(self) -> tuple[float, float]:
        """The shares of the tries that old and new code failed at."""
        tries = self.tries or ((self.old.ok, self.new.ok),)
        old, new = (sum(not ok for ok in side) / len(tries) for side in zip(*tries, strict=True))
        return old, new

    @property
    def new_ok_at_once(self) -> bool:
        """Whether the first try of the new code was answered."""
        return self.tries[0][1] if self.tries else self.new.ok

    @property
    def times_ns(self) -> tuple[int, int]:
        """What the request took of the processor, old and new: all that differs, for a shadow waits for nothing.

        The time that passed, where the system does not say; it depends on which core a process woke up on.
        """
        old_ns, new_ns = self.old.cpu_ns, self.new.cpu_ns
        if not (old_ns and new_ns):
            old_ns, new_ns = self.old.wall_ns, self.new.wall_ns
        return old_ns + FLOOR_NS, new_ns + FLOOR_NS


class Twins:
    """The two processes; forked when they are first needed."""

    def __init__(
        self,
        instances: Instances,
        evolution: str,
        *,
        old: Code,
        new: Code,
        timeout_s: float,
        setup: Sequence[RecordedRequest] = (),
    ) -> None:
        """`setup` is what each process gets first, unmeasured: the memory that a workload's requests need."""
        self._instances = instances
        self._evolution = evolution
        self._code: dict[Name, Code] = {"twin": old, "shadow": new}
        self._timeout_s = timeout_s
        self._setup = setup
        self._random = random.Random()
        self._running: dict[Name, ShadowInstance] = {}
        self._refused: dict[tuple[str, str], Refusal] = {}
        self._pairs = 0

    async def pair(self, request: RecordedRequest) -> TwinPair:
        """Gives both the same request. Where only one fails, both get it again: machines stall, code fails again.

        Raises:
            GenomeLoadError: A revision could not be loaded.
            OError: No instance could be forked.
        """
        if self._pairs % FORK_PAIRS == 0:
            await self.close()
        cold = len(self._running) < 2
        self._pairs += 1
        for _ in range(WARM_UP * cold):
            await self._both(request)
        old, new = await self._both(request)
        tries = [(old.ok, new.ok)]
        while tries[0][0] != tries[0][1] and len(tries) < TRIES:
            old, new = await self._both(request)
            tries.append((old.ok, new.ok))
        return TwinPair(old, new, tuple(self._refused.values()), tuple(tries))

    async def close(self) -> None:
        """Ends both."""
        for name in list(self._running):
            await self._kill(name)

    async def _both(self, request: RecordedRequest) -> tuple[Side, Side]:
        request = replace(request, id=secrets.token_hex(_REQUEST_ID_BYTES), time_ns=request.time_ns or time.time_ns())
        sides: dict[Name, Side] = {}
        for name in self._random.sample(tuple(self._code), 2):
            sides[name] = await self._one(name, request)
        return sides["twin"], sides["shadow"]

    async def _one(self, name: Name, request: RecordedRequest) -> Side:
        try:
            instance = self._running.get(name) or await self._fork(name)
            async with asyncio.timeout(self._timeout_s):
                outcome = await instance.request(request)
        except TimeoutError:
            await self._kill(name)
            return Side("hang", error=f"no answer within {self._timeout_s:g} s")
        except InstanceDiedError as error:
            await self._kill(name)
            return Side("crash", error=str(error))
        self._look(name, instance)
        return Side(
            "answered" if outcome.ok else "error",
            text=outcome.text,
            error=outcome.error,
            wall_ns=outcome.wall_ns,
            cpu_ns=outcome.cpu_ns,
            effects=outcome.effects,
            diverged=outcome.diverged,
            operations=outcome.operations,
            wrote=outcome.wrote,
        )

    async def _fork(self, name: Name) -> ShadowInstance:
        code = self._code[name]
        instance = await self._instances.fork_shadow(code, name, self._evolution)
        self._running[name] = instance
        for first in self._setup:
            request = replace(first, id=secrets.token_hex(_REQUEST_ID_BYTES), time_ns=first.time_ns or 1)
            async with asyncio.timeout(self._timeout_s):
                await instance.request(request)
        return instance

    async def _kill(self, name: Name) -> None:
        instance = self._running.pop(name, None)
        if instance is not None:
            await instance.kill()
            self._look(name, instance)

    def _look(self, name: Name, instance: ShadowInstance) -> None:
        if name == "shadow":  # what the limits say shows as crashes and errors, which are judged beside the old code's
            found = (refusal for refusal in instance.refused() if refusal.layer != "limits")
            self._refused |= {(refusal.layer, refusal.what): refusal for refusal in found}
