"""Proves a checkpoint: a fresh process loads it, catches up with the log, and must have the same state as the others.

Only behind a proven checkpoint may the log be cut: a checkpoint that has the right digest but cannot be loaded, or
was taken of a wrong state, is found while the log can still make up for it.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from o_tui.evolution.samples import RecordedRequest
from o_tui.guardian.evolving.trial import Trial
from o_tui.guardian.fleet.fleet import Fleet
from o_tui.guardian.fleet.handles import NurseryReplica
from o_tui.guardian.fleet.nursery import Fork
from o_tui.guardian.storage.stores import Stores
from o_tui.protocol import messages
from o_tui.protocol.errors import CorruptError, PeerError

QUESTION = RecordedRequest("~proof", "{}", kind="state.digest")
ANSWER_S = 60.0


async def prove(fleet: Fleet, stores: Stores, row: dict[str, Any]) -> None:
    """Marks the checkpoint `row` as proven.

    Raises:
        CorruptError: The state that was loaded from it is not the state that the replicas have.
        PeerError: It could not be tried; nothing is known of it.
    """
    witness = await (await fleet.wait_nursery()).fork("witness", "shadow", row["seq"])
    theirs = await _digest(fleet, witness)
    prover = fleet.spare_nursery()
    await prover.spawn()
    try:
        descriptors = await stores.vault.open_fds(row["id"])
        ready = await prover.restore(messages.Restore(checkpoint_id=row["id"]), descriptors)
        await fleet.replication.catch_up(NurseryReplica(prover, ready.seq), witness.seq)
        ours = await _digest(fleet, await prover.fork("proof", "shadow", witness.seq))
    finally:
        prover.watch.kill()
    if ours != theirs:
        raise CorruptError(
            f"checkpoint {row['id'][:8]} loads, but its state at entry {witness.seq} is not the replicas'"
        )
    await stores.vault.prove(row["id"])


async def _digest(fleet: Fleet, fork: Fork) -> str:
    """The logical digest of a fork's state; the fork is ended."""
    trial = Trial()
    trial.instance = await fleet.adopt(fork, "shadow", trial.frame)
    try:
        async with asyncio.timeout(ANSWER_S):
            outcome = await trial.request(QUESTION)
    except TimeoutError as error:
        raise PeerError("a replica did not say its state's digest in time") from error
    finally:
        trial.instance.kill("it has been compared")
    if not outcome.ok:
        raise PeerError(f"a replica could not say its state's digest: {outcome.error}")
    return str(msgspec.json.decode(outcome.text)["logical"])
