"""From an operator's yes to running code, and back. Every step can be interrupted and is done exactly once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from o_tui.evolution.genome import Genome
from o_tui.guardian.evolving.compare_and_set import decided, waiting
from o_tui.guardian.evolving.evolution_book import AGAIN_S, Book
from o_tui.guardian.evolving.releases import Releases
from o_tui.guardian.evolving.rollout import Harmed, Interrupted, Rollout
from o_tui.guardian.evolving.seams import Operator, Seams
from o_tui.guardian.storage.audit import Verdict
from o_tui.protocol.errors import BusyError, OError, PeerError, RefusedError

AUTOMATIC = Operator("guardian", 0, how="by itself: harm was shown", where="")
"""Who takes a promotion back where nobody has to be asked."""
_AUDITED = 10_000
"""How many of the newest approvals are looked through for an interrupted one."""


class Deploying:
    """Approve, reject, roll back, recover; one at a time. What a canary and a watch are is the rollout's to know."""

    def __init__(
        self,
        genome: Genome,
        book: Book,
        seams: Seams,
        rollout: Rollout,
    ) -> None:
        self._genome = genome
        self._book = book
        self._approvals = seams.approvals
        self._releases = Releases(genome, seams.instances)
        self._checkpoints = seams.checkpoints
        self._rollout = rollout
        self._surroundings = seams.surroundings
        self._lock = asyncio.Lock()
        self._going_on: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    async def approve(self, evolution: str, digest: str, evidence_digest: str, operator: Operator) -> dict[str, Any]:
        """Compare-and-set on evolution, base, diff and evidence; then audit, canary, deploy, verify.

        Returns once it is promoted: that takes a second where nobody asks the agent anything, up to some minutes where
        the canary's share of the requests is awaited.

        Raises:
            NotFoundError: There is no such evolution.
            RefusedError: Already approved, not pending, changed, stale base, or the operator only looks.
            OError: It was deployed, did not work, and was rolled back.
        """
        async with self._lock:
            row = await waiting(self._book, self._genome, evolution, digest, operator, evidence_digest)
            if held := self._surroundings.held():
                raise RefusedError(f"nothing is deployed just now: {held}")
            await self._audit(row, "approved", operator)
            await self._book.change(row, state="deploying", by=operator.name)
            await self._deploy(row)
        return row

    async def reject(self, evolution: str, reason: str, operator: Operator, *, stopped: bool = False) -> dict[str, Any]:
        """An operator's no; `stopped`: it was running, and its task has been ended for this.

        Raises:
            NotFoundError: There is no such evolution.
            RefusedError: It has been decided already, or the operator only looks.
        """
        async with self._lock:
            row = await self._book.get(evolution)
            operator.may_decide()
            if row["state"] != "pending" and not (stopped and row["state"] == "failed"):
                raise RefusedError(decided(row))
            await self._audit(row, "rejected", operator, reason)
            await self._book.change(row, state="rejected", reason=reason or "an operator said no", by=operator.name)
        self._event("info", f"{operator.name} rejected {evolution} ({row['gene']}): {reason}", row)
        return row

    async def reopen(self, evolution: str, digest: str, operator: Operator) -> dict[str, Any]:
        """One that waits goes back to its shadow: it cannot be approved until it waits again. Its evidence stays.

        Raises:
            NotFoundError: There is no such evolution.
            RefusedError: Not pending, changed, stale base, everything is held, or the operator only looks.
        """
        async with self._lock:
            row = await waiting(self._book, self._genome, evolution, digest, operator)
            if held := self._surroundings.held():
                raise RefusedError(f"nothing is measured just now: {held}")
            reason = f"measured again for {operator.name}"
            await self._book.change(row, state="shadow", reason=reason, again=row.get("again", 0) + 1)
        self._event("info", f"{operator.name} asked for another shadow run of {row['id']} ({row['gene']})", row)
        return row

    async def rollback(self, revision: str, operator: Operator, *, state: bool = False) -> dict[str, Any]:
        """Back to an earlier version: a new version with its files. Returns revision, version, tag, `from`.

        While a canary runs and no revision is named, it is the canary that ends. With `state` the agent's state goes
        back too, to the checkpoint that was taken before the oldest evolution that is undone (`checkpoint`).

        Raises:
            NotFoundError, RefusedError: There is nothing to go back to by that name.
            OError: The older version does not run; what ran still does.
        """
        operator.may_decide()
        if not revision and self._rollout.stop(f"stopped by {operator.name}"):
            return await self._stopped(operator)
        async with self._lock:
            head = await asyncio.to_thread(self._genome.head)
            running = await asyncio.to_thread(self._genome.effective)
            target = await asyncio.to_thread(self._genome.resolve if revision else self._previous, revision)
            await asyncio.to_thread(self._genome.check_target, target)
            row = {"id": "", "base": head, "revision": target, "diff_sha256": "", "evidence_sha256": ""}
            await self._audit(row, "rolled_back", operator)
            self._rollout.end_watch()
            done = await self._releases.back_to(target, f"asked for by {operator.name}")
            try:
                await self._releases.serve(done, f"rolled back by {operator.name}")
            except OError as error:
                again = await self._releases.back_to(head, f"{done.version} does not run")
                await self._releases.serve(again, "the rollback did not work")
                raise OError(f"{target[:12]} does not run any more ({error}); {again.version} is as before") from error
            await self._agree(operator.name)
            checkpoint = await self._state_before(running) if state else ""
        self._event("warning", f"{operator.name} rolled the genome back: v{done.version} is {target[:12]}", {})
        told = {"revision": done.revision, "version": done.version, "tag": done.tag, "from": head, "to": target}
        return told | ({"checkpoint": checkpoint} if state else {})

    async def recover(self) -> None:
        """At the guardian's start: an approved deployment that was interrupted is finished or undone, once.

        What needs a canary goes on beside everything else, at its step; `close` leaves it to the next start.
        """
        async with self._lock:
            audited = await self._approvals.page(_AUDITED)
            approved = {row["evolution"]: row["who"] for row in audited if row["verdict"] == "approved"}
            for light in await self._book.page(200, ("deploying", "canary", "pending")):
                if light["state"] != "pending" or light["id"] in approved:
                    row = await self._book.get(light["id"])
                    if await self._is_open(row):
                        by = row["by"] or approved.get(row["id"], "")
                        await self._book.change(row, state="deploying", by=by)
                        self._spawn(self._finish(row))
            for row in await self._book.page(20, ("promoted",)):
                canary = row.get("canary") or {}
                if canary.get("state") == "harm":
                    await self._take_back(row, canary["reason"])
                elif canary.get("state") == "watching":
                    await self._watch(row)
            await self._agree("")

    async def close(self) -> None:
        """Before the guardian's end: a canary and a watch end here and go on with the next guardian."""
        self._closing.set()
        await self._rollout.close()
        await asyncio.gather(*self._going_on, return_exceptions=True)

    # --- inside

    async def _audit(self, row: dict[str, Any], verdict: Verdict, operator: Operator, reason: str = "") -> None:
        await self._approvals.approve_row(
            who=operator.name,
            uid=operator.uid,
            how=operator.how,
            place=operator.where,
            verdict=verdict,
            evolution=row["id"],
            base=row["base"],
            revision=row["revision"],
            diff_sha256=row["diff_sha256"],
            evidence_sha256=row["evidence_sha256"],
            reason=reason,
        )

    async def _deploy(self, row: dict[str, Any]) -> None:
        """Canary, promote, switch, verify; raises OError after having undone what does not work."""
        try:
            if not await asyncio.to_thread(self._genome.deployed, row["id"]):
                await self._rollout.canary(row)
            approved = f"approved by {row['by']}, diff {row['diff_sha256'][:16]}"
            lines = [*row["evidence"].get("reasons", []), *self._rollout.lines(row), approved]
            done = await self._releases.promote(row, lines)
            await self._releases.serve(done, f"evolution {row['id']} of {row['gene']}")
        except Interrupted:
            raise
        except OError as error:
            await self._rollout.end_canary()
            await self._undo(row, error)
            raise OError(f"{row['id']} was approved and did not work, {row['reason']}") from error
        await self._rollout.end_canary()
        canary = {**(row.get("canary") or {}), "state": "watching"}
        await self._book.end(
            row, state="promoted", version=done.version, reason="", deployed=done.revision, canary=canary
        )
        self._event("info", f"{row['gene']} is promoted: v{done.version} runs, approved by {row['by']}", row)
        await self._watch(row)

    async def _watch(self, row: dict[str, Any]) -> None:
        """The version before stays beside it; harm that is shown takes the promotion back."""
        if row.get("deployed") != await asyncio.to_thread(self._genome.head):
            return  # another version has come since

        async def watched() -> None:
            if harm := await self._rollout.watch(row):
                self._spawn(self._harmed(row, harm))  # not the watch's: that may be ended in the middle

        self._rollout.begin_watch(watched())

    async def _harmed(self, row: dict[str, Any], harm: str) -> None:
        """Takes it back. Where the disk takes no row of that, the old code runs all the same, and the row waits."""
        waits = False
        while not self._closing.is_set():
            try:
                async with self._lock:
                    await self._take_back(row, harm)
                return
            except (PeerError, BusyError) as error:
                if not waits:
                    await self._runs_before(row, harm, error)
                waits = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_S):
                    await self._closing.wait()

    async def _runs_before(self, row: dict[str, Any], harm: str, late: OError) -> None:
        """The code of before a promotion, for as long as it cannot be recorded that it was taken back."""
        try:
            async with self._lock:
                if row.get("deployed") != await asyncio.to_thread(self._genome.head):
                    return
                before = await self._releases.before(row)
                await self._releases.serve(before, f"rolled back by itself: {harm}")
        except OError as error:
            text = f"{row['id']} ({row['gene']}) could not be taken back: {error}; {harm}"
        else:
            text = f"{row['gene']} v{before.version} runs again, to be recorded when that is possible ({late}): {harm}"
        self._event("error", text, row)

    async def _take_back(self, row: dict[str, Any], harm: str) -> None:
        """Harm was shown after the promotion: the old code runs at once, then it is a version of its own."""
        row = await self._book.get(row["id"])
        begun = await asyncio.to_thread(self._genome.rolled_back, row["id"])
        if row["state"] != "promoted" or not (begun or row["id"] in await asyncio.to_thread(self._genome.effective)):
            return  # somebody was faster
        if not begun:
            await self._book.change(row, canary={**row["canary"], "state": "harm", "reason": harm})
            await self._audit(row, "rolled_back", AUTOMATIC, harm)
        reason = f"rolled back by itself: {harm}"
        try:
            await self._releases.serve(await self._releases.before(row), reason)  # it is loaded: nobody waits for git
            done = await self._releases.back_to(row["base"], harm, row["id"])
            await self._releases.serve(done, reason)
        except OError as error:
            self._event("error", f"{row['id']} ({row['gene']}) could not be taken back: {error}; {harm}", row)
            return
        await self._book.end(row, state="rolled_back", reason=reason)
        self._event("error", f"{row['gene']} v{row['version']} was taken back, v{done.version} runs: {harm}", row)

    async def _stopped(self, operator: Operator) -> dict[str, Any]:
        """An operator has ended the canary: what runs is what ran."""
        async with self._lock:
            head = await asyncio.to_thread(self._genome.head)
            version = await asyncio.to_thread(self._genome.version, head)
        self._event("warning", f"{operator.name} ended the canary; v{version} serves as before", {})
        return {"revision": head, "version": version, "tag": f"v{version}", "from": head, "to": head}

    async def _state_before(self, running: list[str]) -> str:
        """The state of before the oldest evolution that has just been undone; returns the checkpoint's id."""
        left = set(await asyncio.to_thread(self._genome.effective))
        undone = [evolution for evolution in running if evolution not in left]
        if not undone:
            raise RefusedError("no evolution was undone, so there is no state to go back to; the code is back")
        checkpoint: str = (await self._book.get(undone[-1]))["checkpoint_id"]
        await self._checkpoints.restore(checkpoint)
        return checkpoint

    async def _undo(self, row: dict[str, Any], error: OError) -> None:
        """After a failed deployment: the base's files again, in git and in the instances."""
        reason = str(error)
        state = "rolled_back" if isinstance(error, Harmed) else "failed"
        if await asyncio.to_thread(self._genome.deployed, row["id"]):
            state = "rolled_back"
            done = await self._releases.back_to(row["base"], reason, row["id"])
            try:
                await self._releases.serve(done, f"evolution {row['id']} did not work")
                reason = f"rolled back to the code of {row['base'][:12]}: {reason}"
            except OError as second:
                reason = f"{reason}; and back again failed too: {second}"
        await self._book.end(row, state=state, reason=reason)
        self._event("error", f"{row['id']} ({row['gene']}) did not work: {reason}", row)

    async def _is_open(self, row: dict[str, Any]) -> bool:
        """Whether an approval is durable whose deployment may be anywhere in the middle; ends what cannot go on."""
        if await asyncio.to_thread(self._genome.rolled_back, row["id"]):
            await self._book.change(row, state="rolled_back", reason=row["reason"] or "interrupted while rolling back")
            return False
        head = await asyncio.to_thread(self._genome.head)
        if not await asyncio.to_thread(self._genome.deployed, row["id"]) and head != row["base"]:
            await self._book.change(row, state="failed", reason="interrupted, and the genome has moved on since")
            return False
        return True

    async def _finish(self, row: dict[str, Any]) -> None:
        text = f"the deployment of {row['id']} was interrupted and goes on"
        if (held := self._surroundings.held()) and not await asyncio.to_thread(self._genome.deployed, row["id"]):
            self._event("warning", f"{text} when that is possible: {held}", row)
            if not await self._released():
                return
        else:
            self._event("warning", text, row)
        async with self._lock:
            try:
                await self._deploy(row)
            except OError:
                return  # undone, and told

    async def _released(self) -> bool:
        """Whether what held has ended before the guardian."""
        waits = [asyncio.ensure_future(each) for each in (self._surroundings.released(), self._closing.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for each in waits:
            each.cancel()
        return not self._closing.is_set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._going_on.add(task)
        task.add_done_callback(self._going_on.discard)

    def _previous(self, _name: str) -> str:
        return self._genome.previous()

    async def _agree(self, by: str) -> None:
        """Evolutions are `promoted` while their code runs, and `rolled_back` when it does not any more."""
        running, lost = set(await asyncio.to_thread(self._genome.effective)), 0
        for row in await self._book.page(1_000, ("promoted", "rolled_back")):
            if (row["state"] == "promoted") != (row["id"] in running):
                if row["id"] in running:
                    await self._book.change(row, state="promoted", reason="")
                    continue
                kept = await asyncio.to_thread(self._genome.has, row["revision"])
                lost += not kept
                why = f"rolled back by {by or 'an operator'}" if kept else "its code is not in the genome any more"
                await self._book.change(row, state="rolled_back", reason=why)
        if lost:  # it was removed, and has begun anew
            text = f"the code of {lost} approved changes is not in the genome any more; a backup may have it"
            self._surroundings.event("error", f"{text}: o-tui restore", {})

    def _event(self, level: str, text: str, row: dict[str, Any]) -> None:
        data: dict[str, Any] = {key: row[key] for key in ("id", "gene", "state", "revision", "version") if key in row}
        self._surroundings.event(level, text, data)
