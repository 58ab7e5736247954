"""Textual's Linux driver, made safe: output that never blocks, an input that ends, modes that are always reset."""

from __future__ import annotations

import asyncio
import os
import re
import select
import signal
from codecs import getincrementaldecoder
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from textual._parser import ParseError
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

from o_tui.ui.terminal.paste import PasteGuard
from o_tui.ui.terminal.writer import TerminalWriter, open_again

if TYPE_CHECKING:
    from textual.app import App

RESET = (
    "\x1b[?2026l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?1016l"
    "\x1b[?2004l\x1b[?1004l\x1b[?2048l\x1b[?7h\x1b[?25h\x1b[0m"
)
"""Ends every mode that a view may have begun; harmless for those that it has not."""
_LATE_ANSWERS = re.compile(r"\x1b\](?:10|11);[^\x07\x1b]{0,64}(?:\x07|\x1b\\)|\x1b\[\?[0-9;]{0,64}c")
_ALT_KEYS = re.compile(r"\x1b([\r0-9])")
_ESCAPE_AND_SIGN = re.compile(r"(?<!\x1b)\x1b([/?@!+=-])")
_INTRODUCERS = frozenset("[O]PX^_\\\x1b")
"""With these behind Escape a sequence of a terminal begins, or ends."""
HUNG_UP = 128 + signal.SIGHUP


class SafeDriver(LinuxDriver):
    """The driver of a view on a real terminal."""

    output_fd: ClassVar[int] = 2
    """The terminal; set by the session, which has given descriptor 2 to the log."""
    mouse_mode: ClassVar[str] = "1003"
    """1003: every movement; 1002: only with a button down (profile remote)."""

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._output: TerminalWriter | None = None
        self._keep = False
        self._ended = False

    # --- output

    @property  # type: ignore[override]
    def _writer_thread(self) -> TerminalWriter | None:
        return self._output

    @_writer_thread.setter
    def _writer_thread(self, thread: object) -> None:
        # LinuxDriver makes a writer with a queue of 30 that blocks the loop; it is never started, ours takes its place
        if thread is not None:
            fd, _own = open_again(type(self).output_fd)
            self._output = TerminalWriter(fd, drained=self._on_drained, gone=self._on_gone)

    @property
    def busy(self) -> bool:
        """The terminal does not keep up: frames are not worth making."""
        return self._output is not None and self._output.busy

    def skipped(self) -> None:
        """A frame was not made."""
        if self._output is not None:
            self._output.skipped()

    def write(self, data: str) -> None:
        """Queues data for the terminal."""
        if self._output is not None:
            self._output.write(data, keep=self._keep)

    @contextmanager
    def _kept(self) -> Iterator[None]:
        self._keep = True
        try:
            yield
        finally:
            self._keep = False

    def _on_drained(self) -> None:
        self._call(self._app.repaint_all)  # type: ignore[attr-defined]

    def _on_gone(self) -> None:
        if not self._ended:
            self._ended = True
            self._call(self._app.exit, HUNG_UP)

    def _call(self, function: Any, *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            return  # the loop has ended: so has the view

    # --- modes

    def start_application_mode(self) -> None:
        """Takes the terminal over."""
        with self._kept():
            super().start_application_mode()  # type: ignore[no-untyped-call]

    def stop_application_mode(self) -> None:
        """Gives the terminal back as it was: modes are reset on both of its screens."""
        with self._kept():
            self.write(RESET)
            super().stop_application_mode()
            self.write(RESET)

    def _enable_mouse_support(self) -> None:
        if self._mouse:
            self.write(f"\x1b[?1000h\x1b[?{self.mouse_mode}h\x1b[?1006h")

    # --- input

    def _run_input_thread(self) -> None:
        try:
            self.run_input_thread()
        except Exception as error:  # noqa: BLE001 a thread's border: Textual would print the values of variables
            self._call(self._app._handle_exception, error)

    def run_input_thread(self) -> None:
        """Reads keys until the view ends, or the terminal does."""
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")("replace").decode
        pastes, escape = PasteGuard(), LoneEscape()
        while not self.exit_event.is_set():
            ready, _, _ = select.select([self.fileno], [], [], 0.1)
            for event in parser.tick():
                escape.is_open = False
                self.process_message(event)
            if ready:
                try:
                    data = os.read(self.fileno, 4096)
                except OSError:
                    data = b""
                if not data:
                    self._on_gone()
                    return
                for pasted, part in pastes.feed(decode(data)):
                    text = part if pasted else escape.ended(part) + translate(part)
                    for event in parser.feed(text) if text else ():
                        self.process_message(event)
        try:
            for _event in parser.feed(""):
                continue
        except (EOFError, ParseError):
            return


class LoneEscape:
    """Esc and a key soon after it, which come one by one, are two keys: typed `£`, or nothing, nobody has meant.

    Attributes:
        is_open: The parser has an Escape that may yet be the beginning of a sequence.
    """

    def __init__(self) -> None:
        self.is_open = False

    def ended(self, text: str) -> str:
        """What has to go before `text` to the parser: the rest of Escape as kitty would have sent it, or nothing."""
        if not text:
            return ""
        was_open, self.is_open = self.is_open, text.endswith("\x1b")
        return "[27u" if was_open and text[0] not in _INTRODUCERS else ""


def translate(text: str) -> str:
    """What Textual's parser would get wrong: late answers of the terminal are no keys, Alt+Enter and Alt+digit are,
    and Esc with a sign right behind it (over a slow line both come at once) is two keys, not `^` and the sign.

    A terminal without the kitty protocol writes Alt as ESC and the key; the parser makes Enter of the one and other
    characters of the rest, so they are rewritten as kitty would have sent them.
    """
    text = _ESCAPE_AND_SIGN.sub("\x1b[27u\\1", _LATE_ANSWERS.sub("", text))
    return _ALT_KEYS.sub(lambda found: f"\x1b[{ord(found[1])};3u", text)


def on_signals(app: App[Any]) -> None:
    """SIGTERM and SIGHUP end the view in order: the terminal gets its modes back, the guardian stays."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, app.exit, 128 + number)
