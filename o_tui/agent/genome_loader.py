"""Loads a genome from its sources, without files: one package a revision, several beside each other.

What stands here is the first defence (a gene that imports `os` is not loaded); confinement is the one that counts.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.machinery
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, cast

from o_tui.agent import prepared, tools
from o_tui.agent.dsl import ToolSpec
from o_tui.agent.gene_errors import describe
from o_tui.agent.parameters import is_asynchronous, is_generator, parameters
from o_tui.protocol import contracts
from o_tui.protocol.errors import OError

if TYPE_CHECKING:
    from importlib.abc import Loader

PACKAGE_PREFIX = "genome_"


class GenomeError(OError):
    """A genome that cannot be loaded; the message is one line: what, in which file."""


def package_of(revision: str) -> str:
    """The package that a revision is loaded under."""
    return PACKAGE_PREFIX + revision[:12]


class Genome:
    """A loaded revision: its genes, tools and prompts."""

    def __init__(self, revision: str, version: str, files: Mapping[str, str]) -> None:
        """Loads it.

        Raises:
            GenomeError: It does not compile, imports what it may not, raises, or breaks a contract.
        """
        self.revision = revision
        self.version = version
        self.package = package_of(revision)
        self.prompts = {
            path.removeprefix("prompts/").removesuffix(".md"): text
            for path, text in sorted(files.items())
            if path.startswith("prompts/") and path.endswith(".md")
        }
        self._finder = _Finder(self.package, files)
        self._forget_modules()  # of the same revision, if it is loaded a second time
        sys.meta_path.insert(0, self._finder)
        try:
            self._load(sorted(filter(None, map(contracts.gene_of, files))))
        except GenomeError:
            self.unload()
            raise
        except BaseException as error:  # noqa: BLE001 - the border to a genome's own code, that may raise anything
            self.unload()
            raise GenomeError(describe(error)) from None

    def _load(self, genes: Sequence[str]) -> None:
        for missing in sorted(set(contracts.CONTRACTS) - contracts.OPTIONAL - set(genes)):
            raise GenomeError(f"the gene {missing} is missing ({contracts.path_of(missing)})")
        modules = {gene: self.module(gene) for gene in genes}
        wrong = [text for gene, module in modules.items() for text in contracts.problems(gene, functions(module))]
        if wrong:
            raise GenomeError("; ".join(wrong))
        self.respond: Callable[..., Iterator[Any]] = modules["respond"].respond
        self.recall: Callable[..., Any] = modules["recall"].recall
        self.chunk: Callable[..., Any] = modules["remember"].chunk
        self.importance: Callable[..., Any] = modules["remember"].importance
        self.consolidate: Callable[..., Any] = modules["remember"].consolidate
        self.choose: Callable[..., Any] | None = modules["strategy"].choose if "strategy" in modules else None
        self.tools = tools.find(module for gene, module in modules.items() if gene.startswith("tools/"))
        self.specs: tuple[ToolSpec, ...] = tuple(tool.spec for _name, tool in sorted(self.tools.items()))

    def module(self, gene: str) -> ModuleType:
        """A module of the genome by its path without `.py` ("tools/dates"), imported if need be."""
        return importlib.import_module(f"{self.package}.{gene.replace('/', '.')}")

    def test_modules(self) -> list[str]:
        """The genome's own tests, as `module` takes them."""
        return self._finder.tests()

    def unload(self) -> None:
        """Forgets it: its modules leave `sys.modules`; generators that still run keep what they need."""
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        self._forget_modules()

    def _forget_modules(self) -> None:
        for name in self._finder.modules():
            sys.modules.pop(name, None)


class GenomeShelf:
    """The revisions that are loaded: the present one and the one before, so that going back costs nothing."""

    KEPT = 2

    def __init__(self) -> None:
        self._kept: list[Genome] = []

    def adopt(self, revision: str, version: str, files: Mapping[str, str]) -> Genome:
        """The revision, loaded beside the others if it is not there yet; the oldest one beyond two is unloaded.

        Raises:
            GenomeError: It cannot be loaded; nothing has changed.
        """
        genome = next((kept for kept in self._kept if kept.revision == revision), None)
        if genome is None:
            genome = Genome(revision, version, files)
        else:
            self._kept.remove(genome)
        self._kept.append(genome)
        while len(self._kept) > self.KEPT:
            self._kept.pop(0).unload()
        return genome


def functions(module: ModuleType) -> dict[str, contracts.FoundFunction]:
    """The functions that a module defines itself, as a contract sees them."""
    return {
        name: _seen(value)
        for name, value in vars(module).items()
        if isinstance(value, FunctionType) and value.__module__ == module.__name__
    }


def _seen(function: FunctionType) -> contracts.FoundFunction:
    takes = parameters(function)
    return contracts.FoundFunction(
        parameters=takes.names,
        required=len(takes.names) - len(takes.defaults),
        generator=is_generator(function),
        asynchronous=is_asynchronous(function),
        tool=getattr(function, "__o_tool__", False) is True,
    )


class _Finder:
    """Finds and executes the modules of one revision (finder and loader; `importlib.abc` alone costs 7 ms)."""

    def __init__(self, package: str, files: Mapping[str, str]) -> None:
        if len(files) > contracts.FILES_LIMIT:
            raise GenomeError(f"a genome of {len(files)} files; the limit is {contracts.FILES_LIMIT}")
        self._package = package
        self._files: dict[str, tuple[str, str]] = {}
        self._builtins = _prepared.pop() if _prepared else _builtins()
        for path, source in files.items():
            if not path.endswith(".py"):
                continue
            if len(source.encode("utf-8", "replace")) > contracts.FILE_LIMIT_BYTES:
                raise GenomeError(f"{path} is larger than {contracts.FILE_LIMIT_BYTES // 1024} KiB")
            name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            self._files[f"{package}.{name}" if name != "__init__" else package] = (path, source)
        for name in list(self._files):  # a folder is a package without an __init__.py too
            while "." in name:
                name = name.rpartition(".")[0]
                self._files.setdefault(name, ("", ""))

    def modules(self) -> list[str]:
        return list(self._files)

    def tests(self) -> list[str]:
        paths = sorted(path for path, _source in self._files.values())
        return [path.removesuffix(".py") for path in paths if path.startswith("tests/test_")]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._files:
            return None
        is_package = any(name.startswith(fullname + ".") for name in self._files)
        return importlib.machinery.ModuleSpec(fullname, cast("Loader", self), is_package=is_package)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        path, source = self._files[module.__name__]
        code = prepared.code(path, source)
        module.__dict__["__builtins__"] = self._builtins
        exec(code, module.__dict__)


def _guarded_import(
    name: str,
    globals: Mapping[str, Any] | None = None,
    locals: Mapping[str, Any] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> ModuleType:
    # C code of the standard library that a gene calls (strftime) comes here too, always with a list
    if level == 0 and not contracts.allowed_import(name) and type(fromlist) is not list:
        raise ImportError(f"a gene may not import {name}")
    return builtins.__import__(name, globals, locals, fromlist or (), level)


def _builtins() -> dict[str, Any]:
    """What a revision finds of Python's own names, in a dict that no other revision has."""
    # the statement `import` needs its function, under a name that no gene may use
    allowed = {name: value for name, value in vars(builtins).items() if name not in contracts.FORBIDDEN_NAMES}
    return {**allowed, "__import__": _guarded_import}


_prepared = [_builtins()]
"""For the first revision, made before the fork: to copy it afterwards writes to 0.7 MB of what forks share."""
