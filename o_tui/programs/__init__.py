"""A user's own program, evolved: `o-tui evolve PROGRAM EVALUATOR`.

The program runs in a process of its own for each evaluation, the evaluator in another; a run's results are kept in one
file from which it can be resumed (docs/adr/programs-apart-from-evaluators.md).
"""
