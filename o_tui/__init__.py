"""O: a terminal application for an agent that rewrites its own code, and the guardian that makes it safe."""

from __future__ import annotations

from o_tui._native import __version__ as __version__
