"""One view on one terminal, from the first question to the last byte: descriptors, signals, profile, fatal errors."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import textual.screen

from o_tui.config import Config
from o_tui.paths import Paths
from o_tui.protocol.errors import UsageError
from o_tui.ui import boundary
from o_tui.ui.app import OApp
from o_tui.ui.screens import fatal
from o_tui.ui.terminal import background
from o_tui.ui.terminal.driver import SafeDriver, on_signals
from o_tui.ui.text import safe

REMOTE_FPS = 12
LOCAL_FPS = 120
"""A key waits for the next frame: at Textual's 60 that alone is up to 17 ms. Without a change there is no frame."""
LOG_LIMIT_BYTES = 8 * 1024 * 1024


def is_remote(config: Config, environment: Mapping[str, str]) -> bool:
    """The profile remote: by the settings, or because this is an SSH session."""
    if config.screen.profile != "auto":
        return config.screen.profile == "remote"
    return bool(environment.get("SSH_CONNECTION") or environment.get("SSH_TTY"))


def show(
    paths: Paths, config: Config, *, embedded: bool = False, start_guardian: Callable[[], object] | None = None
) -> int:
    """Shows a view until it ends; returns the exit code.

    Raises:
        UsageError: There is no terminal.
    """
    if not (os.isatty(0) and (os.isatty(1) or os.isatty(2))):
        raise UsageError("the screen needs a terminal", hint="without one: o-tui serve, o-tui say TEXT, o-tui status")
    remote = is_remote(config, os.environ)
    terminal = os.dup(1 if os.isatty(1) else 2)
    dark = background.is_dark(0, terminal, remote=remote) if config.screen.theme == "auto" else True
    SafeDriver.output_fd = terminal
    textual.screen.UPDATE_PERIOD = 1 / (REMOTE_FPS if remote else LOCAL_FPS)  # type: ignore[misc]
    if remote:
        SafeDriver.mouse_mode = "1002"
    with errors_to_log(paths):
        app = OApp(
            paths,
            config,
            embedded=embedded,
            start_guardian=start_guardian,
            remote=remote,
            dark=dark,
            plain=is_plain(os.environ),
            driver_class=SafeDriver,
        )
        result = asyncio.run(_run(app))
    os.close(terminal)
    if app.failure is not None:
        sys.stderr.write(safe(fatal.message(app.failure, paths.log)))
        return 1
    return result if result is not None else app.return_code or 0


def is_plain(environment: Mapping[str, str]) -> bool:
    """Whether the terminal draws ASCII only: the locale names an encoding without UTF-8, or it is Linux's own console,
    whose fonts lack arrows, marks and eighths of blocks. Where no locale is set nothing is known.
    """
    names = (environment.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    locale = next((name for name in names if name), "utf-8")
    return "utf" not in locale.lower() or environment.get("TERM") == "linux"


async def _run(app: OApp) -> int | None:
    on_signals(app)
    return await app.run_async()


class _HarmlessFormatter(logging.Formatter):
    """A log is read with `cat` and `tail`: what it quotes must not act there."""

    def format(self, record: logging.LogRecord) -> str:
        return safe(super().format(record))


@contextmanager
def errors_to_log(paths: Paths) -> Iterator[None]:
    """Descriptor 2 is the log while a view runs: native code that writes there would corrupt the screen."""
    sys.stderr.flush()
    saved = os.dup(2)
    log = os.open(paths.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    if os.fstat(log).st_size > LOG_LIMIT_BYTES:
        os.ftruncate(log, 0)
    handler = logging.StreamHandler(os.fdopen(os.dup(log), "a", encoding="utf-8", errors="replace"))
    handler.setFormatter(_HarmlessFormatter("%(asctime)s view %(levelname)s %(message)s"))
    boundary.log.addHandler(handler)
    boundary.log.propagate = False
    os.dup2(log, 2)
    os.close(log)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        boundary.log.removeHandler(handler)
        handler.stream.close()
