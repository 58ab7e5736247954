"""How a model is asked for a gene, and how whole functions or modules are found in what it says (blocks: answers.py).

Small models give an applicable whole function nearly always, and search/replace blocks hardly ever: functions are
asked for, blocks are allowed. What is to be done comes last: small models forget what stands before a long module.

An answer is hostile until it was read: every pattern takes time in proportion to its length (hence `*+`, which gives
nothing back).
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence

from o_tui.protocol import contracts

_THINKING = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL)
_FENCE = re.compile(
    r"^[ \t]*+(`{3,}+|~{3,}+)[ \t]*+([\w+-]*+)[^\n]*+\n(.*?)(?:^[ \t]*+\1[ \t]*+$|\Z)", re.DOTALL | re.MULTILINE
)
_CODE_LINE = re.compile(r'(?m)^(?:from |import |def |class |@|async def |"""|[A-Za-z_]\w* *(?::[^\n]*)?= *\S)')
_DEFINITION = re.compile(r"(?m)^(?:async )?def (\w+)")
_NAME = re.compile(r"[A-Za-z_]\w*")
_TOP = re.compile(r"(?m)^(?:async def |def |class )?([A-Za-z_]\w*)(?:\(| *[=:])")
_IMPORTED = re.compile(r"(?m)^from \S+ import (\([^()]*+\)|[^\n]*+)$")
_CONSTANT = re.compile(r"(?m)^([A-Z_][A-Z0-9_]*+)(?: *+:[^\n=]*+)? *+= *+[\w.\"'+-]++ *+$")
_IMPORT = re.compile(r"(?m)^(?:from|import) ")
_CHANGE = (
    "Write every function that has to change, whole, from its def to its end, as it must be; keep its name and "
    "parameters. Leave out the functions that stay as they are. Other lines may be changed by blocks instead: a line "
    "<<<<<<< SEARCH, lines exactly as they stand in the module, a line =======, the new lines, a line >>>>>>> REPLACE."
)
_FAILURES = 5
_FAILURE_CHARS = 600


def ask(gene: str, source: str, goal: str, failures: Sequence[str] = ()) -> list[dict[str, str]]:
    """The messages that ask for a better version of a gene.

    Args:
        gene: Its name.
        source: Its module as it is; empty for a tool that is to be written.
        goal: What the operator wants.
        failures: What was wrong with earlier tries, oldest first.
    """
    system = (
        "You are a careful Python programmer and change one module of an agent. Answer with Python code in one "
        "```python block and nothing else. Keep what works; change only what the goal needs."
    )
    parts = [f"The module {contracts.path_of(gene)}:\n```python\n{source.rstrip()}\n```"] if source else []
    parts.append(f"Rules:\n{rules(gene)}")
    if failures:
        tries = "\n".join(f"- {text[:_FAILURE_CHARS]}" for text in failures[-_FAILURES:])
        parts.append(f"Earlier tries failed:\n{tries}\nDo not repeat these.")
    how = _CHANGE if source else "Write the whole module."
    parts.append(f"Goal: {goal.strip()}\n{how}")
    return [{"role": "system", "content": system}, {"role": "user", "content": "\n\n".join(parts)}]


def rules(gene: str) -> str:
    """A gene's contract in words."""
    lines = [
        f"- define {contract.name}({', '.join(contract.parameters)})"
        + (", a generator that yields steps" if contract.generator else ", which returns its result")
        for contract in contracts.CONTRACTS.get(gene, ())
    ] or [f"- at least one function with type hints and a docstring, decorated with @tool of {contracts.DSL_MODULE}"]
    allowed = ", ".join(sorted(contracts.ALLOWED_IMPORTS))
    return "\n".join(
        [
            *lines,
            f"- import nothing but {contracts.DSL_MODULE}, the genome's own modules and: {allowed}",
            "- no async functions, no files, no network, no eval, no clock: everything comes in as an argument",
        ]
    )


def without_thoughts(answer: str) -> str:
    """An answer without what a model thought aloud before it."""
    return _THINKING.sub("", answer)


def extract(answer: str, gene: str, source: str = "") -> str:
    """The module in a model's answer; "" where there is no code in it.

    Where the answer is a part of the module (no imports, though the module has some; or it uses what only the module
    defines), its functions take the place of those of the same name in `source`, its one-line constants too.
    """
    text = without_thoughts(answer).replace("\r\n", "\n")
    code = _best_block(text, gene)
    if not code.strip():
        return ""
    code = code.strip("\n") + "\n"
    return joined(source, code) if source else code


def joined(source: str, code: str) -> str:
    """A module with a part of it put in: its functions and one-line constants; the code itself where it is whole."""
    return splice(_constants(source, code), code) if _DEFINITION.search(code) and _is_part(code, source) else code


def _is_part(code: str, source: str) -> bool:
    if _IMPORT.search(source) and not _IMPORT.search(code):
        return True
    missing = _names(source) - _names(code)
    return not missing.isdisjoint(_NAME.findall(code))


def _names(module: str) -> set[str]:
    """What a module defines or imports at its top level, as far as single lines tell."""
    imported = (name for match in _IMPORTED.finditer(module) for name in _NAME.findall(match[1]))
    return {*(match[1] for match in _TOP.finditer(module)), *imported}.difference(keyword.kwlist)


def _constants(source: str, code: str) -> str:
    """The module with the one-line constants that a part of it has anew."""
    known = _names(source)
    given = {match[1]: match[0] for match in _CONSTANT.finditer(code) if match[1] in known}
    for name, line in given.items():
        source = re.sub(rf"(?m)^{name}\b[^\n(=]*=[^\n]*$", lambda _, line=line: line, source, count=1)  # type: ignore[misc]
    return source


def splice(source: str, functions: str) -> str:
    """A module in which functions are replaced by others of the same name; new ones are added at the end."""
    pieces, added = dict(pieces_of(source)), []
    for name, text in dict(pieces_of(functions)).items():
        if name in pieces:
            source = source.replace(pieces[name].rstrip("\n"), text.rstrip("\n"), 1)
        else:
            added.append(text.rstrip("\n"))
    return "\n\n\n".join([source.rstrip("\n"), *added]) + "\n" if added else source


def _best_block(text: str, gene: str) -> str:
    blocks = [(match[2].lower(), match[3]) for match in _FENCE.finditer(text)]
    wanted = {contract.name for contract in contracts.CONTRACTS.get(gene, ())}
    if blocks:
        return max(
            blocks,
            key=lambda block: (
                len(wanted & set(_DEFINITION.findall(block[1]))),
                block[0] in ("python", "py", "python3"),
                len(block[1]),
            ),
        )[1]
    start = _CODE_LINE.search(text)
    return text[start.start() :] if start and _DEFINITION.search(text) else ""


def pieces_of(source: str) -> list[tuple[str, str]]:
    """The functions at the top level by name, each with its decorators, up to the next line that is not indented."""
    lines = source.split("\n")
    found: list[tuple[str, str]] = []
    for at, line in enumerate(lines):
        match = _DEFINITION.match(line)
        if not match:
            continue
        start = at
        while start and lines[start - 1].startswith("@"):
            start -= 1
        end = at + 1
        while end < len(lines) and (not lines[end].strip() or lines[end][0] in " \t)"):
            end += 1
        found.append((match[1], "\n".join(lines[start:end])))
    return found
