"""What the kernel stands on, and all that a gene may import, imported before the kernel, for a process that forks.

The kernel's own objects lie together then, and a fork that runs it copies fewer pages.
"""

from __future__ import annotations

import importlib

from o_tui import _native
from o_tui.protocol import contracts

_OTHERS = ("inspect", "mmap", "msgspec", "pathlib", "platform", "resource", "socket", "sqlite3", "traceback", "uuid")

for _name in (*sorted(contracts.ALLOWED_IMPORTS), *_OTHERS):
    importlib.import_module(_name)
_native.fill_holes()
