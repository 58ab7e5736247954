"""What a prober is asked (probing.py), and what it reports: plain data that crosses the border of its process."""

from __future__ import annotations

import msgspec

from o_tui.evolution.probe.case import Case

CPU_S = 1.6
"""What probing may cost, all processes together, from the prober's start to its report."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be probed.

    Attributes:
        gene: The gene, empty for any other module.
        files: The genome's other files, for a gene.
        strict: Every difference is a fault; else only what is wrong whatever the answer should be.
        attacks: Cases that were kept: they run first.
        tests: The genome's own tests are run too.
        contract: The candidate is judged by its gene's contract alone, whatever the reference says.
        repair: The same for kept attacks: it must not fail at any of them, though the reference may.
        seeds: Cases that were met in life: they are tried, and changed further.
        known: Cases that were kept: other faults are looked for than those that they show now. One that the
            candidate stands shows none, so the same fault may be found by another input.
        nice: How much it steps back behind everything else (nice(2)).
    """

    reference: str
    candidate: str
    gene: str = ""
    files: dict[str, str] = {}
    strict: bool = True
    attacks: list[Case] = []
    tests: bool = False
    contract: bool = False
    repair: bool = False
    seeds: list[Case] = []
    known: list[Case] = []
    nice: int = 0
    seed: int = 3
    cpu_s: float = CPU_S


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A fault: the smallest case that shows it, and what is wrong there."""

    unit: str
    text: str
    case: Case
    kept: bool = False
    where: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    Attributes:
        refused: Why nothing was run.
        broken: Why the candidate does not load; `neither`: nor does the reference.
        changed: How many answers were others, and no faults.
        failed: What the module, or a test of the genome's, raises; with `passed` tests.
        speed: CPU time of the candidate as a share of the reference's, on the same cases.
        ms: Of each part: attacks, probe, tests, smoke.
    """

    finding: Finding | None = None
    cases: int = 0
    attacks: int = 0
    changed: int = 0
    cpu_s: float = 0.0
    refused: str = ""
    broken: str = ""
    neither: bool = False
    failed: list[str] = []
    passed: int = 0
    speed: float = 0.0
    ms: dict[str, float] = {}
