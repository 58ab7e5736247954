"""The built-in operators: each makes one change to a module, without a model. They are pure: text in, text out."""

from __future__ import annotations

from o_tui.evolution.operators.cma import Cma
from o_tui.evolution.operators.crossover import Crossover
from o_tui.evolution.operators.idioms import Idioms
from o_tui.evolution.operators.literals import Literals
from o_tui.evolution.operators.materialise import Materialise
from o_tui.evolution.operators.operator import Operator
from o_tui.evolution.operators.options import Options
from o_tui.evolution.operators.restart import Restart
from o_tui.evolution.operators.statements import Statements

OPERATORS: tuple[Operator, ...] = (Options(), Materialise(), Literals(), Idioms(), Crossover(), Statements(), Cma())
"""All of them, in the order in which they are told of in statistics."""
RESTART: Operator = Restart()
"""What comes where none of them has anything new."""
