"""Where the nursery's state comes from, and where it goes: recovery from the vault, and writing a checkpoint."""

from __future__ import annotations

import time
import uuid
from collections import Counter

from o_tui.guardian.fleet.handles import Listener, NurseryReplica
from o_tui.guardian.fleet.nursery import Nursery
from o_tui.guardian.fleet.replication import Replication
from o_tui.guardian.storage.plan import RecoveryPlan
from o_tui.guardian.storage.vault import Vault
from o_tui.guardian.storage.vault_files import Pending
from o_tui.guardian.storage.wal import Wal
from o_tui.protocol import messages
from o_tui.protocol.errors import OError

SNAPSHOT_S = 60.0
IDLE_SNAPSHOT_S = 5.0
"""How long a checkpoint may be written with what others leave of the cores."""
FAILURES = 2
"""Nurseries that may end over a checkpoint before the next one is given an older one."""


class States:
    """The states of one guardian's nurseries.

    Attributes:
        planned: The state that the next nursery has to take, whatever is newest; None: the newest.
    """

    def __init__(self, vault: Vault, wal: Wal, replication: Replication, listener: Listener) -> None:
        self.planned: messages.Restore | None = None
        self._vault = vault
        self._wal = wal
        self._replication = replication
        self._listener = listener
        self._failures: Counter[str] = Counter()

    async def restore(self, nursery: Nursery) -> None:
        """Gives a nursery its state and what the log has since.

        Raises:
            OError: It did not take it; the next nursery is given the same one, or an older one after `FAILURES`.
        """
        if (plan := self.planned) is None:
            await self._restore_newest(nursery)
        else:
            await self._restore_planned(nursery, plan)
        await self._replication.attach(NurseryReplica(nursery, nursery.seq))

    async def _restore_planned(self, nursery: Nursery, plan: messages.Restore) -> None:
        try:
            descriptors = await self._vault.open_fds(plan.checkpoint_id)
        except OError:
            self.planned = None  # no nursery will ever load it: the next one takes the best that there is
            raise
        try:
            await nursery.restore(plan, descriptors)
        except OError as error:
            self._count(plan.checkpoint_id, error)
            if self._failures[plan.checkpoint_id] >= FAILURES and self.planned is plan:
                self.planned = None
            raise
        if self.planned is plan:
            self.planned = None

    async def _restore_newest(self, nursery: Nursery) -> None:
        """The newest good checkpoint, then older ones, then the empty state."""
        for plan in await self._vault.recovery_plans():
            if self._failures[plan.checkpoint_id] < FAILURES and await self._tried(nursery, plan):
                return
        await nursery.restore(messages.Restore())

    async def _tried(self, nursery: Nursery, plan: RecoveryPlan) -> bool:
        """Whether it has taken it; raises OError if it has ended over it."""
        message = messages.Restore(checkpoint_id=plan.checkpoint_id, seq=plan.seq, digest=plan.digest)
        name = plan.checkpoint_id[:8]
        try:
            descriptors = await self._vault.open_fds(plan.checkpoint_id) if plan.checkpoint_id else []
        except OError as error:
            self._failed(f"checkpoint {name} could not be opened: {error}")
            return False
        try:
            await nursery.restore(message, descriptors)
        except OError as error:
            self._count(plan.checkpoint_id, error)
            self._failed(f"checkpoint {name} could not be loaded: {error}")
            raise
        if plan.problem:
            self._failed(plan.problem)
        return True

    def _count(self, checkpoint_id: str, error: OError) -> None:
        # a busy machine is no checkpoint's fault: nothing is given up because it took long
        self._failures[checkpoint_id] += not isinstance(error.__cause__, TimeoutError)

    def _failed(self, text: str) -> None:
        self._listener.failed("nursery", messages.Failed(what="restore", text=text))

    async def written(self, nursery: Nursery, number: int, revision: str, reason: str, *, idle: bool) -> Pending:
        """What a fork of the nursery has written when it ends, or when its time is over.

        Raises:
            OError: It could not be forked, or the disk does not take it; nothing of it stays.
        """
        checkpoint_id = uuid.uuid4()
        pending = await self._vault.begin(checkpoint_id, reason, over_base=True)
        try:
            watch, _seq = await nursery.snapshot(
                messages.Snapshot(
                    instance=f"checkpoint-{number}",
                    checkpoint_id=str(checkpoint_id),
                    time_ns=max(0, time.time_ns()),  # the header has no sign
                    revision=revision,
                    after_seq=self._wal.seq,
                    idle=idle,
                ),
                pending.descriptors,
            )
            try:
                await watch.stop(IDLE_SNAPSHOT_S if idle else SNAPSHOT_S)
            finally:
                watch.kill()  # it has ended, unless nobody waits for it any more
        except BaseException:
            await self._vault.abandon(pending)
            raise
        return pending
