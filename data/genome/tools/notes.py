"""Notes: what the operator asked to be kept, word for word."""

from __future__ import annotations

from o_tui.agent.dsl import Context, Recall, Remember, Steps, tool

SOURCE = "note"


@tool
def take_note(text: str) -> Steps:
    """Keeps a note for good.

    Args:
        text: The note, as it is to be read later.
    """
    yield Remember(text, SOURCE, kind="semantic", importance=0.9)
    return f"noted: {text}"


@tool
def list_notes(context: Context, count: int = 10) -> str:
    """The newest notes, newest first.

    Args:
        count: How many at most.
    """
    notes = [block for block in context.state.blocks("semantic", 200) if block.source == SOURCE]
    return "\n".join(f"- {block.text}" for block in notes[: max(1, count)]) or "there are no notes"


@tool
def search_memory(query: str, count: int = 5) -> Steps:
    """Looks in everything that is remembered: notes, facts, earlier conversations.

    Args:
        query: What to look for, in a few telling words.
        count: How many memories at most.
    """
    hits = yield Recall(query, max(1, min(20, count)))
    return "\n".join(f"- {hit.block.text} (source: {hit.block.source})" for hit in hits) or "nothing about that"
