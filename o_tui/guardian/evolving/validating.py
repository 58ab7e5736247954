"""Validation in processes apart: no source can crash the guardian's parser, hold its interpreter's lock, or run in it.

The stages that only read come first (static_checks.py, in a confined process), then the checkers (linting.py). What
passes them is executed in confined forks: kept attacks, the differential probe, the genome's tests (probing.py).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from functools import cache

from o_tui.evolution.attacks import attack
from o_tui.evolution.probe import case as cases
from o_tui.evolution.probe.case import Case
from o_tui.evolution.validation import Stage, Validation, name_of, validate
from o_tui.guardian.evolving import linting
from o_tui.guardian.evolving.probe_orders import CPU_S, Order, Report
from o_tui.guardian.evolving.prober import Prober
from o_tui.guardian.evolving.static_checks import read
from o_tui.paths import shipped
from o_tui.protocol.errors import OError
from o_tui.protocol.safe_text import safe

PROBE_TIMEOUT_S = 30.0
FAULTS_S = 1.15
"""CPU time of the probe where only faults count: they show sooner than other answers."""


async def validate_apart(
    gene: str,
    source: str | bytes,
    reference: bytes | None = None,
    attacks: Sequence[Case] = (),
    *,
    files: Mapping[str, str] | None = None,
    repair: bool = False,
    reading: bool = False,
) -> Validation:
    """Judges a candidate by all stages; a source that crashes or stalls the compiler fails at that stage.

    Args:
        gene: Its gene; empty: a module that is none.
        source: The candidate.
        reference: What it is to take the place of (main's); None: there is nothing to compare with.
        attacks: Cases that were kept for it.
        files: The genome that it is to run in; the one that O ships by default.
        repair: It must stand every kept attack, those too that the reference does not.
        reading: Only what can be read of it: nothing is run.

    Who no longer waits for it ends it: what would run on is killed, so that a guardian's end waits for no candidate.

    Raises:
        ValueError: There is no such gene.
        OSError: No process could be started.
    """
    raw = source if isinstance(source, bytes) else source.encode("utf-8", "surrogateescape")
    if len(raw) > 16 * 1024**2:  # the size stage answers without reading it
        return await asyncio.to_thread(validate, gene, raw)
    if reading:
        return await asyncio.to_thread(readable, gene, raw, reference)
    running = _Running()
    strict = not gene  # of a gene another answer is no fault: it may be a better one
    try:
        return await asyncio.to_thread(judge, gene, raw, reference, attacks, files, strict, repair, running)
    except asyncio.CancelledError:
        running.stop()
        raise


class _Running:
    """The prober of a validation that somebody waits for; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._prober: Prober | None = None
        self._stopped = False

    def begun(self, prober: Prober) -> None:
        """It has been started; it is ended at once where nobody waits any more."""
        with self._lock:
            self._prober = prober
            if self._stopped:
                prober.kill()

    def stop(self) -> None:
        """Nobody waits any more."""
        with self._lock:
            self._stopped = True
            if self._prober is not None:
                self._prober.kill()


def judge(
    gene: str,
    raw: bytes,
    reference: bytes | None,
    attacks: Sequence[Case] = (),
    files: Mapping[str, str] | None = None,
    strict: bool = True,
    repair: bool = False,
    running: _Running | None = None,
) -> Validation:
    """As `validate_apart`, and waits for it."""
    known = read(gene, raw, reference)
    if not known.ok:
        return known
    with Prober() as prober:  # it loads what it needs while the checkers read
        if running is not None:
            running.begun(prober)
        stages = [*known.stages, *linting.stages(name_of(gene), raw)]
        if any(stage.verdict == "fail" for stage in stages):
            return Validation(tuple(stages))
        order = _order(gene, raw, reference, attacks, files, strict, repair)
        run, report = _probed(prober, order, reference is not None)
    finding = report.finding
    new = finding is not None and not finding.kept and finding.case.kind != "large"
    found = attack(gene, finding.case, finding.text, "", finding.where) if finding is not None and new else None
    return Validation((*stages, *run), found, report.cpu_s)


def readable(gene: str, raw: bytes, reference: bytes | None) -> Validation:
    """The stages that run nothing: what is read of it, in a process apart, and what the checkers say; it waits."""
    found = read(gene, raw, reference)
    return Validation((*found.stages, *linting.stages(name_of(gene), raw))) if found.ok else found


def _order(
    gene: str,
    raw: bytes,
    reference: bytes | None,
    attacks: Sequence[Case],
    files: Mapping[str, str] | None,
    strict: bool,
    repair: bool,
) -> Order:
    return Order(
        reference=(reference if reference is not None else raw).decode("utf-8", "replace"),
        candidate=raw.decode("utf-8"),
        gene=gene,
        files=dict(files if files is not None else seed()) if gene else {},
        strict=strict,
        attacks=list(attacks),
        tests=bool(gene),
        repair=repair,
        cpu_s=CPU_S if strict else FAULTS_S,
    )


@cache
def seed() -> Mapping[str, str]:
    """The files of the genome that O ships."""
    folder = shipped("data") / "genome"
    found = [path for path in sorted(folder.rglob("*")) if path.suffix in (".py", ".md") and path.is_file()]
    return {str(path.relative_to(folder)): path.read_text("utf-8") for path in found}


# --- what runs


def _probed(prober: Prober, order: Order, compared: bool) -> tuple[list[Stage], Report]:
    """The stages of its report, and the report; an empty one where there is none."""
    try:
        report = prober.ask(order, PROBE_TIMEOUT_S)
    except TimeoutError as error:
        return [Stage("probe", "fail", PROBE_TIMEOUT_S * 1000, str(error))], Report(cpu_s=PROBE_TIMEOUT_S)
    except OError as error:
        return [Stage("probe", "fail", 0.0, str(error))], Report()
    if report is None:
        return [Stage("probe", "fail", 0.0, "the prober was ended")], Report()
    return list(_stages(order, report, compared)), report


def _stages(order: Order, report: Report, compared: bool) -> Sequence[Stage]:
    def stage(name: str, wrong: str, fine: str) -> Stage:
        text = safe(wrong or fine)[:400]
        return Stage(name, "fail" if wrong else "pass", report.ms.get(name, 0.0), text)

    if report.refused:
        return [Stage("probe", "fail", 0.0, f"it cannot be confined here, so it was not run: {report.refused}")]
    if report.neither and compared:
        return [Stage("probe", "skip", 0.0, f"skipped: the reference does not load by itself ({safe(report.broken)})")]
    if report.broken:
        return [stage("smoke", f"it does not load: {report.broken}", "")]
    finding = report.finding
    wrong = f"{finding.unit}: {finding.text}: {cases.show(finding.case)}" if finding is not None else ""
    done = []
    if order.attacks:
        kept = f"{report.attacks} kept attack{'' if report.attacks == 1 else 's'}"
        done.append(stage("attacks", wrong if finding and finding.kept else "", kept))
    if finding is not None and finding.kept:
        return done
    if compared:
        other = f", {report.changed} answers are others" if report.changed else ""
        same = "the same source" if order.reference == order.candidate else f"{report.cases:,} inputs{other}"
        done.append(stage("probe", wrong, same))
    else:
        done.append(Stage("probe", "skip", 0.0, "skipped: there is nothing to compare with"))
    if finding is None and order.tests:
        failed = f"{len(report.failed)} of the genome's tests fail: {report.failed[0]}" if report.failed else ""
        done.append(stage("tests", failed, f"{report.passed} of the genome's tests"))
    if finding is None and not report.failed:
        told = f"{report.speed:g} of the reference's CPU time on small inputs" if report.speed else "it loads"
        done.append(stage("smoke", "", told))
    return done
