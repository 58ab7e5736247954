"""The broker's process: `python -X utf8 -m o_tui.broker.main <fd> <data_dir>`, started by the guardian."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import sys
from pathlib import Path

from o_tui import _native
from o_tui.broker.keys import Keys
from o_tui.broker.redact import RedactingFormatter, Redactor
from o_tui.broker.service import Broker
from o_tui.paths import Paths, locate
from o_tui.protocol.safe_text import safe

USAGE = "usage: python -X utf8 -m o_tui.broker.main <fd> <data_dir>"
_log = logging.getLogger("o_tui.broker")


def find_paths(data_dir: str) -> Paths:
    """The workspace that the guardian has: one in the usual place keeps its settings elsewhere than a chosen one."""
    os.environ.pop("O_TUI_DATA_DIR", None)  # the guardian names it there too, chosen or not
    usual = locate()
    return usual if usual.data == Path(data_dir).absolute() else locate(data_dir)


def main(arguments: list[str]) -> int:
    """Runs the broker; returns the exit code: 0 told to stop, 1 the guardian broke the protocol, 2 wrong usage."""
    if len(arguments) != 2 or not arguments[0].isdigit():
        print(safe(USAGE), file=sys.stderr)
        return 2
    parent = os.getppid()
    _harden()
    if os.getppid() != parent:
        return 0  # the guardian died before the kernel was told to tell us
    redactor = Redactor()
    _log_without_keys(redactor)
    keys = Keys(os.environ, find_paths(arguments[1]).keys_file, redactor)
    return asyncio.run(_run(int(arguments[0]), keys, redactor))


async def _run(descriptor: int, keys: Keys, redactor: Redactor) -> int:
    broker = Broker(keys, redactor)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, broker.stop)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl+C at the terminal is the guardian's affair
    code = await broker.run(descriptor)
    if (error := broker.broken()) is not None:
        _log.error("%s", error)
    return code


def _harden() -> None:
    """Dies with the guardian; leaves no core file, which would hold the keys."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _native.set_parent_death_signal(signal.SIGKILL)


def _log_without_keys(redactor: Redactor) -> None:
    """All logging goes to stderr, redacted; set before any library sets up its own."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter(redactor))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("OPENAI_LOG", "ANTHROPIC_LOG"):
        os.environ.pop(name, None)  # would make the libraries log whole requests
    sys.excepthook = lambda kind, error, trace: _log.critical("the broker ends", exc_info=(kind, error, trace))


if __name__ == "__main__":
    code = main(sys.argv[1:])
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)  # without waiting for a thread that still imports a library
