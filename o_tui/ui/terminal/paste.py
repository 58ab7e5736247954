"""What is pasted is text and stays text, whatever is in it.

The terminal marks what is pasted; Textual's parser ends a paste at the first escape sequence in it and takes the rest
for keys. So nothing that it could take for one gets to it.
"""

from __future__ import annotations

START, END = "\x1b[200~", "\x1b[201~"
_KEPT = "\t\n\r"
_HARMLESS = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in _KEPT}
_HARMLESS |= {0x7F: "\u2421", **{code: f"<U+{code:04X}>" for code in range(0x80, 0xA0)}}


class PasteGuard:
    """Goes through what a terminal sends, in pieces of any size."""

    def __init__(self) -> None:
        self._inside = False
        self._held = ""
        self._before = ""

    def feed(self, text: str) -> list[tuple[bool, str]]:
        """The parts of a piece, in order: `(pasted, text)`. The marks themselves are not pasted."""
        parts: list[tuple[bool, str]] = []
        text, self._held = self._held + text, ""
        while text:
            text = self._pasted(text, parts) if self._inside else self._typed(text, parts)
        return parts

    def _typed(self, text: str, parts: list[tuple[bool, str]]) -> str:
        # a mark may begin in the piece before, which has gone to the parser already: a lone Escape may not wait
        seen = self._before + text
        at = seen.find(START)
        self._before = seen[-len(START) + 1 :] if at < 0 else ""
        end = len(text) if at < 0 else at + len(START) - (len(seen) - len(text))
        self._inside = at >= 0
        parts.append((False, text[:end]))
        return text[end:]

    def _pasted(self, text: str, parts: list[tuple[bool, str]]) -> str:
        at = text.find(END)
        if at < 0:
            # the beginning of the end mark waits for the rest of it
            keep = next((size for size in range(len(END) - 1, 0, -1) if text.endswith(END[:size])), 0)
            self._held = text[len(text) - keep :]
            text, rest = text[: len(text) - keep], ""
        else:
            self._inside = False
            text, rest = text[:at], text[at:]
        if text:
            parts.append((True, text.translate(_HARMLESS)))
        return rest
