"""Kept attacks as requests: what validation tries on the gene alone, a shadow meets through the whole agent.

A case of the prober becomes the request that brings its arguments to the gene, with the memories that it was found with
in a scope of its own. What no request can bring there (a tool's function, a consolidation) is left to validation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from o_tui.evolution import workloads
from o_tui.evolution.attacks import Attack
from o_tui.evolution.probe import properties
from o_tui.evolution.probe.case import Call, Recipe
from o_tui.evolution.samples import RecordedRequest, Side

MOST = 20
"""Attacks that a shadow is given, the newest: each costs two forks."""
_FIRST_NS = 1_790_000_000_000_000_000


class _NoRequestError(Exception):
    """No request has these arguments."""


def requests(attacks: Sequence[Attack], most: int = MOST) -> workloads.Workload:
    """The newest attacks that a request can bring, oldest first, and the memories that each is answered from."""
    setup: list[RecordedRequest] = []
    made: list[RecordedRequest] = []
    for number, attack in reversed(list(enumerate(attacks, 1))):
        if len(made) == most:
            break
        try:
            first, request = _request(attack, f"attack-{attack.gene.replace('/', '-')}-{number}")
        except (ValueError, _NoRequestError):
            continue
        setup += first
        made.append(request)
    return workloads.Workload(tuple(setup), tuple(reversed(made)))


def judged(request: RecordedRequest, main: Side, candidate: Side) -> tuple[Side, Side]:
    """Both answers to an attack, those that are wrong by its kind as errors.

    An error, a crash or a hang is wrong for each kind already.
    """
    if request.attack == "equal-to-reference" and main.ok and candidate.ok and main.text != candidate.text:
        return main, _wrong(candidate, "it answers otherwise than main")
    if request.attack == "property" and request.kind == "memory.search":
        asked = json.loads(request.text)
        ours = properties.of_search(asked, main.text) if main.ok else ""
        theirs = properties.of_search(asked, candidate.text, None if ours else main.text) if candidate.ok else ""
        return _wrong(main, ours), _wrong(candidate, theirs)
    return main, candidate


def _wrong(side: Side, text: str) -> Side:
    return replace(side, ending="error", error=text) if text else side


def _request(attack: Attack, name: str) -> tuple[list[RecordedRequest], RecordedRequest]:
    case = attack.case()
    maker = _MAKERS.get((attack.gene, attack.function))
    if maker is None or len(case.calls) != 1 or case.kind != "calls":
        raise _NoRequestError
    kind, text, memories = maker(case.calls[0])
    request = RecordedRequest(
        id=name, text=text, kind=kind, time_ns=_FIRST_NS, source="attack", scope=name, attack=attack.kind
    )
    if not memories:
        return [], request
    items = [{"text": text, "source": "attack", "time_ns": _FIRST_NS} for text in memories]
    first = RecordedRequest(
        id=f"{name}-memory", text=json.dumps({"items": items}), kind="memory.add", source="attack", scope=name
    )
    return [first], request


# --- from a call to (kind of request, its text, the memories before it)

_Made = tuple[str, str, list[str]]


def _recall(call: Call) -> _Made:
    query, search, k = (_argument(call, place, name) for place, name in enumerate(("query", "search", "k")))
    if type(k) is not int:
        raise _NoRequestError
    return "memory.search", _json({"text": _text(query), "k": k}), _memories(search)


def _chunk(call: Call) -> _Made:
    return "memory.add", _json({"text": _text(_argument(call, 0, "text"))}), []


def _importance(call: Call) -> _Made:
    text, kind = _argument(call, 0, "text"), _argument(call, 1, "kind")
    return "memory.add", _json({"text": _text(text), "kind": _text(kind)}), []


def _respond(call: Call) -> _Made:
    asked, context = _argument(call, 0, "request"), _argument(call, 1, "context")
    if not isinstance(asked, list) or asked[:2] != ["new", "Request"]:
        raise _NoRequestError
    given = dict(zip(("id", "text"), asked[2], strict=False)) | asked[3]
    return "chat", _text(given.get("text")), _memories(context)


def _choose(call: Call) -> _Made:
    outcomes, options = (_plain(_argument(call, place, name)) for place, name in enumerate(("outcomes", "options")))
    return "strategy.choose", _json({"outcomes": outcomes, "options": options}), []


_MAKERS: dict[tuple[str, str], Callable[[Call], _Made]] = {
    ("recall", "recall"): _recall,
    ("remember", "chunk"): _chunk,
    ("remember", "importance"): _importance,
    ("respond", "respond"): _respond,
    ("strategy", "choose"): _choose,
}


def _argument(call: Call, place: int, name: str) -> Recipe:
    if place < len(call.args):
        return call.args[place]
    if name in call.kwargs:
        return call.kwargs[name]
    raise _NoRequestError


def _memories(stage: Recipe) -> list[str]:
    if not isinstance(stage, list) or stage[0] != "stage":
        raise _NoRequestError
    return [text for text in stage[2] if text]


def _text(recipe: Recipe) -> str:
    made = _plain(recipe)
    if not isinstance(made, str):
        raise _NoRequestError
    return made


def _plain(recipe: Recipe) -> Any:
    """The value of a recipe, where JSON has it."""
    if not isinstance(recipe, list):
        return recipe
    tag, rest = recipe[0], recipe[1:]
    if tag in ("list", "tuple"):
        return [_plain(item) for item in rest]
    if tag == "dict":
        return {_text(key): _plain(value) for key, value in rest}
    if tag == "join":
        return "".join(str(_plain(item)) for item in rest)
    if tag == "repeat":
        return rest[1] * rest[0]
    raise _NoRequestError


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True)
