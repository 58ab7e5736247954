"""Modules with bugs and with rewrites, for the prober: our own (tests/data/bugs), and the corpus where it is there."""

from __future__ import annotations

import ast
import copy
import os
import random
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
OURS = ROOT / "tests" / "data" / "bugs"
UNSEEN = OURS / "unseen"
"""Written before the prober was looked at, and not used to tune it."""
FRESH = OURS / "fresh"
"""Written later, of other kinds, before it was known how the prober does on it: 48 of 55 were found then."""
FOLDERS = (OURS, UNSEEN, FRESH)


@dataclass(frozen=True)
class Change:
    """One changed module beside the good one."""

    name: str
    reference: str
    candidate: str


def ours(kind: str, folder: Path = OURS) -> list[Change]:
    """The changes of a kind (bug, rewrite) from a folder's CHANGES.toml."""
    found = []
    for row in tomllib.loads((folder / "CHANGES.toml").read_text("utf-8"))[kind]:
        reference = (folder / f"{row['module']}.py").read_text("utf-8")
        assert reference.count(row["old"]) == 1, row
        candidate = reference.replace(row["old"], row["new"])
        if "also_old" in row:
            candidate = candidate.replace(row["also_old"], row["also_new"])
        found.append(Change(f"{row['module']}: {row.get('name', row['new'].strip()[:40])}", reference, candidate))
    return found


def corpus() -> list[Change]:
    """The seeded bugs that others wrote; empty where they are not there (O_TUI_CORPUS names their folder)."""
    folder = Path(os.environ.get("O_TUI_CORPUS", ROOT.parent / "shared" / "corpus")) / "bugs"
    return [
        Change(bug.stem, (folder / f"{bug.stem.partition('_')[0]}_ok.py").read_text("utf-8"), bug.read_text("utf-8"))
        for bug in sorted(folder.glob("*_bug_*.py"))
    ]


_SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


def mutants(count: int, seed: int = 1, folder: Path = OURS) -> list[Change]:
    """Automatic mutants of a folder's modules: an operator exchanged, a number moved by one, a statement left out."""
    every = []
    for file in sorted(folder.glob("*.py")):
        reference = file.read_text("utf-8")
        every += [Change(f"{file.stem}: {what}", reference, made) for what, made in _mutants(reference)]
    return random.Random(seed).sample(every, min(count, len(every)))


def _mutants(source: str) -> Iterator[tuple[str, str]]:
    tree = ast.parse(source)
    for number, node in enumerate(ast.walk(tree)):
        if not _can_change(node):
            continue
        changed = copy.deepcopy(tree)
        _change(list(ast.walk(changed))[number])
        yield f"line {getattr(node, 'lineno', 0)}", ast.unparse(ast.fix_missing_locations(changed))


def _can_change(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare):
        return type(node.ops[0]) in _SWAPPED
    if isinstance(node, (ast.BinOp, ast.BoolOp, ast.AugAssign)):
        return type(node.op) in _SWAPPED
    if isinstance(node, ast.Constant):
        return type(node.value) is int
    return isinstance(node, (ast.For, ast.While, ast.If, ast.With)) and len(node.body) > 1


def _change(node: ast.AST) -> None:
    if isinstance(node, ast.Compare):
        node.ops[0] = _SWAPPED[type(node.ops[0])]()  # type: ignore[call-overload]
    elif isinstance(node, (ast.BinOp, ast.BoolOp, ast.AugAssign)):
        node.op = _SWAPPED[type(node.op)]()  # type: ignore[assignment]
    elif isinstance(node, ast.Constant):
        node.value += 1  # type: ignore[operator]
    elif isinstance(node, (ast.For, ast.While, ast.If, ast.With)):
        del node.body[0]
