"""The table of imports in docs/ARCHITECTURE.md is true; `python -m tests.unit.test_architecture_document` writes it."""

from __future__ import annotations

import re
from pathlib import Path

import grimp

DOCUMENT = Path(__file__).parents[2] / "docs" / "ARCHITECTURE.md"
_PART = re.compile(r"(?<=<!-- imports -->\n).*?(?=<!-- /imports -->)", re.DOTALL)


def table() -> str:
    """One line for each package or module of the top level: what of ours it imports."""
    graph = grimp.build_graph("o_tui")
    found: dict[str, set[str]] = {}
    for module in graph.modules:
        parts = module.split(".")
        if len(parts) < 2 or parts[1] == "data":
            continue
        imported = {name.split(".")[1] for name in graph.find_modules_directly_imported_by(module) if "." in name}
        found.setdefault(parts[1], set()).update(imported - {parts[1]})
    lines = ["| package | imports |", "|---|---|"]
    lines += [
        f"| `{name}` | {', '.join(f'`{other}`' for other in sorted(found[name])) or 'nothing of ours'} |"
        for name in sorted(found)
    ]
    return "\n".join(lines) + "\n"


def test_the_table_of_imports_is_true() -> None:
    part = _PART.search(DOCUMENT.read_text("utf-8"))
    assert part is not None
    assert part[0] == table(), "python -m tests.unit.test_architecture_document writes it anew"


if __name__ == "__main__":
    DOCUMENT.write_text(_PART.sub(lambda _found: table(), DOCUMENT.read_text("utf-8")), "utf-8")
