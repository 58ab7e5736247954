"""Loads a genome from its sources, without files: one package a revision, several beside each other.

What stands here is the first defence (a gene that imports `os` is not loaded); confinement is the one that counts.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import FunctionType, ModuleType
from typing import Any

from o_tui.agent import prepared, tools
from o_tui.agent.gene_errors import describe
from o_tui.agent.parameters import is_asynchronous, is_generator, parameters
from o_tui.agent.tools import Tool
from o_tui.protocol import contracts
from o_tui.protocol.errors import OError

PACKAGE_PREFIX = "genome_"


class GenomeError(OError):
    """A genome that cannot be loaded; the message is one line: what, in which file."""


def package_of(revision: str) -> str:
    """The package that a revision is loaded under."""
    return PACKAGE_PREFIX + revision[:12]


class Genome:
    """A loaded revision: its genes, tools and prompts."""

    def __init__(self, revision: str, version: str, files: Mapping[str, str], anew: Collection[str] = ()) -> None:
        """Loads it; modules at the paths `anew` are made here, whatever was made before the fork.

        Raises:
            GenomeError: It does not compile, imports what it may not, raises, or breaks a contract.
        """
        self.revision = revision
        self.version = version
        self.prompts = {
            path.removeprefix("prompts/").removesuffix(".md"): text
            for path, text in sorted(files.items())
            if path.startswith("prompts/") and path.endswith(".md")
        }
        self._modules = _modules(package_of(revision), files, anew)
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
        # what O ships is known to be right: to look at each of its functions costs more memory than it has itself
        changed = {gene: module for gene, module in modules.items() if not self._modules.is_prepared(module)}
        wrong = [text for gene, module in changed.items() for text in contracts.problems(gene, functions(module))]
        if wrong:
            raise GenomeError("; ".join(wrong))
        self.respond: Callable[..., Iterator[Any]] = modules["respond"].respond
        self.recall: Callable[..., Any] = modules["recall"].recall
        self.chunk: Callable[..., Any] = modules["remember"].chunk
        self.importance: Callable[..., Any] = modules["remember"].importance
        self.consolidate: Callable[..., Any] = modules["remember"].consolidate
        self.choose: Callable[..., Any] | None = modules["strategy"].choose if "strategy" in modules else None
        self.tools: dict[str, Tool] = {}
        for gene, module in modules.items():
            if not gene.startswith("tools/"):
                continue
            for name, tool in self._modules.tools(module).items():
                if self.tools.setdefault(name, tool) is not tool:
                    raise TypeError(f"two tools are called {name}")
                if gene in changed:
                    tool.check()
        self.specs = tools.Specs(self.tools)

    def module(self, gene: str) -> ModuleType:
        """A module of the genome by its path without `.py` ("tools/dates"), imported if need be."""
        return self._modules.load(f"{self._modules.package}.{gene.replace('/', '.')}")

    def test_modules(self) -> list[str]:
        """The genome's own tests, as `module` takes them."""
        return self._modules.tests()

    def unload(self) -> None:
        """Forgets it: its modules leave `sys.modules`; generators that still run keep what they need."""
        self._modules.forget()


class GenomeShelf:
    """The revisions that are loaded: the present one and the one before, so that going back costs nothing."""

    KEPT = 2

    def __init__(self) -> None:
        self._kept: list[Genome] = []

    def adopt(self, revision: str, version: str, files: Mapping[str, str], anew: Collection[str] = ()) -> Genome:
        """The revision, loaded beside the others if it is not there yet; the oldest one beyond two is unloaded.

        `anew` as in `Genome`.

        Raises:
            GenomeError: It cannot be loaded; nothing has changed.
        """
        genome = next((kept for kept in self._kept if kept.revision == revision), None)
        if genome is None:
            genome = Genome(revision, version, files, anew)
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
        if type(value) is FunctionType and value.__module__ == module.__name__
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


