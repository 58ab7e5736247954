"""Shows one thing in full: a checkpoint, an event, an instance. Keys and values, whatever is there."""

from __future__ import annotations

import textwrap
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll

from o_tui.protocol.errors import OError
from o_tui.ui.format import block, count, milliseconds, shown, size, stamp
from o_tui.ui.screens.dialog import Dialog
from o_tui.ui.text import Static, Text

Fact = tuple[str, str]
_LONGEST_VALUE = 4_000
_DEEPEST = 6


class InspectScreen(Dialog[None]):
    """A scrolling box of facts; `v` runs the check that was given, if there is one."""

    about = "All that is known of the row that was opened, as the guardian keeps it."
    keys_help = (("v", "Verify it, where that is possible: the box's frame says so."), ("Esc, q", "Close."))

    DEFAULT_CSS = """
    InspectScreen VerticalScroll { height: auto; max-height: 100%; scrollbar-size-vertical: 1; }
    InspectScreen .verdict { margin: 1 0 0 0; }
    """
    BINDINGS: ClassVar = [Binding("v", "verify", "Verify", show=False), Binding("q", "leave", "Close", show=False)]

    def __init__(
        self, title: str, found: Sequence[Fact], verify: Callable[[], Awaitable[Mapping[str, Any]]] | None = None
    ) -> None:
        super().__init__()
        self._title_text = title
        self._facts = found
        self._verify = verify

    def heading(self) -> str:
        """What it is."""
        return shown(self._title_text, 60)

    def keys(self) -> str:
        """Which keys there are depends on what is shown."""
        return "v verify   Esc close" if self._verify else "Esc close"

    def compose_box(self) -> ComposeResult:
        """The facts, and a line for the verdict."""
        with VerticalScroll(can_focus=True):
            yield Static(table(self._facts, min(72, int(self.app.size.width * 0.96) - 5)))
            yield Static(classes="verdict")

    def action_verify(self) -> None:
        """Runs the check in the background and writes its verdict."""
        if self._verify is not None:
            self.query_one(".verdict", Static).update(Text("checking ..."))
            self.run_worker(self._check(self._verify), exclusive=True, exit_on_error=False)

    async def _check(self, verify: Callable[[], Awaitable[Mapping[str, Any]]]) -> None:
        try:
            answer = await verify()
        except OError as error:
            text = f"[!] {error}" + (f"\n{error.hint}" if error.hint else "")
        else:
            problems = [f"[!!] {shown(problem, 300)}" for problem in answer.get("problems") or ()]
            text = "[OK] every section has the digest it should have" if answer.get("ok") else "\n".join(
                problems or ["[!!] not intact"]
            )  # fmt: skip
        self.query_one(".verdict", Static).update(Text(text))


def table(found: Sequence[Fact], width: int = 72) -> Text:
    """Facts in two columns of together `width` cells; a name without a value is a heading."""
    left = max((len(name) for name, value in found if value), default=0)
    text = Text()
    for name, value in found:
        if not value:
            text.append(f"\n{name}\n" if text else f"{name}\n", "bold")
            continue
        first, *rest = _wrap(value, max(16, width - left - 2))
        text.append(f"{name:<{left}}  ")
        text.append(first + "\n")
        for line in rest:
            text.append(" " * (left + 2) + line + "\n")
    text.rstrip()
    return text


def _wrap(value: str, width: int) -> list[str]:
    lines: list[str] = []
    for paragraph in value.split("\n"):
        lines += textwrap.wrap(paragraph, width, drop_whitespace=False, replace_whitespace=False) or [""]
    return lines


def facts(value: Mapping[str, Any], *, skip: Sequence[str] = ()) -> list[Fact]:
    """Any plain data as facts: times, sizes and digests by the names that they have."""
    return [fact for key, item in value.items() if key not in skip for fact in _fact(str(key), item, 0)]


def _fact(name: str, value: Any, depth: int) -> Iterator[Fact]:
    label = _label(name)
    if isinstance(value, Mapping) and depth < _DEEPEST:
        yield label, ""
        for key, item in value.items():
            yield from _fact(f"  {key}", item, depth + 1)
    elif isinstance(value, (list, tuple)) and value and all(isinstance(item, Mapping) for item in value):
        yield label, ""
        for item in value:
            yield "  " + shown(item.get("name", item.get("id", "-")), 30), _inline(item)
    else:
        yield label, _one(name.strip(), value)


def _label(name: str) -> str:
    """`size_bytes` is called size, `time_ns` time: the value says the unit."""
    indent = len(name) - len(name.lstrip())
    bare = name.strip()
    for suffix in ("_bytes", "_ns", "_ms"):
        bare = bare.removesuffix(suffix)
    return " " * indent + shown(bare.replace("_", " "), 40)


def _inline(row: Mapping[str, Any]) -> str:
    parts = [f"{_label(str(key))} {_brief(str(key), item)}" for key, item in row.items() if key not in ("name", "id")]
    return shown("   ".join(parts), 400) or "-"


def _brief(name: str, value: Any) -> str:
    if name.endswith("bytes") and isinstance(value, int):
        return size(value)
    text = _one(name, value)
    return text[:12] if name in ("digest", "sha256") else text


def _one(name: str, value: Any) -> str:
    if value is None or value == "" or value == [] or (name == "pid" and not value):  # no process has 0
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, int):
        if name.endswith("_ns") and value > 10**15:
            return stamp(value)
        if name.endswith("bytes"):
            return f"{size(value)} ({count(value)} bytes)"
        return count(value) if abs(value) >= 10_000 and name not in ("pid",) else str(value)
    if isinstance(value, float):
        return milliseconds(value) if name.endswith("_ms") else f"{value:g}"
    if isinstance(value, (list, tuple)):
        return block(", ".join(str(item) for item in value), _LONGEST_VALUE)
    return block(value, _LONGEST_VALUE)
