"""The screen, `serve`, `attach`, `stop`."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

from o_tui.cli.command import Command, Context
from o_tui.protocol.errors import UnreachableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from o_tui.config import Config
    from o_tui.guardian.core import Guardian
    from o_tui.paths import Paths


def _screen(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--embedded", action="store_true", help="the guardian lives in this process, and ends with it")


def _attach(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="ssh://[USER@]HOST[:PORT]", nargs="?", default="", help="another machine")


def need_terminal(what: str) -> None:
    """Raises UsageError where there is no terminal."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(f"{what} needs a terminal", hint="for scripts: o-tui say, o-tui status, o-tui --help")


def show(
    paths: Paths, settings: Config, start_guardian: Callable[[], object] | None = None, *, embedded: bool = False
) -> int:
    """The view of a workspace, until it is left: the commands' one door to the screen."""
    gc.disable()  # until the first frame is out: what the imports make stays
    try:
        from o_tui.ui.app import run

        return run(paths, settings, embedded=embedded, start_guardian=start_guardian)
    finally:
        gc.enable()


def screen(context: Context) -> int:
    """The screen, with a guardian of its own if none runs."""
    need_terminal("the screen")
    from o_tui import config

    settings = config.load(context.paths.config_file)
    context.paths.prepare()
    if not context.args.embedded:
        return show(context.paths, settings, lambda: _ensure_guardian(context.paths))
    from o_tui.guardian.embedded import Embedded

    guardian = Embedded(context.paths, settings)
    try:
        return show(context.paths, settings, guardian.start, embedded=True)
    finally:
        guardian.stop()


def _ensure_guardian(paths: Paths) -> None:
    from o_tui.client import ensure_guardian

    # somebody else may start one at the same moment: theirs is as good, so not start_guardian alone
    ensure_guardian(paths, keep=True).close()


def attach(context: Context) -> int:
    """The screen of a guardian that runs."""
    if context.args.target:
        command = ssh_command(context.args.target)
        need_terminal("attach")
        _attach_over_ssh(command)
    from o_tui.client import running

    client = running(context.paths)
    if client is None:
        raise UnreachableError("no guardian runs for this workspace", hint="start one with `o-tui`, or `o-tui serve`")
    client.close()
    need_terminal("attach")
    from o_tui import config

    return show(context.paths, config.load(context.paths.config_file))


def ssh_command(target: str) -> list[str]:
    """The command that shows the screen of another machine.

    Raises:
        UsageError: The target is not ssh://[user@]host[:port].
    """
    try:
        parts = urlsplit(target)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{target}: {error}", hint="ssh://user@host:22") from error
    user = parts.username or ""
    more = parts.path not in ("", "/") or parts.query or parts.fragment or parts.password
    # what begins with a dash would be an option of ssh, not a name
    if parts.scheme != "ssh" or not host or host.startswith("-") or user.startswith("-") or more:
        raise UsageError(f"{target!r} is not a place to attach to", hint="ssh://user@host:22")
    where = f"{user}@{host}" if user else host
    return ["ssh", "-t", *(["-p", str(port)] if port else []), "--", where, "o-tui", "attach"]


def _attach_over_ssh(command: list[str]) -> NoReturn:
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise UnreachableError(f"ssh could not be started: {error.strerror}", hint="install an SSH client") from error


def stop(context: Context) -> int:
    """Ends the guardian, if one runs."""
    from o_tui.client import running, stop_guardian

    client = running(context.paths)
    pid = client.welcome.pid if client is not None else 0
    if client is not None and not stop_guardian(client):
        raise UnreachableError(f"the guardian (pid {pid}) does not end", hint=f"kill {pid}")
    if context.out.json:
        context.out.value({"stopped": client is not None, "pid": pid})
    elif client is not None:
        context.out.line(f"stopped the guardian, pid {pid}")
    else:
        context.out.note("no guardian runs for this workspace")
    return 0


def serve(context: Context) -> int:
    """The guardian in this process, until SIGTERM or SIGINT."""
    import asyncio

    from o_tui import config

    settings = config.load(context.paths.config_file)
    return asyncio.run(_serve(context, settings))


async def _serve(context: Context, settings: object) -> int:
    import asyncio
    import signal

    from o_tui.config import Config
    from o_tui.guardian import service
    from o_tui.guardian.main import run

    assert isinstance(settings, Config)
    loop = asyncio.get_running_loop()
    interrupted: list[int] = []
    alive: list[asyncio.Task[None]] = []
    early = asyncio.current_task()
    assert early is not None

    def ready(guardian: Guardian) -> None:
        def end(number: signal.Signals) -> None:
            interrupted.append(number)
            service.notify("STOPPING=1")
            guardian.request_stop(f"{number.name} came")

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, end, number)
        service.notify(f"READY=1\nMAINPID={os.getpid()}")
        # not before: a start that takes long would fill the socket with signs of life, and READY would be lost
        alive.append(asyncio.create_task(service.keep_alive()))
        if context.out.json:
            context.out.value({"pid": os.getpid(), "socket": str(context.paths.socket)})
        else:
            context.out.line(f"the guardian serves {context.paths.data}, pid {os.getpid()}; Ctrl+C ends it")

    try:
        # a SIGTERM before it is ready stops the start, and what was started is ended in order
        loop.add_signal_handler(signal.SIGTERM, early.cancel)
        await run(context.paths, settings, "process", ready)
    except asyncio.CancelledError:
        interrupted.append(signal.SIGTERM)
    finally:
        service.notify("STOPPING=1")
        for watchdog in alive:
            watchdog.cancel()
    return 130 if signal.SIGINT in interrupted else 0


SCREEN = Command(
    "",
    "The screen: talk with the agent, see what the guardian does, decide on changes.",
    screen,
    _screen,
    examples=(("", "start the screen, and a guardian if none runs"), ("--embedded", "everything in one process")),
    codes=(2, 4, 5, 75),
    keeps=False,
)

COMMANDS = (
    Command(
        "serve",
        "Run the guardian in the foreground, without a screen.",
        serve,
        examples=(("serve", "until Ctrl+C"), ("serve --json --data-dir /srv/o", "under systemd (Type=notify)")),
        codes=(1, 4, 69, 75),
        keys=("pid", "socket"),
        keeps=False,
        notes="Speaks sd_notify (READY, WATCHDOG, STOPPING) where NOTIFY_SOCKET is set. SIGTERM and SIGINT end it.",
    ),
    Command(
        "attach",
        "Show the screen of a guardian that runs.",
        attach,
        _attach,
        examples=(("attach", "on this machine"), ("attach ssh://me@server", "on another one, over ssh")),
        codes=(5,),
        keeps=False,
    ),
    Command(
        "stop",
        "End the guardian; nothing that was acknowledged is lost.",
        stop,
        examples=(("stop", "done too if none runs"),),
        codes=(5,),
        keys=("stopped", "pid"),
        keeps=False,
    ),
)
