"""What is a fault of a gene, whatever it answers: a gene may answer better than main's, so another answer is none.

A property counts where main's answer has it and the candidate's has not.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

from o_tui.evolution.probe.case import Call, Case
from o_tui.evolution.probe.compare import brief
from o_tui.evolution.probe.harvest import Function, Harvest
from o_tui.protocol import contracts

_WORD = re.compile(r"\w+")


def narrowed(found: Harvest, gene: str) -> Harvest:
    """The functions of the contract only: what else a gene has is its own affair. A tool's functions are all probed."""
    names = [contract.name for contract in contracts.CONTRACTS.get(gene, ())]
    found.classes = {name: replace(known, methods=()) for name, known in found.classes.items()}
    if names:
        found.functions = {name: function for name, function in found.functions.items() if name in names}
    return found


def fault(gene: str, case: Case, reference: Any, candidate: Any) -> str:
    """What is wrong with the candidate's answers; empty: they are only others."""
    if reference[0] != "calls" or candidate[0] != "calls":
        return ""
    for call, expected, found in zip(case.calls, reference[1:], candidate[1:], strict=False):
        if not isinstance(expected, list) or not isinstance(found, list) or expected[0] != "value":
            return ""
        if found[0] == "raises":
            return "never ends" if found[1] == "hang" else f"raises {found[1]}; main does not"
        if found[0] != "value":
            return ""
        if _kind(expected[1]) != _kind(found[1]) and None not in (expected[1], found[1]):
            return f"gives {brief(found[1])}; main gives {brief(expected[1])}"
        if expected[2] != found[2]:
            return "changes its arguments"
        for text, holds in _PROPERTIES.get((gene, call.name), ()):
            if holds(call.args, expected[1]) and not holds(call.args, found[1]):
                return f"{text}: {brief(found[1])}"
    return ""


def breach(gene: str, case: Case, observation: Any, functions: Mapping[str, Function]) -> str:
    """What is wrong with a gene's answers by its contract alone, whatever another version says; empty: nothing.

    A tool may refuse by a `raise` of its own. `functions` are the gene's, by name.
    """
    if observation[0] != "calls":
        return ""
    for call, found in zip(case.calls, observation[1:], strict=False):
        if not isinstance(found, list) or found[0] not in ("value", "raises"):
            return ""
        if _is_outside(gene, call) or _is_no_choice(call, functions.get(call.name)):
            return ""
        if found[0] == "raises":
            if found[1] == "hang":
                return "never ends"
            return "" if found[2] and gene.startswith("tools/") else f"raises {found[1]}"
        for text, holds in _PROPERTIES.get((gene, call.name), ()):
            if text not in _RELATIVE and not holds(call.args, found[1]):
                return f"{text}: {brief(found[1])}"
    return ""


def _is_outside(gene: str, call: Call) -> bool:
    """An input that nobody gives: a choice among nothing, or from outcomes that are no rows of the guardian's."""
    return (gene, call.name) == ("strategy", "choose") and (call.args[:1] != [["list"]] or ["list"] in call.args[1:2])


def _is_no_choice(call: Call, function: Function | None) -> bool:
    """An argument that is none of those that its `Literal` names: whoever calls a gene is held to them."""
    given = zip(function.parameters, call.args, strict=False) if function is not None else ()
    named = (
        ((each, call.kwargs[each.name]) for each in function.parameters if each.name in call.kwargs) if function else ()
    )
    return any(each.type.kind == "literal" and value not in each.type.values for each, value in chain(given, named))


def of_search(asked: Mapping[str, Any], answer: str, main: str | None = None) -> str:
    """The same for an answer of the whole agent to `memory.search`, as JSON; beside main's, where that is given."""
    args = [asked.get("text"), None, asked.get("k")]
    theirs, ours = _found(answer), _found(main) if main is not None else None
    for text, holds in _PROPERTIES["recall", "recall"]:
        promised = holds(args, ours) if ours is not None else text not in _RELATIVE
        if promised and not holds(args, theirs):
            return text
    return ""


