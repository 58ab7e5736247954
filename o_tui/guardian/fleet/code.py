"""What an instance runs: a revision of the genome, with its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """A revision, ready to be loaded. Without a revision: the kernel alone (safe mode).

    Attributes:
        anew: Paths of modules that a fork makes itself, though it was forked with the same ones ready to run: what two
            sides of a comparison differ in begins as cold on both.
    """

    files: Mapping[str, str]
    revision: str
    version: str
    anew: Sequence[str] = ()
