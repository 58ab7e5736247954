"""One request to one instance under trial, and how that side took it."""

from __future__ import annotations

import asyncio

from o_tui.evolution import quality
from o_tui.evolution.samples import RecordedRequest, Side
from o_tui.guardian.evolving.seams import InstanceDiedError, ShadowInstance


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
