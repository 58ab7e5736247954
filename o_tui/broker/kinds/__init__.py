"""What the broker does for others: one module per kind, found by name."""

from __future__ import annotations

from o_tui.broker.calls import Handler
from o_tui.broker.kinds import chat, clock, detect, embed, key, models

KINDS: dict[str, Handler] = {
    "llm.chat": chat.run,
    "llm.embed": embed.run,
    "llm.models": models.run,
    "brain.detect": detect.run,
    "brain.key": key.run,
    "tool.clock": clock.run,
}
