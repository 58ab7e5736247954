"""What a fork of the nursery finds compiled: the shipped text, and nothing that runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from o_tui.agent import prepared
from o_tui.agent.genome_loader import Genome, GenomeError
from tests.support.agents import SEED
from tests.support.nursery_driver import genome_files

SOURCE = "import re\nWORD = re.compile(r'(prepared|not)', re.I | re.S)\nprint('it ran')\nraise SystemExit\n"


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    before = dict(prepared._compiled)
    yield
    prepared._compiled.clear()
    prepared._compiled.update(before)


def test_a_module_is_compiled_and_does_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text("not a module of the genome (")
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "it.py").write_text(SOURCE)
    re.purge()
    assert list(prepared.steps(str(tmp_path))) == ["tools/it.py"]
    assert prepared.code("tools/it.py", SOURCE) is prepared.code("tools/it.py", SOURCE)
    assert (str, "(prepared|not)", int(re.I | re.S)) in re._cache  # type: ignore[attr-defined]
    assert capsys.readouterr().out == ""


def test_no_pattern_of_the_shipped_genome_is_left_to_a_fork() -> None:
    re.purge()
    list(prepared.steps(str(SEED)))
    before = set(re._cache)  # type: ignore[attr-defined]
    Genome("7" * 40, "1", genome_files(SEED)).unload()
    assert set(re._cache) - before == set()  # type: ignore[attr-defined]


def test_other_text_and_another_place_are_compiled_anew(tmp_path: Path) -> None:
    (tmp_path / "it.py").write_text(SOURCE)
    list(prepared.steps(str(tmp_path)))
    assert prepared.code("it.py", SOURCE + "#") is not prepared.code("it.py", SOURCE + "#")
    assert prepared.code("other.py", SOURCE).co_filename == "genome:other.py"


def test_what_cannot_be_prepared_is_told_and_what_was_before_stays(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(SOURCE)
    steps = prepared.steps(str(tmp_path))
    assert next(steps) == "a.py"
    (tmp_path / "a.py").write_text("def f(:")
    with pytest.raises(SyntaxError):
        list(prepared.steps(str(tmp_path)))
    assert prepared.code("a.py", SOURCE) is prepared.code("a.py", SOURCE)


def test_a_genome_of_prepared_text_is_the_same_and_its_errors_too() -> None:
    files = genome_files(SEED)
    list(prepared.steps(str(SEED)))
    genome = Genome("7" * 40, "1", files)
    assert (
        genome.module("recall").__dict__["recall"].__code__ in prepared.code("recall.py", files["recall.py"]).co_consts
    )
    genome.unload()
    with pytest.raises(GenomeError, match=r"ZeroDivisionError: division by zero \(recall\.py:\d+ in <module>\)"):
        Genome("8" * 40, "1", {**files, "recall.py": files["recall.py"] + "\n1 / 0\n"})


def test_a_prepared_tool_says_what_it_would_say_unprepared_and_a_changed_one_is_read_at_once() -> None:
    files = genome_files(SEED)
    prepared._compiled.clear()
    plain = Genome("7" * 40, "1", files)
    told = list(plain.specs)
    plain.unload()
    list(prepared.steps(str(SEED)))
    genome = Genome("8" * 40, "1", files)
    assert list(genome.specs) == told
    assert genome.specs[:2] == tuple(told[:2])
    genome.unload()
    wrong = files["tools/dates.py"].replace("def dates(question: str,", "def dates(question,")
    with pytest.raises(GenomeError, match="tool dates: the parameter question needs a name and a type hint"):
        Genome("9" * 40, "1", {**files, "tools/dates.py": wrong})
