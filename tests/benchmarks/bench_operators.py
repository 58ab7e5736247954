"""How far the built-in operators get without a model: circles in a square, choices, and a plain `recall`.

The circles go through `o-tui evolve`, each evaluation in a confined process. Choices are compared as text. The gene is
loaded by the kernel's loader in this process: what the operators make of one shipped file is all that runs here.
`O_TUI_LOCOMO` may name the conversations of LoCoMo, which are not O's to ship. Takes minutes (`--quick`: one run of
circles); nothing here is a time, so other work on the machine changes nothing.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from o_tui.agent.genome_loader import Genome
from o_tui.agent.state import State
from o_tui.bench import recall
from o_tui.evolution.portfolio import Portfolio, Scored
from o_tui.paths import shipped
from tests.benchmarks import report
from tests.benchmarks.report import Figure, median

SEEDS = (1, 2, 3, 4, 5)
EARLY, LATE = 200, 3000
TIMEOUT_S = 1800
CHOICES, CHOICE_SEEDS, CHOICE_BUDGET = ((5, 4, 3, 3, 3), 30, 15)
GENE_BUDGET = 100
SEEN, UNSEEN = (0, 1, 2), (3, 4)


def figures() -> list[Figure]:
    """The score after 200 and after 3,000 evaluations, and what the operators find elsewhere."""
    seeds = SEEDS[:1] if "--quick" in sys.argv else SEEDS
    runs = [packing(seed) for seed in seeds]
    early, late = ([max(run[:count]) for run in runs] for count in (EARLY, LATE))
    found = [
        Figure("circle packing: the program as it is given", runs[0][0], "of 2.635"),
        Figure(f"circle packing: median of {len(seeds)} after {EARLY}", median(early), "of 2.635", 0.70, "min"),
        Figure(f"circle packing: worst of {len(seeds)} after {EARLY}", min(early), "of 2.635"),
        Figure(f"circle packing: median of {len(seeds)} after {LATE:,}", median(late), "of 2.635", 0.81, "min"),
        Figure(f"circle packing: worst of {len(seeds)} after {LATE:,}", min(late), "of 2.635"),
        Figure(
            "choices: found in 15 evaluations", sum(map(choices, range(CHOICE_SEEDS))), "of 30", CHOICE_SEEDS, "min"
        ),
    ]
    return found + recalled()


def packing(seed: int) -> list[float]:
    """The scores of one run, in the order of the proposals; 0 for a failure."""
    program = shipped("data") / "programs" / "circle_packing"
    with tempfile.TemporaryDirectory(prefix="o-") as folder:
        command = [sys.executable, "-m", "o_tui", "evolve", program / "initial.py", program / "evaluator.py", "--json"]
        options = ["--budget", str(LATE), "--seed", str(seed)]
        done = subprocess.run(
            [*map(str, command), *options],
            env=os.environ | {"XDG_DATA_HOME": folder},
            capture_output=True,
            text=True,
            check=True,
            timeout=TIMEOUT_S,
        )
    events = [event for event in map(json.loads, done.stdout.splitlines()) if event.get("event") == "evaluation"]
    return [event["score"] or 0.0 for event in sorted(events, key=lambda event: int(event["number"]))]


def choices(seed: int) -> bool:
    """Whether a right choice for five values, one of 540, is found."""
    chooser = random.Random(seed)
    wanted = [chooser.randrange(1, count) for count in CHOICES]
    lines = [f"V{at} = 0  # one of: {', '.join(map(str, range(count)))}\n" for at, count in enumerate(CHOICES)]

    def right(source: str) -> float:
        return float(sum(f"V{at} = {value} " in source for at, value in enumerate(wanted)))

    return search("".join(lines), right, seed, CHOICE_BUDGET)[1] == len(CHOICES)


def recalled() -> list[Figure]:
    """What a plain `recall` finds, and what it finds when its numbers have been tuned on other conversations."""
    if "O_TUI_LOCOMO" not in os.environ:
        return []
    conversations = recall.read(Path(os.environ["O_TUI_LOCOMO"]))
    shipped_genome = recall.seed_genome()
    states = [recall.remember(list(recall.memories(items, shipped_genome, 0))) for items, _asked in conversations]

    def at_5(source: str, which: Sequence[int]) -> float:
        return _recall_at_5(source, [(states[at], conversations[at][1]) for at in which])

    plain = (shipped("data") / "story" / "recall_baseline.py").read_text("utf-8")
    gains = []
    for seed in SEEDS:
        tuned, _score = search(plain, lambda source: at_5(source, SEEN), seed, GENE_BUDGET)
        gains.append(at_5(tuned, UNSEEN) - at_5(plain, UNSEEN))
    what = f"recall@5 on conversations that were not seen, {GENE_BUDGET} evaluations"
    return [
        Figure("recall@5 of the plain gene there", at_5(plain, UNSEEN), ""),
        Figure(f"{what}: gain, median of {len(SEEDS)}", median(gains), "", 0.08, "min"),
        Figure(f"{what}: gain, worst of {len(SEEDS)}", min(gains), ""),
    ]


def _recall_at_5(source: str, asked: Sequence[tuple[State, Sequence[recall.Question]]]) -> float:
    folder = shipped("data") / "genome"
    files = {str(path.relative_to(folder)): path.read_text("utf-8") for path in folder.rglob("*.py")}
    tally = recall.Tally()
    try:
        genome = Genome("0" * 40, "0.0.0", files | {"recall.py": source})
        genome.unload()  # its code stays while it is held
        for state, questions in asked:
            for question in questions:
                tally.ask(question, lambda text, state=state: recall.recalled(genome, state, text))  # type: ignore[misc]
    except Exception:  # noqa: BLE001 - a candidate may do anything
        return float("-inf")
    return tally.figures()["recall@5"]


def search(source: str, score: Callable[[str], float], seed: int, budget: int) -> tuple[str, float]:
    """The best source that the portfolio finds, and its score."""
    portfolio = Portfolio(seed)
    archive = [Scored("0", source, score(source))]
    while len(archive) <= budget and (proposal := portfolio.propose(archive)) is not None:
        got: Any = score(proposal.source)
        portfolio.learn(proposal, got, 0.0)
        archive.append(Scored(str(len(archive)), proposal.source, got, proposal.parents[0], proposal.operator))
    best = max(archive, key=lambda each: each.score)
    return best.source, best.score


if __name__ == "__main__":
    report.main(figures)
