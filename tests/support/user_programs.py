"""Programs, evaluators and lanes for tests of `o-tui evolve PROGRAM EVALUATOR`."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

from o_tui.programs import convention
from o_tui.programs.lane import Lane, modules_of
from o_tui.programs.orders import Answer, Order, Setup
from tests.support.patience import PATIENCE_S

IMPORTING = """\
import importlib.util


def load(program_path):
    spec = importlib.util.spec_from_file_location("program", program_path)
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return program
"""
EVALUATOR = (
    IMPORTING
    + """

def evaluate(program_path):
    return {"combined_score": load(program_path).score()}
"""
)
PROGRAM = """\
import math

# EVOLVE-BLOCK-START
A = 3.0
B = 2.0


def score():
    return 10.0 - (A - 1.25) ** 2 - abs(B + 0.75)
# EVOLVE-BLOCK-END
"""
GOOD = b"def score():\n    return 7.0\n"


class Bench:
    """One lane for sources, one after the other."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self._numbers = itertools.count(1)

    def evaluate(self, source: bytes | str, seed: int = 1, number: int = 0) -> Answer:
        """One evaluation; 0: of the next number."""
        data = source.encode() if isinstance(source, str) else source
        self.lane.submit(Order(number=number or next(self._numbers), source=data, seed=seed))
        answer = None
        while answer is None:
            answer = self.lane.answer()
        return answer


def files(folder: Path, program: str = PROGRAM, evaluator: str = EVALUATOR) -> tuple[Path, Path]:
    """A program and an evaluator on disk."""
    folder.mkdir(exist_ok=True)
    (folder / "program.py").write_bytes(program.encode())
    (folder / "evaluator.py").write_bytes(evaluator.encode())
    return folder / "program.py", folder / "evaluator.py"


def setup_of(folder: Path, evaluator: str = EVALUATOR, settings: convention.Settings | None = None) -> Setup:
    """What a run would make of an evaluator."""
    settings = settings or convention.Settings(timeout_s=PATIENCE_S)
    _, path = files(folder, evaluator=evaluator)
    source = path.read_bytes()
    return Setup(
        evaluator=str(path),
        source=source,
        kind=convention.kind_of(source, settings),
        settings=settings,
        text=convention.reads_text(source),
        modules=modules_of([source]),
    )


@contextlib.contextmanager
def bench(folder: Path, evaluator: str = EVALUATOR, settings: convention.Settings | None = None) -> Iterator[Bench]:
    """A lane with that evaluator, ready; ended afterwards."""
    lane = Lane(setup_of(folder, evaluator, settings))
    try:
        lane.ready()
        yield Bench(lane)
    finally:
        lane.close()
