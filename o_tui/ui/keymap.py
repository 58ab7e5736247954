"""The operator's own keys (`screen.keys`: action id -> keys): what is wrong is one line, and the default stays."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from textual.keys import Keys

from o_tui.protocol.errors import did_you_mean
from o_tui.ui.actions import Action

_MODIFIERS = frozenset({"ctrl", "alt", "shift", "super", "hyper", "meta"})
_NAMED = frozenset(key.value for key in Keys if "+" not in key.value and "<" not in key.value)
_WORD = re.compile(r"[a-z0-9_]+\Z")


def check(wanted: Mapping[str, str], actions: Iterable[Action]) -> tuple[dict[str, str], list[str]]:
    """Which of the operator's keys can be used (`action id -> keys`), and a line for each that cannot."""
    known = {action.id: action for action in actions}
    good: dict[str, str] = {}
    problems: list[str] = []
    for identity, text in wanted.items():
        problem = _problem(identity, text, known)
        if problem:
            problems.append(f"keys: {problem}")
        else:
            good[identity] = ",".join(key.strip() for key in text.split(","))
    for identity, key, other in conflicts(good, known.values()):
        if identity in good:
            problems.append(f"keys: {key} of {identity} is the key of {other} too; the default stays")
            del good[identity]
    return good, problems


def _problem(identity: str, text: str, known: Mapping[str, Action]) -> str:
    if identity not in known:
        return "; ".join(filter(None, [f"there is no action {identity}", did_you_mean(identity, known, "")]))
    keys = [key.strip() for key in text.split(",")]
    for key in keys:
        *modifiers, name = key.split("+")
        if not _WORD.match(name) or not set(modifiers) <= _MODIFIERS or (len(name) > 1 and name not in _NAMES):
            return f"{key!r} of {identity} is no key; write it like f5, ctrl+o or question_mark"
    return ""


def conflicts(chosen: Mapping[str, str], actions: Iterable[Action]) -> list[tuple[str, str, str]]:
    """`(action, key, other action)` for keys that two actions of one place would have.

    The app's keys and a pane's keys are one place: whoever has the focus there would have to guess.
    """
    rows = [(action, _keys(action, chosen)) for action in actions]
    found: list[tuple[str, str, str]] = []
    for index, (action, keys) in enumerate(rows):
        for other, other_keys in rows[:index]:
            together = action.where == other.where or "app" in (action.where, other.where)
            for key in keys:
                if together and key in other_keys:
                    # the one that was chosen has to give way; if both were, the later one
                    first, second = (action, other) if action.id in chosen else (other, action)
                    found.append((first.id, key, second.id))
    return found


def _keys(action: Action, chosen: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(chosen[action.id].split(",")) if action.id in chosen else action.keys


_NAMES = _NAMED | frozenset(
    {
        "question_mark", "slash", "backslash", "full_stop", "comma", "colon", "semicolon", "plus", "minus",
        "equals_sign",
        "left_square_bracket", "right_square_bracket", "underscore", "asterisk", "number_sign", "at", "space",
        "exclamation_mark", "less_than_sign", "greater_than_sign", "ampersand", "percent_sign", "dollar_sign", "tilde",
        "grave_accent", "apostrophe", "quotation_mark", "vertical_line", "circumflex_accent", "left_parenthesis",
        "right_parenthesis", "left_curly_bracket", "right_curly_bracket",
    }
)  # fmt: skip
