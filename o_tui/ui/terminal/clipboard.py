"""Copying to the operator's clipboard through the terminal (OSC 52), from tmux and screen too, or into a file."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LIMIT_BASE64 = 74_994
"""What xterm, and those that follow it, take at once."""
_SCREEN_PIECE = 76


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is to be written to the terminal (empty: nothing), and the sentence to say; `{what}` names the text."""

    sequence: str
    sentence: str


def plan(text: str, fallback: Path, environment: Mapping[str, str] | None = None) -> Outcome:
    """Decides how a text is copied; writes the fallback file if the text is too large for a terminal."""
    environment = os.environ if environment is None else environment
    packed = base64.b64encode(text.encode("utf-8", "replace")).decode()
    size = f"{len(text):,} characters".replace(",", " ")
    if len(packed) > LIMIT_BASE64:
        return Outcome("", _into_file(text, fallback, size))
    sequence = f"\x1b]52;c;{packed}\x07"
    if environment.get("TMUX"):
        return Outcome(
            wrap_tmux(sequence) + sequence,
            f"Sent {{what}} to the clipboard ({size}). If it is not there: tmux needs `set -g set-clipboard on`.",
        )
    if environment.get("TERM", "").startswith("screen") or environment.get("STY"):
        return Outcome(wrap_screen(sequence), f"Sent {{what}} to the clipboard through screen ({size}).")
    return Outcome(sequence, f"Sent {{what}} to the clipboard ({size}).")


def wrap_tmux(sequence: str) -> str:
    """A sequence that tmux hands on to the terminal it runs in."""
    return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"


def wrap_screen(sequence: str) -> str:
    """The same for GNU screen, which takes short pieces only."""
    pieces = [sequence[start : start + _SCREEN_PIECE] for start in range(0, len(sequence), _SCREEN_PIECE)]
    return "".join(f"\x1bP{piece}\x1b\\" for piece in pieces)


def _into_file(text: str, fallback: Path, size: str) -> str:
    try:
        fallback.touch(mode=0o600)
        fallback.chmod(0o600)
        fallback.write_text(text, "utf-8", "replace")
    except OSError as error:
        return f"{{what}} is too large for the clipboard ({size}), and {_plain(fallback)}: {error.strerror}"
    return f"{{what}} is too large for the clipboard ({size}). It is in {_plain(fallback)}"


def _plain(path: Path) -> str:
    return str(path).replace("{", "{{").replace("}", "}}")