class _Modules:
    """Loads the modules of one revision. Python's own way through finders and specs writes to a quarter of a megabyte
    of what forks share, and a genome has no files to find.
    """

    def __init__(self, package: str, files: Mapping[str, str], anew: Collection[str] = ()) -> None:
        self.package = package
        self._files: dict[str, tuple[str, str]] = {}
        self._packages: set[str] = set()
        self._wanted: dict[str, set[str]] = {}
        self._ready: dict[str, dict[str, Tool]] = {}
        self._anew = anew
        self._read(files)
        self._builtins = _prepared.pop() if _prepared else _builtins()
        self._builtins["__import__"] = self._import

    def _read(self, files: Mapping[str, str]) -> None:
        if len(files) > contracts.FILES_LIMIT:
            raise GenomeError(f"a genome of {len(files)} files; the limit is {contracts.FILES_LIMIT}")
        found: dict[str, tuple[str, str]] = {}
        for path, source in files.items():
            if not path.endswith(".py"):
                continue
            if len(source.encode("utf-8", "replace")) > contracts.FILE_LIMIT_BYTES:
                raise GenomeError(f"{path} is larger than {contracts.FILE_LIMIT_BYTES // 1024} KiB")
            name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            found[f"{self.package}.{name}" if name != "__init__" else self.package] = (path, source)
        for name in list(found):  # a folder is a package without an __init__.py too
            while "." in name:
                name = name.rpartition(".")[0]
                found.setdefault(name, ("", ""))
        self._files = found
        self._packages = {name.rpartition(".")[0] for name in found}

    def fit(self, files: Mapping[str, str], anew: Collection[str]) -> None:
        """Makes them those of another revision: what is not the same in it leaves, and whatever has imported that."""
        self._anew = anew
        files_before, packages_before = self._files, self._packages
        self._read(files)
        stale = {name for name, file in files_before.items() if self._files.get(name) != file or file[0] in anew}
        stale |= packages_before ^ self._packages
        while more := {name for name in files_before if name not in stale and self._needs(name) & stale}:
            stale |= more
        self._files |= {name: file for name, file in files_before.items() if name not in stale}  # one text, not two
        for name in stale:
            self._ready.pop(name, None)
            above, _, last = name.rpartition(".")
            if sys.modules.pop(name, None) is not None and above in sys.modules:
                vars(sys.modules[above]).pop(last, None)

    def _needs(self, name: str) -> set[str]:
        return self._wanted.get(name, set()) | {name.rpartition(".")[0]}

    def tests(self) -> list[str]:
        """The genome's own tests, as `Genome.module` takes them."""
        paths = sorted(path for path, _source in self._files.values())
        return [path.removesuffix(".py") for path in paths if path.startswith("tests/test_")]

    def run_ahead(self) -> None:
        """Runs the modules of all genes, and finds their tools."""
        for gene in sorted(filter(None, (contracts.gene_of(path) for path, _source in self._files.values()))):
            module = self.load(f"{self.package}.{gene.replace('/', '.')}")
            self._ready[module.__name__] = tools.find(module)

    def tools(self, module: ModuleType) -> Mapping[str, Tool]:
        """The tools of a module, by name."""
        found = self._ready.get(module.__name__)
        return tools.find(module) if found is None else found

    def is_prepared(self, module: ModuleType) -> bool:
        """Whether a module is as O ships it, and known."""
        path, source = self._files[module.__name__]
        return path not in self._anew and (module.__name__ in self._ready or prepared.has(path, source))

    def forget(self) -> None:
        """They leave `sys.modules`."""
        for name in self._files:
            sys.modules.pop(name, None)

    def load(self, name: str) -> ModuleType:
        """A module by its full name; what it stands in is loaded before it.

        Raises:
            ModuleNotFoundError: The revision has none of this name. Else whatever the module raises.
        """
        if name not in self._files:  # a gene can call its package what it likes, and would be given `os`
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        above, _, last = name.rpartition(".")
        parent = self.load(above) if above else None
        found = sys.modules.get(name)
        if found is not None:
            return found
        module = self._run(name, above)
        if parent is not None:
            setattr(parent, last, module)
        return module

    def _run(self, name: str, above: str) -> ModuleType:
        path, source = self._files[name]
        module = ModuleType(name)
        module.__package__ = above
        if name in self._packages:
            module.__package__ = name
            module.__path__ = []
        module.__dict__["__builtins__"] = self._builtins
        sys.modules[name] = module  # before it runs: two modules may import each other
        try:
            code = prepared.made(path, source) if path in self._anew else prepared.code(path, source)
            exec(code, module.__dict__)
        except BaseException:
            sys.modules.pop(name, None)
            raise
        return module

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """What the statement `import` of a gene calls."""
        if level:
            return self._relative(name, globals or {}, fromlist or (), level)
        # C code of the standard library that a gene calls (strftime) comes here too, always with a list
        if not contracts.allowed_import(name) and type(fromlist) is not list:
            raise ImportError(f"a gene may not import {name}")
        return builtins.__import__(name, globals, locals, fromlist or ())

    def _relative(self, name: str, where: Mapping[str, Any], names: Sequence[str], level: int) -> ModuleType:
        parts = str(where.get("__package__", "")).split(".")
        if level > len(parts):
            raise ImportError("attempted relative import beyond top-level package")
        target = ".".join([*parts[: len(parts) - level + 1], *filter(None, [name])])
        wanted = self._wanted.setdefault(str(where.get("__name__")), set())
        wanted.add(target)
        module = self.load(target)
        for part in getattr(module, "__all__", ()) if "*" in names else names:
            wanted.add(f"{target}.{part}")
            if f"{target}.{part}" in self._files and not hasattr(module, part):
                self.load(f"{target}.{part}")
        return module


def preload(files: Mapping[str, str]) -> None:
    """Runs the modules of the genome that O ships, for the first revision that a fork will load.

    That one takes those of them that are the same in it, and import only what is: their code is O's own, as trusted as
    the kernel's. Whatever differs runs in the fork, confined.

    Raises:
        Whatever one of them raises.
    """
    modules = _Modules(PACKAGE_PREFIX + "shipped", files)
    modules.forget()
    modules.run_ahead()
    _ready[:] = [modules]


def _modules(package: str, files: Mapping[str, str], anew: Collection[str]) -> _Modules:
    if _ready:  # what another revision changes in them would be changed for this one too, so only the first has them
        modules = _ready.pop()
        modules.fit(files, anew)
    else:
        modules = _Modules(package, files, anew)
        modules.forget()  # those of the same revision, if it is loaded a second time
    return modules


def _builtins() -> dict[str, Any]:
    """What a revision finds of Python's own names, in a dict that no other revision has.

    The statement `import` needs its function, under a name that no gene may use: the revision puts its own there.
    """
    allowed = {name: value for name, value in vars(builtins).items() if name not in contracts.FORBIDDEN_NAMES}
    return {**allowed, "__import__": None}


_prepared = [_builtins()]
"""For the first revision, made before the fork: to copy it afterwards writes to 0.7 MB of what forks share."""

_ready: list[_Modules] = []
"""What `preload` has made, until it is taken."""
