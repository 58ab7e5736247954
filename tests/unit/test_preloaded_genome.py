"""Modules that run before the fork: who takes them, and what of them runs again."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from o_tui.agent import genome_loader
from o_tui.agent.genome_loader import Genome, GenomeError
from tests.support.agents import SEED
from tests.support.nursery_driver import genome_files

FILES = {path: text for path, text in genome_files(SEED).items() if not path.startswith("tests/")}
SHIPPED = "genome_shipped"


@pytest.fixture(autouse=True)
def preloaded() -> Iterator[dict[str, object]]:
    genome_loader.preload(FILES)
    yield {name: module for name, module in sys.modules.items() if name.startswith(SHIPPED)}
    genome_loader._ready.clear()
    for name in [name for name in sys.modules if name.startswith("genome_")]:
        del sys.modules[name]


def test_the_first_revision_takes_them_and_the_second_has_its_own(preloaded: dict[str, object]) -> None:
    first, second = Genome("1" * 40, "1", FILES), Genome("2" * 40, "2", FILES)
    assert first.module("respond") is preloaded[f"{SHIPPED}.respond"]
    assert second.module("respond") is not first.module("respond")
    assert list(first.specs) == list(second.specs)
    assert first.tools.keys() == second.tools.keys()
    assert first.prompts == second.prompts
    first.unload()
    assert not any(name.startswith(SHIPPED) for name in sys.modules)
    assert second.module("respond").__name__ == "genome_222222222222.respond"


def test_what_is_compared_runs_again_though_it_is_the_same(preloaded: dict[str, object]) -> None:
    """A candidate's module is new in its fork: main's must not be warm from before."""
    genome = Genome("1" * 40, "1", FILES, ("offline.py",))
    for name in ("respond", "recall", "offline", "tools.calculator"):
        module = genome.module(name.replace(".", "/"))
        assert (module is not preloaded[f"{SHIPPED}.{name}"]) == (name in ("offline", "respond")), name
    code = vars(genome.module("offline"))["respond_offline"].__code__
    assert code is not vars(preloaded[f"{SHIPPED}.offline"])["respond_offline"].__code__


@pytest.mark.parametrize(
    ("changed", "anew"),
    [
        ("strategy.py", {"strategy"}),
        ("recall.py", {"recall"}),
        ("offline.py", {"offline", "respond"}),
        ("tools/calculator.py", {"tools.calculator", "offline", "respond"}),
    ],
)
def test_what_differs_runs_again_with_all_that_imports_it(
    preloaded: dict[str, object], changed: str, anew: set[str]
) -> None:
    genome = Genome("1" * 40, "1", {**FILES, changed: FILES[changed] + "\nMARK = 1\n"})
    for name in ("respond", "recall", "remember", "strategy", "offline", "tools.dates", "tools.calculator"):
        module = genome.module(name.replace(".", "/"))
        assert (module is not preloaded[f"{SHIPPED}.{name}"]) == (name in anew), name
    assert vars(genome.module(changed.removesuffix(".py")))["MARK"] == 1
    offline = vars(genome.module("offline"))
    assert offline["calculator"] is genome.module("tools/calculator")
    assert vars(genome.module("respond"))["respond_offline"] is offline["respond_offline"]


def test_another_package_is_another_everything(preloaded: dict[str, object]) -> None:
    genome = Genome("1" * 40, "1", {**FILES, "__init__.py": FILES["__init__.py"] + "MARK = 1\n"})
    assert not {id(genome.module(name)) for name in ("respond", "tools/dates")} & {id(m) for m in preloaded.values()}


def test_what_is_not_in_the_revision_cannot_be_imported() -> None:
    files = {path: text for path, text in FILES.items() if path != "tools/text.py"}
    genome = Genome("1" * 40, "1", files)
    assert "count_text" not in genome.tools
    assert not hasattr(genome.module("tools"), "text")
    with pytest.raises(ModuleNotFoundError):
        genome.module("tools/text")


def test_a_changed_gene_is_looked_at_as_ever() -> None:
    with pytest.raises(GenomeError, match=r"ZeroDivisionError: division by zero \(recall\.py:\d+ in <module>\)"):
        Genome("1" * 40, "1", {**FILES, "recall.py": FILES["recall.py"] + "\n1 / 0\n"})
    genome_loader.preload(FILES)
    with pytest.raises(GenomeError, match="recall must return its result"):
        Genome("1" * 40, "1", {**FILES, "recall.py": "def recall(query, search, k, now_ns): yield 1\n"})
    genome_loader.preload(FILES)
    twice = "from o_tui.agent.dsl import tool\n@tool\ndef dates(text: str) -> str:\n    return text\n"
    with pytest.raises(GenomeError, match="two tools are called dates"):
        Genome("1" * 40, "1", {**FILES, "tools/other.py": twice})
