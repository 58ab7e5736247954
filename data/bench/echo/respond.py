"""Says what it is told: for measuring everything around a gene."""

from __future__ import annotations

from o_tui.agent.dsl import Context, Request, Say, Steps


def respond(request: Request, context: Context) -> Steps:
    """What was said."""
    yield Say(request.text)
