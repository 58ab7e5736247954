"""The run's end of a cluster: a lane whose server is a client of a Dask scheduler.

The client is a process of its own. What comes from the network is read there and nowhere else, and a run that needs no
cluster never imports Dask.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import math
import os
from collections.abc import Callable, Mapping
from typing import ClassVar
from urllib.parse import urlsplit

from o_tui.programs import orders
from o_tui.programs.lane import ENVIRONMENT, Lane
from o_tui.programs.orders import Answer, Setup, Told
from o_tui.protocol.errors import PeerError, UsageError

INSTALL = "pip install 'o-tui[cluster]'"
_EXAMPLE = "tls://scheduler.example:8786"


class Cluster(Lane):
    """A lane that is as deep as the cluster has threads for; `heard` is told how many workers there are."""

    module = "o_tui.programs.cluster.client"
    # no candidate runs under the client: it may know the user's settings of Dask, where his certificates are
    environment: ClassVar[Mapping[str, str]] = {
        **ENVIRONMENT,
        **{name: value for name, value in os.environ.items() if name == "HOME" or name.startswith("DASK_")},
    }
    refusal = PeerError

    def __init__(self, setup: Setup, address: str, heard: Callable[[int], None]) -> None:
        self._heard = heard
        super().__init__(setup, address)

    @property
    def due(self) -> float:
        """Its client knows when a worker is late, and waits for workers for as long as it takes."""
        return math.inf if self.serves else super().due

    def _receive(self) -> Answer | None:
        told, _ = orders.receive(self._sock, Told)
        if told.problem:
            raise PeerError(told.problem, hint="all evaluations that were reported are kept: --resume goes on")
        if told.workers is not None:
            self._heard(told.workers)
        return told.answer


def checked(address: str) -> str:
    """A scheduler's address, if a run may use it: TLS, or a plain connection that does not leave this machine.

    Raises:
        UsageError: It may not, or Dask is not installed.
    """
    parts = urlsplit(address)
    try:
        known = parts.scheme in ("tls", "tcp") and parts.hostname and parts.port and not parts.path
    except ValueError:
        known = False
    if not known:
        raise UsageError(f"{address!r} is no address of a scheduler", hint=f"{_EXAMPLE}, or tcp://127.0.0.1:8786")
    if parts.scheme == "tcp" and not _here(parts.hostname or ""):
        raise UsageError(
            f"{address} is neither encrypted nor on this machine: whoever is between could run code on every worker",
            hint=f"{_EXAMPLE}, with certificates for scheduler, workers and client",
        )
    if importlib.util.find_spec("distributed") is None:
        raise UsageError("--cluster needs Dask's package `distributed`", hint=INSTALL)
    return address


def _here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
