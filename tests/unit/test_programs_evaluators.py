"""Programs: what evaluators return, and all the ways in which they are written; the latter with real processes."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_tui.programs import convention
from o_tui.programs.convention import Settings
from o_tui.protocol.errors import UsageError
from tests.support.user_programs import EVALUATOR, IMPORTING, PROGRAM, bench

NUMBER = st.floats(allow_nan=False, allow_infinity=False)
WRONG = st.one_of(
    st.sampled_from([math.nan, math.inf, -math.inf, None, True, "0.9", b"1", [1.0], {"a": 1.0}, 10**400, object()])
)


@given(NUMBER)
def test_a_finite_number_is_a_score(number: float) -> None:
    result = convention.result_of({"combined_score": number})
    assert convention.score(result, Settings()) == (number, "")
    assert convention.score(result, Settings(smaller=True)) == (-number, "")


@given(WRONG)
def test_everything_else_is_none(value: object) -> None:
    score, problem = convention.score(convention.result_of({"combined_score": value, "n": 1}), Settings())
    assert score == -math.inf and problem


def test_an_object_with_metrics_and_artifacts() -> None:
    @dataclasses.dataclass
    class EvaluationResult:
        metrics: dict[str, Any]
        artifacts: dict[str, Any]

    result = convention.result_of(EvaluationResult({"speed": 2, "note": "é"}, {"log": b"x", "more": [1]}))
    assert result.metrics == {"speed": 2.0} and result.artifacts == {"note": "é", "log": "x", "more": "[1]"}
    assert convention.score(result, Settings(objective="speed")) == (2.0, "")
    assert "`objective: speed`" in convention.score(result, Settings())[1]
    result = convention.result_of({"speed": 2, "beauty": 3})
    assert "mix unlike things" in convention.score(result, Settings())[1]


def test_of_many_metrics_the_one_that_counts_is_kept() -> None:
    many = {f"k{number}": 1.0 for number in range(10_000)}
    assert convention.score(convention.result_of(many | {"combined_score": 2.0}), Settings()) == (2.0, "")
    loss = Settings(objective="loss")
    assert convention.score(convention.result_of(many | {"loss": 3.0}, loss.objective), loss) == (3.0, "")


def test_a_stage_of_a_cascade_passes_by_the_objective_or_by_the_one_thing_that_it_says() -> None:
    loss = Settings(objective="loss", smaller=True, thresholds=(0.5,))
    cases: list[tuple[dict[str, Any], Settings, bool]] = [
        ({"combined_score": 0.5}, Settings(), True),
        ({"combined_score": 0.4}, Settings(), False),
        ({"loss": 0.4}, loss, True),
        ({"loss": 0.6}, loss, False),
        ({"runs": 1.0}, loss, True),
        ({"runs": 0.0}, Settings(), False),
        ({"runs": 1.0, "other": 1.0}, Settings(), False),
        ({}, Settings(), False),
    ]
    for metrics, wanted, expected in cases:
        assert convention.passes(convention.result_of(metrics), wanted, 1) is expected, metrics
    failed = convention.Result(metrics={"combined_score": 1.0}, error="x")
    assert not convention.passes(failed, Settings(), 1) and not convention.passes(failed, Settings(), 9)


def test_a_config_of_openevolve() -> None:
    text = (
        "max_iterations: 30\nrandom_seed: 4\nllm: {primary_model: x}\n"
        "evaluator: {timeout: 5, cascade_thresholds: [0.2], parallel_evaluations: 3}\n"
    )
    settings, unused = convention.settings_of(text)
    assert settings == Settings(budget=30, seed=4, timeout_s=5.0, thresholds=(0.2,))
    assert unused == ("llm", "evaluator.parallel_evaluations")
    for bad in ("a: [", "- 1\n", "evaluator: 3\n", "max_iterations: many\n", "evaluator: {timeout: -1}\n"):
        with pytest.raises(UsageError):
            convention.settings_of(bad)


def test_a_results_folder() -> None:
    assert convention.results_folder('{"combined_score": 1}', '{"correct": true}').metrics == {"combined_score": 1.0}
    for metrics, correct in ((None, None), ("{", "{}"), ("[]", "{}"), ('{"combined_score": 1}', '{"correct": false}')):
        assert convention.results_folder(metrics, correct).error


WAYS = {
    "async": EVALUATOR.replace("def evaluate", "async def evaluate"),
    "an object": EVALUATOR.replace(
        '    return {"combined_score": load(program_path).score()}',
        "    import types\n    return types.SimpleNamespace(metrics={'combined_score': load(program_path).score()})",
    ),
    "by a script": IMPORTING
    + (
        "import subprocess\nimport sys\n\n\ndef evaluate(program_path):\n"
        "    done = subprocess.run([sys.executable, program_path, 'a'], input='b', capture_output=True, text=True)\n"
        "    assert done.returncode == 0, done.stderr\n    return {'combined_score': float(done.stdout)}\n"
    ),
    "by a program that imports it": (
        "import subprocess\nimport sys\n\n\ndef evaluate(program_path):\n"
        "    code = 'import sys; sys.path.insert(0, sys.argv[1]); import program; print(program.score())'\n"
        "    folder = program_path.rpartition('/')[0]\n"
        "    done = subprocess.run([sys.executable, '-c', code, folder], stdout=-1, stderr=-3, text=True)\n"
        "    return {'combined_score': float(done.stdout)}\n"
    ),
    "in a thread": IMPORTING
    + (
        "from concurrent.futures import ThreadPoolExecutor\n\n\ndef evaluate(program_path):\n"
        "    with ThreadPoolExecutor(2) as pool:\n"
        "        return {'combined_score': pool.submit(load(program_path).score).result()}\n"
    ),
    "reading the text": IMPORTING
    + (
        "\n\ndef evaluate(program_path):\n    assert 'EVOLVE' in open(program_path).read()\n"
        "    return {'combined_score': load(program_path).score()}\n"
    ),
    "of Shinka": IMPORTING
    + (
        "import argparse\nimport json\nfrom pathlib import Path\n\n\nif __name__ == '__main__':\n"
        "    parser = argparse.ArgumentParser()\n"
        "    parser.add_argument('--program_path')\n    parser.add_argument('--results_dir')\n"
        "    args = parser.parse_args()\n    results = Path(args.results_dir)\n"
        "    score = load(args.program_path).score()\n"
        "    (results / 'metrics.json').write_text(json.dumps({'combined_score': score}))\n"
        "    (results / 'correct.json').write_text(json.dumps({'correct': True}))\n"
    ),
}
SCRIPT = PROGRAM.replace("10.0 - (A", "10.5 - (A") + "\nif __name__ == '__main__':\n    print(score())\n"


AT_ONCE = {
    "threads": "from concurrent.futures import ThreadPoolExecutor\n\n\nasync def score():\n"
    "    with ThreadPoolExecutor(4) as pool:\n        return float(sum(pool.map(int, '1234')))\n",
    "awaiting": "import asyncio\n\n\nasync def score():\n"
    "    await asyncio.sleep(0)\n    return 4.0 + await asyncio.to_thread(float, 6)\n",
}


@pytest.mark.parametrize("how", list(AT_ONCE))
def test_a_program_may_do_several_things_at_once(folder: Path, how: str) -> None:
    evaluator = EVALUATOR.replace("def evaluate", "async def evaluate").replace("load(", "await load(")
    evaluator = evaluator.replace("await load(program_path):", "load(program_path):")
    with bench(folder, evaluator) as lane:
        answer = lane.evaluate(AT_ONCE[how])
        assert answer.result.metrics == {"combined_score": 10.0} and not answer.refused, answer


def test_what_was_handed_over_may_be_called_from_any_thread_of_a_program(folder: Path) -> None:
    source = (
        "from concurrent.futures import ThreadPoolExecutor\n\n\ndef score(measure):\n"
        "    with ThreadPoolExecutor(8) as pool:\n        return sum(pool.map(measure, range(200)))\n"
    )
    with bench(folder, EVALUATOR.replace(".score()", ".score(lambda value: value * 2)")) as lane:
        assert lane.evaluate(source).result.metrics == {"combined_score": 39800.0}


@pytest.mark.parametrize("way", list(WAYS))
def test_the_ways_of_evaluators(folder: Path, way: str) -> None:
    folder.chmod(0o755)
    with bench(folder / "p", WAYS[way]) as lane:
        for _ in range(2):
            answer = lane.evaluate(SCRIPT)
            assert answer.result.metrics == {"combined_score": 10.5 - 1.75**2 - 2.75}, answer


def test_stages_end_where_a_threshold_is_not_reached(folder: Path) -> None:
    folder.chmod(0o755)
    evaluator = IMPORTING + "".join(
        f"\n\ndef evaluate_stage{n}(program_path):\n"
        f"    return {{'combined_score': load(program_path).score({n}), 'stage{n}': 1}}\n"
        for n in (1, 2, 3)
    )
    with bench(folder / "p", evaluator, Settings(thresholds=(0.5, 2.0))) as lane:
        found = [
            lane.evaluate(f"def score(n):\n    return {text}\n").result.metrics for text in ("0.4", "n", "n - 0.3")
        ]
    assert found[0] == {"combined_score": 0.4, "stage1": 1.0}
    assert found[1] == {"combined_score": 3.0, "stage1": 1.0, "stage2": 1.0, "stage3": 1.0}
    assert found[2] == {"combined_score": 1.7, "stage1": 1.0, "stage2": 1.0}


def test_a_seed_makes_chance_the_same(folder: Path) -> None:
    folder.chmod(0o755)
    source = "import random\n\n\ndef score():\n    return random.random()\n"
    with bench(folder / "p") as lane:
        first, again, other = (lane.evaluate(source, seed).result.metrics for seed in (1, 1, 2))
    assert first == again != other
