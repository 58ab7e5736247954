"""Who looks on: the connected views, as the guardian needs them (`views.ViewServer`)."""

from __future__ import annotations

from typing import Any, Protocol


class Audience(Protocol):
    """The views."""

    @property
    def connected(self) -> int:
        """How many there are."""

    @property
    def followers(self) -> int:
        """How many of them want notices."""

    def publish(self, topic: str, data: dict[str, Any]) -> None:
        """A notice to those that follow."""

    async def close(self) -> None:
        """Ends them."""


class Nobody:
    """No view is connected, and none can be."""

    connected = followers = 0

    def publish(self, topic: str, data: dict[str, Any]) -> None:
        """Nobody hears it."""

    async def close(self) -> None:
        """Nobody has to be told."""
