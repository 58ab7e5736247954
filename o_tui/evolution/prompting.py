"""How a model is asked for a gene, and how whole functions or modules are found in what it says (blocks: answers.py).

Small models give an applicable whole function nearly always, and search/replace blocks hardly ever: both are offered.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from o_tui.protocol import contracts

_THINKING = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL)
_FENCE = re.compile(
    r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+-]*)[^\n]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.DOTALL | re.MULTILINE
)
_CODE_LINE = re.compile(r'(?m)^(?:from |import |def |class |@|async def |"""|[A-Za-z_]\w* *(?::[^\n]*)?= *\S)')
_DEFINITION = re.compile(r"(?m)^(?:async )?def (\w+)")
_IMPORT = re.compile(r"(?m)^(?:from|import) ")
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
        "You improve one Python module of an agent. Answer with the whole new module, or with whole functions of it, "
        "in one ```python block and nothing else. Where the module is long and the change is small you may answer with "
        "blocks instead: a line <<<<<<< SEARCH, lines exactly as they stand in the module, a line =======, the lines "
        "that take their place, a line >>>>>>> REPLACE. Keep what works; change only what the goal needs."
    )
    parts = [f"Goal: {goal.strip()}", f"Rules:\n{rules(gene)}"]
    if source:
        parts.append(f"The module {contracts.path_of(gene)}:\n```python\n{source.rstrip()}\n```")
    if failures:
        tries = "\n".join(f"- {text[:_FAILURE_CHARS]}" for text in failures[-_FAILURES:])
        parts.append(f"Earlier tries failed:\n{tries}\nDo not repeat these.")
    parts.append("Answer now.")
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

    Where the answer holds only functions (no imports, though the module has some), they take the place of the
    functions of the same name in `source`.
    """
    text = without_thoughts(answer).replace("\r\n", "\n")
    code = _best_block(text, gene)
    if not code.strip():
        return ""
    code = code.strip("\n") + "\n"
    if source and _IMPORT.search(source) and not _IMPORT.search(code) and _DEFINITION.search(code):
        return splice(source, code)
    return code


def splice(source: str, functions: str) -> str:
    """A module in which functions are replaced by others of the same name; new ones are added at the end."""
    for name, text in pieces_of(functions):
        pieces = dict(pieces_of(source))
        if name in pieces:
            source = source.replace(pieces[name].rstrip("\n"), text.rstrip("\n"), 1)
        else:
            source = source.rstrip("\n") + "\n\n\n" + text.rstrip("\n") + "\n"
    return source


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
