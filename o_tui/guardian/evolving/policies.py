"""What may happen without asking, gene by gene: `always` asks (the default), `auto` does not up to a class of risk, and
`never` freezes the gene. Each is a row with the operator who said so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from o_tui.evolution import risk as risks
from o_tui.evolution.history import gene_path
from o_tui.guardian.evolving.seams import Operator
from o_tui.guardian.storage.learning_rows import LearningRows
from o_tui.protocol.errors import UsageError

POLICIES = ("always", "auto", "never")


@dataclass(frozen=True, slots=True)
class Policy:
    """One gene's: `risk` is the highest class of change that `auto` goes for."""

    gene: str
    policy: str = "always"
    risk: str = "low"
    who: str = ""
    uid: int = -1
    number: int = 0

    def approver(self, risk: str, verdict: str) -> Operator | None:
        """In whose name a candidate is approved at once; None: it waits for somebody."""
        if self.policy != "auto" or verdict != "promote" or not risks.at_most(risk, self.risk):
            return None
        how = f"policy {self.number}: auto up to {self.risk} risk"
        return Operator(name=f"policy auto (operator {self.who})", uid=self.uid, how=how, where="guardian")


class Policies:
    """The policies of one workspace."""

    def __init__(self, rows: LearningRows) -> None:
        self._rows = rows

    async def of(self, gene: str) -> Policy:
        """A gene's policy."""
        row = (await self._rows.policies()).get(gene)
        if row is None:
            return Policy(gene)
        return Policy(gene, row["policy"], row["risk"], row["who"], row["uid"], row["number"])

    async def list(self) -> list[dict[str, Any]]:
        """All that were set, by gene."""
        return [row for _gene, row in sorted((await self._rows.policies()).items())]

    async def set(self, gene: str, policy: str, operator: Operator, risk: str = "low") -> dict[str, Any]:
        """Sets one.

        Raises:
            UsageError: There is no such gene, policy or class of risk.
            RefusedError: The operator only looks.
        """
        gene_path(gene)
        operator.may_decide()
        if policy not in POLICIES:
            raise UsageError(f"there is no policy {policy[:40]!r}", hint=", ".join(POLICIES))
        if risk not in risks.RISKS:
            raise UsageError(f"there is no class of risk {risk[:40]!r}", hint=", ".join(risks.RISKS))
        return await self._rows.policy(gene=gene, policy=policy, risk=risk, who=operator.name, uid=operator.uid)
