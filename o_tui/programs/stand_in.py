"""The module that an evaluator finds at `program_path`: it hands everything on to the program's own process.

The program is there already, confined, at the other end of one descriptor. In a process that the evaluator starts
(`[sys.executable, program_path]`) the descriptor is open too, so that the same few lines serve there.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

from o_tui.programs.calls import LOAD, MODULE, RUN, Peer

CHANNEL_FD = 200
"""Where an evaluator's process has its end of the program's channel."""
_PACKAGE = str(Path(__file__).parents[1])
TEXT = f'''\
"""The program runs in a process of its own; this module stands for it."""

import importlib.util as _util
import sys as _sys

if "o_tui" not in _sys.modules:  # in a process that the evaluator has started
    _spec = _util.spec_from_file_location("o_tui", {_PACKAGE + "/__init__.py"!r}, submodule_search_locations=[
        {_PACKAGE!r}
    ])
    _sys.modules["o_tui"] = _util.module_from_spec(_spec)
    _spec.loader.exec_module(_sys.modules["o_tui"])

from o_tui.programs import stand_in as _stand_in

_program = _stand_in.program(__file__)
if __name__ == "__main__":
    _stand_in.run(_program)


def __getattr__(name):
    return _stand_in.attribute(_program, name)


def __dir__():
    return _program.ask("names", 0)
'''
_programs: dict[str, Peer] = {}


def program(path: str) -> Peer:
    """The channel to the program at a path. Raises what the program raises when it is loaded."""
    peer = _programs.get(path)
    if peer is None:
        peer = _programs[path] = Peer(socket.socket(fileno=os.dup(CHANNEL_FD)), opened=False)
    peer.ask("call", LOAD)
    return peer


def forget() -> None:
    """An evaluation is over: a program at the same path is another one."""
    _programs.clear()


def attribute(peer: Peer, name: str) -> Any:
    """A name of the program's module."""
    if name.startswith("__"):
        raise AttributeError(f"the program has no attribute {name!r}")
    return peer.ask("get", MODULE, name)


def run(peer: Peer) -> None:
    """The program as a script, with this process's arguments and standard input; ends this process."""
    text = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
    status, out, err = peer.ask("call", RUN, sys.argv[1:], text)
    sys.stdout.write(out)
    sys.stderr.write(err)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
