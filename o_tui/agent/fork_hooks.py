"""What Python does in a new child before its first line, made small for fork servers.

A fork copies each page that is written, for some microseconds. `threading` looks through all threads, and `random`
draws a seed by way of Python code: together 160 of the 225 pages that a child writes which ends at once.
"""

from __future__ import annotations

import _random
import functools
import gc
import os
import random
import threading

_SEED = functools.partial(_random.Random.seed, random._inst)


def lighten() -> None:
    """Forks of this process, from here on, leave out what only threads need, and take fresh chance by C alone.

    For a process that has one thread and starts none: after a fork that one has the same identity, and no lock is held
    by another. Who has more threads keeps the hooks as they are. Call it when all is imported, before `gc.freeze`.
    """
    if threading.active_count() != 1:
        return
    hook = threading._after_fork  # type: ignore[attr-defined]
    for hooks in gc.get_referrers(hook):  # nothing else names the interpreter's list of them
        if type(hooks) is list and hook in hooks and random.seed in hooks:
            hooks[:] = [each for each in hooks if each not in (hook, random.seed)]
            os.register_at_fork(after_in_child=_SEED)
