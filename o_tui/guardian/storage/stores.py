"""All that one guardian keeps, opened together and closed together."""

from __future__ import annotations

from dataclasses import dataclass

from o_tui.guardian.storage.attack_rows import AttackRows
from o_tui.guardian.storage.audit import Audit
from o_tui.guardian.storage.brokered import Brokered
from o_tui.guardian.storage.database import Database
from o_tui.guardian.storage.eventlog import EventLog
from o_tui.guardian.storage.evolution_rows import EvolutionRows
from o_tui.guardian.storage.journal import Journal
from o_tui.guardian.storage.learning_rows import LearningRows
from o_tui.guardian.storage.vault import Vault
from o_tui.guardian.storage.violations import Violations
from o_tui.guardian.storage.wal import Wal
from o_tui.paths import Paths


@dataclass(frozen=True, slots=True)
class Stores:
    """The parts of the storage, over one database."""

    database: Database
    wal: Wal
    vault: Vault
    journal: Journal
    events: EventLog
    audit: Audit
    brokered: Brokered
    evolutions: EvolutionRows
    violations: Violations
    learning: LearningRows
    attacks: AttackRows

    @classmethod
    def open(cls, paths: Paths) -> Stores:
        """Opens, checks, repairs. Blocking; raises what `Database.open` raises."""
        database = Database.open(paths)
        wal = Wal(database)
        return cls(
            database,
            wal,
            Vault(database),
            Journal(database, wal),
            EventLog(database),
            Audit(database),
            Brokered(database),
            EvolutionRows(database),
            Violations(database),
            LearningRows(database),
            AttackRows(database),
        )

    async def prune(self) -> int:
        """Keeps what only grows within its limits; returns how many rows were removed. Raises PeerError, BusyError."""
        removed = await self.journal.prune() + await self.events.prune() + await self.brokered.prune()
        return removed + await self.violations.prune()

    async def close(self) -> None:
        """Writes what is queued and closes."""
        await self.database.close()
