"""Keys never leave this process except to their provider: every text that does leave passes here first."""

from __future__ import annotations

import base64
import logging
import re
from urllib.parse import quote

from o_tui.protocol.safe_text import safe

_SHAPES = re.compile(
    r"\b(?:sk-|gsk_|xai-|hf_|AIza)[A-Za-z0-9_\-]{12,}"  # the shapes of providers' keys
    r"|(?i:\bbearer\s+)[A-Za-z0-9._~+/\-]{6,}=*"
)
_LONG_CHARS = 8
"""Keys from this length on are taken out wherever they stand, shorter ones only as whole words."""
_PREFIX_CHARS = 12
"""From so much of its start on, a key that a provider echoes cut off is taken out too."""
_ERROR_CHARS = 400


def mask(key: str) -> str:
    """A key as it may be shown: `sk-…abcd`; a short one not at all."""
    if not key:
        return ""
    if len(key) < 16:
        return "…"
    head = "sk-" if key.startswith("sk-") else ""
    return f"{head}…{key[-4:]}"


class Redactor:
    """Knows every key of this process and takes them out of texts."""

    def __init__(self) -> None:
        self._secrets: dict[str, str] = {}

    def add(self, key: str) -> None:
        """Learns a key, in the forms in which it could come back."""
        if not key:
            return
        shown = mask(key)
        escaped = key.encode("unicode_escape").decode("ascii")
        encoded = base64.b64encode(key.encode()).decode().rstrip("=")
        for form in (key, quote(key, safe=""), escaped, encoded):
            self._secrets[form] = shown

    def clean(self, text: str) -> str:
        """The text without keys, whole or cut off."""
        # Whole ones first, longest first: what two keys have in common must not hide the rest of one.
        for secret in sorted(self._secrets, key=len, reverse=True):
            if len(secret) >= _LONG_CHARS:
                text = text.replace(secret, self._secrets[secret])
            else:
                text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "…", text)
        return self._without_beginnings(_SHAPES.sub("…", text))

    def _without_beginnings(self, text: str) -> str:
        for start in {secret[:_PREFIX_CHARS] for secret in self._secrets if len(secret) > _PREFIX_CHARS}:
            parts, at = [], 0
            while (found := text.find(start, at)) >= 0:
                size = max(_common(text[found : found + len(secret)], secret) for secret in self._secrets)
                parts += [text[at:found], "…"]
                at = found + size
            text = "".join([*parts, text[at:]])
        return text

    def line(self, text: str) -> str:
        """The text without keys, as one line that is not too long: for errors and logs."""
        # Redacted before it is cut: the cut could leave half a key that is no longer recognised.
        text = " ".join("".join(c if c.isprintable() else " " for c in self.clean(text)).split())
        return text if len(text) <= _ERROR_CHARS else text[: _ERROR_CHARS - 1] + "…"

    def stream(self) -> RedactedStream:
        """A filter for a text that comes in parts."""
        return RedactedStream({key: shown for key, shown in self._secrets.items() if len(key) >= _LONG_CHARS})


class RedactedStream:
    """Takes whole keys out of a streamed answer; holds back only what may be the beginning of one."""

    def __init__(self, secrets: dict[str, str]) -> None:
        self._secrets = secrets
        self._held = ""

    def feed(self, text: str) -> str:
        """Takes a part; returns what can be passed on now."""
        if not self._secrets:
            return text
        text = self._held + text
        for secret, shown in self._secrets.items():
            text = text.replace(secret, shown)
        hold = max(_overlap(text, secret) for secret in self._secrets)
        self._held = text[len(text) - hold :]
        return text[: len(text) - hold]

    def finish(self) -> str:
        """What is still held, at the end."""
        held, self._held = self._held, ""
        return held


def _common(one: str, other: str) -> int:
    """How many characters both begin with."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _overlap(text: str, secret: str) -> int:
    """How many characters at the end of `text` are a proper beginning of `secret`."""
    for size in range(min(len(text), len(secret) - 1), 0, -1):
        if text.endswith(secret[:size]):
            return size
    return 0


class RedactingFormatter(logging.Formatter):
    """Formats log records (of the libraries, with their tracebacks) without keys."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__("%(asctime)s broker %(name)s %(levelname)s %(message)s")
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """The record as text, redacted and harmless."""
        return safe(self._redactor.clean(super().format(record)))
