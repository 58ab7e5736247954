"""The seam where an instance gives up what it does not need, before it reads a byte of a genome.

Here: the cheap parts that hold everywhere. Landlock, seccomp and namespaces come to this place with the sandbox; until
then the tier says honestly that there is none.
"""

from __future__ import annotations

import resource
from typing import Literal

from o_tui import _native

Tier = Literal["A", "B", "C", "X"]
"""A: namespaces and base, B: base (Landlock and seccomp), C: without Landlock, X: none of it."""
Profile = Literal["agent"]

_LIMITS = {
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_NOFILE: 64,
}


def confine(profile: Profile) -> Tier:
    """Confines this process for good; returns the tier that it is under now.

    Raises:
        OSError: The kernel refused; the process must not go on to a genome.
    """
    for limit, value in _LIMITS.items():
        resource.setrlimit(limit, (value, value))
    _native.set_no_new_privs_not_dumpable()
    return "X"