def _found(answer: str) -> list[Any]:
    """An answer as the prober sees hits."""
    try:
        rows = json.loads(answer)
    except (ValueError, RecursionError):
        return ["list"]
    blocks = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return [
        "list",
        *(["new", "Hit", ["score", row.get("score")], ["block", ["new", "Block", *row.items()]]] for row in blocks),
    ]


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return "list" if not value or value[0] in ("list", "text") else str(value[0])
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


def _hits(value: Any) -> Iterator[dict[str, Any]]:
    for hit in value[1:] if isinstance(value, list) else ():
        if isinstance(hit, list) and hit[0] == "new":
            yield dict(hit[2:])


def _id(hit: dict[str, Any]) -> str:
    block = hit.get("block")
    return str(dict(block[2:]).get("id")) if isinstance(block, list) else ""


def _no_more_than_asked(args: list[Any], value: Any) -> bool:
    wanted = args[2] if isinstance(args[2], int) else 0
    return len(list(_hits(value))) <= max(0, wanted)


def _best_first(_args: list[Any], value: Any) -> bool:
    scores = [hit.get("score") for hit in _hits(value)]
    numbers = [float(score) for score in scores if isinstance(score, (int, float))]
    return len(numbers) == len(scores) and all(map(math.isfinite, numbers)) and numbers == sorted(numbers, reverse=True)


def _each_once(_args: list[Any], value: Any) -> bool:
    names = [_id(hit) for hit in _hits(value)]
    return len(names) == len(set(names))


def _has_all_words(args: list[Any], value: Any) -> bool:
    """A memory that has every word that was asked for is among those found, or there was no room for more."""
    if len(list(_hits(value))) >= (args[2] if isinstance(args[2], int) else 0):
        return True
    wanted = set(_WORD.findall(str(args[0]).lower()))
    texts = [
        str(dict(hit["block"][2:]).get("text", "")).lower()
        for hit in _hits(value)
        if isinstance(hit.get("block"), list)
    ]
    return bool(wanted) and any(wanted <= set(_WORD.findall(text)) for text in texts)


def _all_kept(args: list[Any], value: Any) -> bool:
    pieces = [piece for piece in value[1:] if isinstance(piece, str)] if isinstance(value, list) else []
    return "".join(str(args[0]).split()) == "".join("".join(pieces).split()) and all(pieces)


def _share(_args: list[Any], value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 <= value <= 1


def _names_once(_args: list[Any], value: Any) -> bool:
    changes = [dict(change[2:]) for change in value[1:]] if isinstance(value, list) else []
    names = [change.get("id") for change in changes]
    return len(names) == len(set(names))


def _says_something(_args: list[Any], value: Any) -> bool:
    return isinstance(value, list) and len(value) > 3 and bool(str(value[2]).strip()) and value[-1] == "ended"


def _records(_args: list[Any], value: Any) -> bool:
    return isinstance(value, list) and "Record" in repr(value[3:])


_Property = tuple[str, Callable[[list[Any], Any], bool]]
_ALL_WORDS, _RECORDED = "the memory that has all the words is not among them", "the conversation is not recorded"
_SILENT, _TWICE = "says nothing, or has no end", "a memory is changed twice"
_RELATIVE = frozenset([_ALL_WORDS, _RECORDED, _SILENT, _TWICE])
"""What depends on the input too: it counts only where main's answer has it."""
_PROPERTIES: dict[tuple[str, str], tuple[_Property, ...]] = {
    ("recall", "recall"): (
        ("more memories than were asked for", _no_more_than_asked),
        ("scores that are no numbers, or not the best first", _best_first),
        ("a memory twice", _each_once),
        (_ALL_WORDS, _has_all_words),
    ),
    ("remember", "chunk"): (("text is lost between the pieces", _all_kept),),
    ("remember", "importance"): (("no number from 0 to 1", _share),),
    ("remember", "consolidate"): ((_TWICE, _names_once),),
    ("respond", "respond"): (
        (_SILENT, _says_something),
        (_RECORDED, _records),
    ),
}
