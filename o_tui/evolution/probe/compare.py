"""Whether a candidate's observation of a case is one that the reference allows."""

from __future__ import annotations

from typing import Any

from o_tui.evolution.probe.case import Case
from o_tui.evolution.probe.observe import same

_WRONG_INPUT = frozenset(
    ["TypeError", "AttributeError", "RecursionError", "MemoryError", "OverflowError", "NotImplementedError", "hang"]
)
"""What a reference raises, not on purpose, when the input was not for it: nothing is promised then."""


def promised(reference: Any) -> bool:
    """Whether the reference answers, or refuses on purpose: what it cannot do itself is asked of nobody."""
    calls = [call for call in reference[1:] if isinstance(call, list) and call]
    return not any(call[0] == "raises" and call[1] in _WRONG_INPUT and not _meant(call) for call in calls)


def difference(case: Case, reference: Any, candidate: Any) -> tuple[int, str]:
    """(index of the call, sentence); (-1, "") where they agree."""
    if reference[0] == "unmade":
        return -1, ""
    if candidate[0] == "unmade":
        return 0, "an argument cannot be made any more"
    if case.kind == "race":
        return _race(reference, candidate)
    for index, (expected, found) in enumerate(zip(reference[1:], candidate[1:], strict=False)):
        ended, text = _call(expected, found)
        if text:
            return min(index, max(0, len(case.calls) - 1)), text
        if ended:
            return -1, ""
    return -1, ""


def torn(observation: Any) -> bool:
    """Whether two calls at once came out as no order of them does."""
    if observation[0] != "race":
        return False
    return not all(any(same(outcome, each) for each in observation[1]) for outcome in observation[2])


def _race(reference: Any, candidate: Any) -> tuple[int, str]:
    if reference[0] != "race" or candidate[0] != "race":
        return -1, ""
    _tag, serial, outcomes = reference
    if not all(any(same(outcome, each) for each in serial) for outcome in outcomes):
        return -1, ""  # the reference promises nothing for two at once
    for outcome in candidate[2]:
        if not any(same(outcome, each) for each in serial):
            return (
                -1 if outcome is None else 0,
                f"two calls at once give {brief(outcome[:2])}, as no order of them does",
            )
    return -1, ""


def _call(expected: Any, found: Any) -> tuple[bool, str]:
    """(nothing more can be compared, what is wrong)."""
    if not (isinstance(expected, list) and expected and expected[0] in ("value", "raises", "unmade")):
        return False, "" if same(expected, found) else f"afterwards it is {brief(found)}, not {brief(expected)}"
    if expected[0] == "unmade" or (expected[0] == "raises" and expected[1] in _WRONG_INPUT and not _meant(expected)):
        return True, ""
    if expected[0] == "raises":
        if found[0] != "raises":
            return True, f"gives {brief(found[1])} where {expected[1]} is raised"
        if expected[2] and expected[1] != found[1]:
            return True, f"raises {found[1]}, not {expected[1]}"
        return expected[1] != found[1], ""
    if found[0] == "raises":
        what = "never ends" if found[1] == "hang" else f"raises {found[1]}"
        return True, f"{what}; {brief(expected[1])} is right"
    if found[0] != "value":
        return True, "an argument cannot be made any more"
    if not same(expected[1], found[1]):
        return True, f"gives {brief(found[1])}, not {brief(expected[1])}"
    if not same(expected[2], found[2]):
        return True, f"leaves its arguments as {brief(found[2])}, not {brief(expected[2])}"
    if not same(expected[3:], found[3:]):
        return True, "what it returns is still its argument's: writing to the one changes the other"
    return False, ""


def _meant(expected: Any) -> bool:
    return bool(expected[2]) and expected[1] != "hang"


def brief(value: Any, limit: int = 60) -> str:
    """An observation for people, short."""
    text = _plain(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _plain(value: Any) -> str:
    if not isinstance(value, list) or not value:
        return repr(value)
    tag, rest = value[0], value[1:]
    if tag == "value":
        return _plain(rest[0])
    if tag == "raises":
        return str(rest[0])
    if tag in ("list", "iter"):
        return f"[{', '.join(map(_plain, rest))}]"
    if tag in ("tuple", "set", "deque"):
        return f"{'' if tag == 'tuple' else tag}({', '.join(map(_plain, rest))})"
    if tag == "dict":
        return "{" + ", ".join(f"{_plain(key)}: {_plain(item)}" for key, item in rest) + "}"
    if tag == "new":
        return f"{rest[0]}({', '.join(f'{name}={_plain(item)}' for name, item in rest[1:])})"
    if tag in ("end", "cycle"):
        return "…"
    return ", ".join(map(_plain, rest)) if tag == "member" else f"<{tag}>"
