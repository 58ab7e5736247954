"""What the client and the workers of a cluster send each other, as plain bytes: a batch out, what became of it back."""

from __future__ import annotations

import msgspec

from o_tui.programs.orders import Answer, Order, Setup


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """One task: some evaluations.

    Attributes:
        version: O's; a worker of another version evaluates nothing.
        digest: Of the setup, with the evaluator's files.
        setup: None: the worker has it, or says that it misses it.
    """

    version: str
    digest: str
    orders: tuple[Order, ...]
    setup: Setup | None = None


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch.

    Attributes:
        missing: The setup is not there; nothing was done.
        problem: Why this worker can evaluate nothing.
    """

    answers: tuple[Answer, ...] = ()
    missing: bool = False
    problem: str = ""
