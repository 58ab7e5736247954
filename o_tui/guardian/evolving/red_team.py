"""The red team at work: while nobody needs the agent, the genes in service are attacked in confined forks.

One round at a time, in a process of its own that steps back behind everything else (probing.py); it is killed as soon
as a request comes in. What is found is kept as an attack, told, and raised as an intent for the blue team. Nothing of
it is on the loop: a round is a thread that waits for that process.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from o_tui.config import EvolutionConfig
from o_tui.evolution import adversarial
from o_tui.evolution.adversarial import Round, Rounds, Versions
from o_tui.evolution.attacks import Attack, attack
from o_tui.evolution.genome import Genome
from o_tui.evolution.probe.case import Case, show
from o_tui.guardian.evolving import blue_team
from o_tui.guardian.evolving.attack_writer import Writer
from o_tui.guardian.evolving.perception import Intent
from o_tui.guardian.evolving.probe_orders import Order, Report
from o_tui.guardian.evolving.prober import Prober
from o_tui.guardian.evolving.seams import Recorded
from o_tui.guardian.storage.attack_rows import AttackRows
from o_tui.guardian.storage.eventlog import Level
from o_tui.protocol import contracts
from o_tui.protocol.errors import OError
from o_tui.protocol.safe_text import safe

QUIET_S = 60.0
"""The agent has had nothing to do for so long before a round begins, and so long is between two looks for one."""
ROUND_CPU_S = 4.0
_TIMEOUT_S = 120.0
_NICE = 15
_RECORDED = 40
_SEED = 101


class RedTeam:
    """Attacks what is in service."""

    def __init__(
        self,
        attacks: AttackRows,
        *,
        genome: Genome,
        recorded: Recorded,
        settings: Callable[[], EvolutionConfig],
        held: Callable[[], str],
        evolving: Callable[[], bool],
        raised: Callable[[Intent], None],
        told: Callable[[Level, str, dict[str, Any]], None],
        writer: Writer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begins with nothing looked at.

        Args:
            attacks: The archive.
            genome: What is in service, and what was before.
            recorded: Requests of the operator's, to be changed.
            settings: How much CPU time a day.
            held: Why nothing may be done.
            evolving: An evolution runs: its measurements want the machine for themselves.
            raised: Told of each new attack (Initiative.raised).
            told: Level, sentence and data for the events.
            writer: The model that writes inputs too.
            clock: Monotonic seconds.
        """
        self.rounds = Rounds()
        self._attacks = attacks
        self._genome = genome
        self._recorded = recorded
        self._settings = settings
        self._held = held
        self._evolving = evolving
        self._raised = raised
        self._told = told
        self._writer = writer
        self._clock = clock
        self._since_s = clock()
        self._task: asyncio.Task[None] | None = None
        self._prober: Prober | None = None

    def look(self, in_flight: int) -> None:
        """Called again and again: begins a round when there is time for one, and ends it when there no longer is."""
        if in_flight or self._evolving() or self._held():
            self._since_s = self._clock()
            self._stop()
        elif self._task is None and self._clock() - self._since_s >= QUIET_S and self._left_s() > 0:
            self._task = asyncio.create_task(self._turn(), name="red team")

    @property
    def pid(self) -> int:
        """The process of the round that runs; 0: none does."""
        return self._prober.pid if self._prober is not None else 0

    async def close(self) -> None:
        """Ends what runs."""
        self._stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def idle(self) -> None:
        """Returns when no round runs."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def _left_s(self) -> float:
        return self._settings().red_team_cpu_s - self.rounds.spent_s(self._clock())

    def _stop(self) -> None:
        self._writer.stop()
        if self._prober is not None:
            self._prober.kill()

    async def _turn(self) -> None:
        """Rounds until red rests, is stopped, or has spent its day."""
        try:
            while self._left_s() > 0 and await self._round():
                pass
        except OError as error:
            self._told("warning", f"the red team could not work: {error}", {})
        except Exception as error:  # noqa: BLE001 - the border of a task: a defect of ours ends this turn only
            self._told("error", f"a defect of O ended the red team's turn: {type(error).__name__}: {error}", {})
        finally:
            self._since_s = self._clock()
            self._task = None

    async def _round(self) -> bool:
        """One round; whether there may be another."""
        genes, files = await asyncio.to_thread(self._genes)
        writes = self._writer.may_write(self._clock())
        chosen = self.rounds.next(genes, self._clock(), model=writes)
        if chosen is None:
            return False
        versions = genes[chosen.gene]
        known = await self._attacks.of(chosen.gene)
        seeds = await self._seeds(chosen, versions, known)
        if seeds is None:
            return False
        order = self._order(chosen, versions, files, [each.case() for each in known], seeds)
        begun_s = self._clock()
        report = await asyncio.to_thread(self._run, order)
        if report is None:
            self.rounds.cost(min(order.cpu_s, self._clock() - begun_s), self._clock())
            return False
        if report.refused:
            self._told("warning", f"the red team cannot work: {report.refused}", {})
            return False
        found = await self._keep(chosen, report)
        ways = len(adversarial.ways_of(chosen.gene, versions, model=writes))
        rests = self.rounds.ended(chosen, found=found, ways=ways, cpu_s=report.cpu_s, now_s=self._clock())
        if rests:
            figures = {"gene": chosen.gene, "inputs": report.cases, "cpu_s": report.cpu_s, "ways": ways}
            text = f"the red team finds nothing new in {chosen.gene}: {report.cases:,} inputs in its last round"
            self._told("info", text, figures)
        return True

    async def _seeds(self, chosen: Round, versions: Versions, known: Sequence[Attack]) -> list[Case] | None:
        """What the round begins with; None: it was stopped."""
        if chosen.way == "model":
            return await self._writer.write(chosen.gene, versions.source, known)
        texts = [request.text for request in await self._recorded.requests(_RECORDED)]
        return adversarial.seeds(chosen.gene, texts)

    def _genes(self) -> tuple[dict[str, Versions], Mapping[str, str]]:
        """Every gene in service beside its deployed version before, and the files of the genome."""
        log = self._genome.log(2)
        files = self._genome.files(log[0]["revision"])
        before = self._genome.files(log[1]["revision"]) if len(log) > 1 else {}
        genes = {}
        for path, source in files.items():
            gene = path.removesuffix(".py")
            if path.endswith(".py") and contracts.is_gene(gene) and not path.endswith("__init__.py"):
                was = before.get(path, "")
                genes[gene] = Versions(source, was if was != source else "")
        return genes, files

    def _order(
        self, chosen: Round, versions: Versions, files: Mapping[str, str], known: list[Case], seeds: list[Case]
    ) -> Order:
        contract = chosen.way != "regression"
        return Order(
            reference=versions.source if contract else versions.before,
            candidate=versions.source,
            gene=chosen.gene,
            files=dict(files),
            strict=False,
            contract=contract,
            seeds=seeds,
            known=known,
            nice=_NICE,
            seed=_SEED + chosen.number,
            cpu_s=min(ROUND_CPU_S, max(0.5, self._left_s())),
        )

    def _run(self, order: Order) -> Report | None:
        """The round's process, in a thread; None: it was stopped, or did not end."""
        with Prober() as prober, contextlib.suppress(TimeoutError):
            self._prober = prober
            try:
                return prober.ask(order, _TIMEOUT_S)
            finally:
                self._prober = None
        return None

    async def _keep(self, chosen: Round, report: Report) -> bool:
        """Keeps, tells and raises what was found; whether that was new."""
        finding = report.finding
        if finding is None or finding.case.kind == "large":
            return False
        text = finding.text.replace("main", "the version before") if chosen.way == "regression" else finding.text
        by = f"red team, {self._writer.name()}" if chosen.way == "model" else "red team"
        made = attack(chosen.gene, finding.case, text, by, finding.where)
        if not await self._attacks.add(made, again=True):
            return False
        self._raise(made, show(finding.case), report)
        return True

    def _raise(self, made: Attack, shown: str, report: Report) -> None:
        text = safe(f"an attack breaks {made.gene}: {made.function}: {made.expected}: {shown}")[:400]
        figures = {"inputs": report.cases, "cpu_s": report.cpu_s, "signature": made.signature}
        self._told("warning", text, {"gene": made.gene, **figures})
        self._raised(Intent(made.gene, blue_team.METRIC, text, blue_team.stand(made), figures, "errors"))
