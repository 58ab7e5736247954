"""What each gene must offer, as data: the kernel checks a loaded module by it, validation checks a source by it.

A gene is named `respond`, `recall`, `remember`, `strategy` or `tools/<name>`; its file in the genome is `<name>.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FunctionContract:
    """A function that a gene must have.

    Attributes:
        name: Its name in the module.
        parameters: Its first parameters, by name and in order; any further one needs a default.
        generator: It must be a generator (it yields steps), or must not be one.
    """

    name: str
    parameters: tuple[str, ...]
    generator: bool = False


@dataclass(frozen=True, slots=True)
class FoundFunction:
    """A function that is there, as `ast` or `inspect` sees it; `required` counts parameters without a default."""

    parameters: tuple[str, ...]
    required: int
    generator: bool = False
    asynchronous: bool = False
    tool: bool = False


CONTRACTS: dict[str, tuple[FunctionContract, ...]] = {
    "respond": (FunctionContract("respond", ("request", "context"), generator=True),),
    "recall": (FunctionContract("recall", ("query", "search", "k", "now_ns")),),
    "remember": (
        FunctionContract("chunk", ("text",)),
        FunctionContract("importance", ("text", "kind")),
        FunctionContract("consolidate", ("blocks", "now_ns")),
    ),
    "strategy": (FunctionContract("choose", ("outcomes", "options")),),
}
"""The genes of a genome; all but the `OPTIONAL` ones are in every one.

A gene `tools/<name>` must have at least one function decorated with `@tool`."""

OPTIONAL = frozenset(["strategy"])
"""Without these a genome is complete all the same."""

MIGRATE = FunctionContract("migrate", ("old_version", "view"))
"""What any gene may have besides: it returns a list of operations that make the state fit for this version.

It runs once, confined, before the version serves; then its operations go through the log. It may run again after an
interruption, so what it returns must do no harm twice; the version before goes on with the state that it leaves.
"""

DSL_MODULE = "o_tui.agent.dsl"
"""The one module of ours that a gene may import."""

ALLOWED_IMPORTS = frozenset(
    [
        "__future__",
        "abc",
        "array",
        "ast",
        "base64",
        "bisect",
        "calendar",
        "collections",
        "contextlib",
        "copy",
        "dataclasses",
        "datetime",
        "decimal",
        "difflib",
        "enum",
        "fractions",
        "functools",
        "hashlib",
        "heapq",
        "html",
        "itertools",
        "json",
        "math",
        "numbers",
        "operator",
        "random",
        "re",
        "statistics",
        "string",
        "struct",
        "textwrap",
        "typing",
        "unicodedata",
    ]
)
"""The modules of the standard library that a gene may import (their submodules too)."""

FORBIDDEN_NAMES = frozenset(
    [
        "__import__",
        "breakpoint",
        "compile",
        "eval",
        "exec",
        "exit",
        "globals",
        "help",
        "input",
        "locals",
        "memoryview",
        "open",
        "quit",
        "vars",
    ]
)
"""Built-in names that a gene does not find."""

FILE_LIMIT_BYTES = 256 * 1024
"""Largest file of a genome."""
FILES_LIMIT = 256
"""Most files of a genome."""

_GENE = re.compile(r"(respond|recall|remember|strategy|tools/[a-z][a-z0-9_]{0,39})\Z")


def is_gene(name: str) -> bool:
    """Whether `name` can name a gene."""
    return _GENE.match(name) is not None


def path_of(gene: str) -> str:
    """The file of a gene in the genome.

    Raises:
        ValueError: It is no gene's name.
    """
    if not is_gene(gene):
        raise ValueError(f"{gene[:60]!r} is not a gene: respond, recall, remember, strategy or tools/<name>")
    return f"{gene}.py"


def gene_of(path: str) -> str | None:
    """The gene behind a file of the genome; None: the file is no gene (a prompt, a test, the package's own)."""
    name = path.removesuffix(".py")
    return name if name != path and is_gene(name) and not name.endswith("__init__") else None


def allowed_import(module: str) -> bool:
    """Whether a gene may import the absolute name `module`."""
    return module == DSL_MODULE or module.split(".", 1)[0] in ALLOWED_IMPORTS


def problems(gene: str, found: Mapping[str, FoundFunction]) -> list[str]:
    """What a gene lacks, one plain sentence each; empty when its functions keep the contract."""
    wrong: list[str] = []
    if MIGRATE.name in found:
        wrong += [f"{gene}: {MIGRATE.name} {text}" for text in _differences(MIGRATE, found[MIGRATE.name])]
    if gene.startswith("tools/"):
        if not any(function.tool for function in found.values()):
            return [f"{gene}: there is no function decorated with @tool"]
        tools = ((name, function) for name, function in found.items() if function.tool)
        return wrong + [f"{gene}: {name} is async; a gene is not" for name, tool in tools if tool.asynchronous]
    for contract in CONTRACTS.get(gene, ()):
        function = found.get(contract.name)
        if function is None:
            wrong.append(f"{gene}: the function {contract.name}({', '.join(contract.parameters)}) is missing")
        else:
            wrong += [f"{gene}: {contract.name} {text}" for text in _differences(contract, function)]
    return wrong


def _differences(contract: FunctionContract, function: FoundFunction) -> list[str]:
    expected = ", ".join(contract.parameters)
    wrong: list[str] = []
    if function.asynchronous:
        wrong.append("is async; a gene is not")
    if function.parameters[: len(contract.parameters)] != contract.parameters:
        wrong.append(f"takes ({', '.join(function.parameters)}); it must take ({expected})")
    elif function.required > len(contract.parameters):
        wrong.append(f"needs more than ({expected}); give the other parameters defaults")
    if contract.generator and not function.generator and not function.asynchronous:
        wrong.append("must be a generator: it yields steps")
    if function.generator and not contract.generator:
        wrong.append("must return its result; it is a generator")
    return wrong
