"""One request to one instance under trial, and how that side took it; and what every fork is asked first."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from o_tui.evolution import quality
from o_tui.evolution.samples import RecordedRequest, Side
from o_tui.guardian.evolving.seams import InstanceDiedError, ShadowInstance


def filling(setup: Sequence[RecordedRequest], scope: str) -> list[RecordedRequest]:
    """The requests that fill a fork's memory for those of a scope, by ids that its state does not know already."""
    mine = [request for request in setup if request.scope == scope]
    return [replace(request, id=f"{request.id}~setup", time_ns=request.time_ns or 1) for request in mine]


async def ask(instance: ShadowInstance, request: RecordedRequest, timeout_s: float) -> Side:
    """What comes of it. After a hang or a crash the instance is of no more use: it is to be killed."""
    cpu_ns = instance.cpu_ns()
    try:
        async with asyncio.timeout(timeout_s):
            outcome = await instance.request(request)
    except TimeoutError:
        return Side("hang", error=f"no answer within {timeout_s:g} s")
    except InstanceDiedError as error:
        return Side("crash", error=str(error))
    return Side(
        "answered" if outcome.ok else "error",
        text=outcome.text,
        error=outcome.error,
        wall_ns=outcome.wall_ns,
        cpu_ns=outcome.cpu_ns or max(0, instance.cpu_ns() - cpu_ns),
        effects=outcome.effects,
        diverged=outcome.diverged,
        would_have=outcome.would_have,
        operations=outcome.operations,
        wrote=outcome.wrote,
        quality=quality.score(request.expect, outcome.text) if outcome.ok else None,
    )
