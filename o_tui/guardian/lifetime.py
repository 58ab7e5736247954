"""How long a guardian stays: until somebody stops it, or until the last connection has gone.

A command that starts one for itself wants the second, from the beginning: however it ends, its guardian does. Whoever
else comes meanwhile may want the first; then it is so for good.
"""

from __future__ import annotations

from collections.abc import Callable

WHY = "the command that started it, and whoever came meanwhile, have gone"


class Lifetime:
    """What has been wished.

    Attributes:
        kept: It stays although nobody is connected.
    """

    def __init__(self, stop: Callable[[str], None]) -> None:
        self.kept = True
        self._wished = False
        self._stop = stop

    def until_alone(self) -> None:
        """It ends when the last connection has gone, unless somebody wishes that it stays."""
        self.kept = self._wished

    def keep(self) -> None:
        """It stays, whoever wishes something else."""
        self.kept = self._wished = True

    def alone(self) -> None:
        """The last connection has gone."""
        if not self.kept:
            self.kept = True  # once
            self._stop(WHY)
