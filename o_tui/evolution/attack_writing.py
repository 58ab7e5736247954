"""Attacks that a model writes: it is shown a gene in service, and asked for inputs that could break it.

They are data and never code. What can be read of an answer becomes cases, which are tried in confined forks, judged by
the gene's contract and changed further like all others; what is no input is left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from o_tui.evolution import prompting
from o_tui.evolution.probe import stage
from o_tui.evolution.probe.case import Call, Case, Recipe, encode
from o_tui.protocol import contracts

MOST = 16
"""Inputs of one answer that are tried."""
ANSWER_CHARS = 64 * 1024
TEXT_CHARS = 4_000
_MEMORIES = 12
_TURNS = 2
_K = 1_000_000
_TORN = 50
"""So many beginnings of an object that is none are looked at."""
_KNOWN = 5


@dataclass(frozen=True, slots=True)
class _Form:
    """How an input of a gene is written, and what the gene promises for each."""

    example: str
    promise: str
    case: Callable[[Mapping[str, Any]], Call | None]


def writable(gene: str) -> bool:
    """Whether there is a form for inputs of this gene: for a tool's arguments, which have to fit its hints, is none."""
    return gene in _FORMS


def question(gene: str, source: str, known: Sequence[str]) -> list[dict[str, str]]:
    """What a model is asked; `known` are faults that were found already, in words. Only for a `writable` gene."""
    form = _FORMS.get(gene)
    if form is None:
        raise ValueError(f"nobody writes inputs of {gene}")
    system = (
        "You test Python code of an agent. You write inputs that could break it. Answer with inputs only, as JSON, one "
        "object a line, in one ```json block."
    )
    parts = [
        f"The module {contracts.path_of(gene)}:\n```python\n{source.rstrip()}\n```",
        f"What it promises: {form.promise}",
        f"An input looks like this:\n{form.example}",
    ]
    if known:
        parts.append("Found already, so look for others:\n" + "\n".join(f"- {text[:200]}" for text in known[-_KNOWN:]))
    parts.append(
        f"Write {MOST // 2} inputs, each of another kind, at which it may break a promise: read what the code takes "
        "for granted. Think of empty texts, blanks, odd characters, text in other scripts, and numbers at the edge."
    )
    return [{"role": "system", "content": system}, {"role": "user", "content": "\n\n".join(parts)}]


def read(answer: str, gene: str) -> list[Case]:
    """The inputs in an answer, each once, at most `MOST`; empty where there is none."""
    form = _FORMS.get(gene)
    found: dict[str, Case] = {}
    if form is None:
        return []
    for value in _objects(prompting.without_thoughts(answer[:ANSWER_CHARS])):
        call = form.case(value)
        if call is not None:
            case = Case("calls", [call])
            found.setdefault(encode(case), case)
        if len(found) == MOST:
            break
    return list(found.values())


# --- forms


def _recall(value: Mapping[str, Any]) -> Call | None:
    query, k = value.get("query"), value.get("k")
    if not isinstance(query, str):
        return None
    wanted = max(-_K, min(_K, k)) if type(k) is int else 5
    return Call("recall", [_text(query), ["stage", "Search", _memories(value), "", _TURNS], wanted, stage.NOW_NS])


def _remember(value: Mapping[str, Any]) -> Call | None:
    text = value.get("text")
    return Call("chunk", [_text(text)]) if isinstance(text, str) else None


def _respond(value: Mapping[str, Any]) -> Call | None:
    text = value.get("text")
    if not isinstance(text, str):
        return None
    asked: Recipe = ["new", "Request", ["r", _text(text)], {}]
    return Call("respond", [asked, ["stage", "Context", _memories(value), "", _TURNS]])


_FORMS = {
    "recall": _Form(
        '{"query": "where is Basel?", "k": 5, "memories": ["Basel is on the Rhine.", "Ann likes peonies."]}',
        "recall never raises and always ends; it gives at most k memories, the best first, none twice.",
        _recall,
    ),
    "remember": _Form(
        '{"text": "Ann likes peonies."}',
        "chunk never raises and always ends; its pieces together hold the whole text, and none is empty.",
        _remember,
    ),
    "respond": _Form(
        '{"text": "Hello there", "memories": ["Ann likes peonies."]}',
        "respond never raises and always ends.",
        _respond,
    ),
}

# --- reading


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in a text, wherever they stand; a list of them gives each."""
    decoder, at, torn = json.JSONDecoder(), text.find("{"), 0
    while at >= 0 and torn < _TORN:
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            torn, end = torn + 1, at + 1
        else:
            yield value
        at = text.find("{", end)


def _memories(value: Mapping[str, Any]) -> list[str]:
    given = value.get("memories")
    return [_text(each) for each in given if isinstance(each, str)][:_MEMORIES] if isinstance(given, list) else []


def _text(text: str) -> str:
    """As much of it as is tried, without halves of characters: those are in no frame."""
    return text[:TEXT_CHARS].encode("utf-8", "replace").decode()
