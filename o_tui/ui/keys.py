"""How keys are written for people: `ctrl+p` is `^P`, `question_mark` is `?`."""

from __future__ import annotations

from textual.keys import format_key

_NAMES = {
    "space": "Space",
    "enter": "Enter",
    "escape": "Esc",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "home": "Home",
    "end": "End",
    "up": "Up",
    "down": "Down",
    "left": "Left",
    "right": "Right",
    "tab": "Tab",
    "delete": "Del",
    "backspace": "Backspace",
}


def shown(key: str) -> str:
    """The key as the footer and the help write it."""
    *modifiers, name = key.split("+")
    if name in _NAMES:
        name = _NAMES[name]
    elif len(name) > 1 and name[0] == "f" and name[1:].isdigit():
        name = name.upper()
    else:
        name = format_key(name)
    if modifiers == ["ctrl"] and len(name) == 1:
        return "^" + name.upper()
    words = {"ctrl": "Ctrl+", "alt": "Alt+", "shift": "Shift+", "super": "Super+"}
    return "".join(words.get(modifier, modifier + "+") for modifier in modifiers) + name
