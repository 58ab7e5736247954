"""What evaluators are and what they return: the convention that users of OpenEvolve have, and Shinka's command line.

`evaluate(program_path)`, plain or async, returns a dict (perhaps with `artifacts`) or an object with `metrics` and
`artifacts`; `evaluate_stage1` to `3` with thresholds are a cascade. The objective is `combined_score`, or what the
config names. What is no finite number is no score, and is never made one.
"""

from __future__ import annotations

import ast
import json
import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from o_tui.protocol.errors import UsageError

OBJECTIVE = "combined_score"
THRESHOLDS = (0.5, 0.75, 0.9)
TIMEOUT_S = 60.0
METRICS = 256
ARTIFACT_CHARS = 16 * 1024
ARTIFACTS = 32
STAGES = 3
Kind = Literal["function", "cascade", "command"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a config says.

    Attributes:
        objective: The metric that counts.
        smaller: A smaller one is better.
        timeout_s: Seconds of one evaluation.
        cascade: Stages are used where the evaluator has them.
        thresholds: What a stage must reach for the next to follow.
    """

    objective: str = OBJECTIVE
    smaller: bool = False
    timeout_s: float = TIMEOUT_S
    cascade: bool = True
    thresholds: tuple[float, ...] = THRESHOLDS
    budget: int | None = None
    seed: int | None = None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What an evaluator returned: numbers by name, texts by name, and why it is nothing; "": it is something."""

    metrics: dict[str, float] = {}
    artifacts: dict[str, str] = {}
    error: str = ""


_READ = {"objective": "objective", "minimize": "smaller", "max_iterations": "budget", "random_seed": "seed"}
_READ_OF_EVALUATOR = {"timeout": "timeout_s", "cascade_evaluation": "cascade", "cascade_thresholds": "thresholds"}
"""What of a config counts, and as which setting."""


def settings_of(text: str, name: str = "the config") -> tuple[Settings, tuple[str, ...]]:
    """Reads a YAML config; the settings, and the names in it that say nothing to us (OpenEvolve has many).

    Raises:
        UsageError: It is no YAML, or a value is not what it must be.
    """
    import yaml

    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"{name} is no YAML: {' '.join(str(error).split())[:200]}") from error
    found = {} if found is None else found
    if not isinstance(found, dict) or not isinstance(found.get("evaluator") or {}, dict):
        raise UsageError(f"{name} must be names and values")
    evaluator = found.get("evaluator") or {}
    values = {setting: found.get(key) for key, setting in _READ.items()}
    values |= {setting: evaluator.get(key) for key, setting in _READ_OF_EVALUATOR.items()}
    unused = [str(key) for key in found if key not in _READ and key != "evaluator"]
    unused += [f"evaluator.{key}" for key in evaluator if key not in _READ_OF_EVALUATOR]
    try:
        settings = msgspec.convert({key: value for key, value in values.items() if value is not None}, Settings)
    except msgspec.ValidationError as error:
        raise UsageError(f"{name}: {error}", hint="objective, minimize, max_iterations, evaluator.timeout …") from error
    if not settings.objective or not 0 < settings.timeout_s <= 86400 or (settings.budget or 1) < 1:
        raise UsageError(f"{name}: objective, evaluator.timeout or max_iterations is out of range")
    return settings, tuple(unused)


def kind_of(source: bytes, settings: Settings, name: str = "the evaluator") -> Kind:
    """How an evaluator is called; read off its text, nothing runs.

    Raises:
        UsageError: It does not compile, or is no evaluator.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"{name} does not compile: {error}") from error
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    for node in tree.body:  # `evaluate = something` and `from x import evaluate` are as good
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    if settings.cascade and "evaluate_stage1" in names:
        return "cascade"
    if "evaluate" in names:
        return "function"
    if b"--program_path" in source and b"--results_dir" in source:
        return "command"
    raise UsageError(f"{name} has no evaluate(program_path)", hint="nor --program_path and --results_dir")


def reads_text(source: bytes) -> bool:
    """Whether an evaluator opens the program's file: then it gets the real text there, not only a module to import."""
    tree = ast.parse(source)
    paths = {"program_path"}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("evaluate"):
            paths |= {argument.arg for argument in node.args.args[:1]}
    return any(_opens(node, paths) for node in ast.walk(tree))


_OPENING = frozenset({"read_text", "read_bytes", "open", "copy", "copyfile"})


def _opens(node: ast.AST, paths: set[str]) -> bool:
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Attribute) and node.func.attr in _OPENING:
        within: Sequence[ast.AST] = [node]
    elif isinstance(node.func, ast.Name) and node.func.id == "open":
        within = node.args[:1]
    else:
        return False
    return any(isinstance(each, ast.Name) and each.id in paths for part in within for each in ast.walk(part))


def result_of(value: Any, objective: str = OBJECTIVE) -> Result:
    """What an evaluator returned, taken apart: finite numbers are metrics, everything else is an artifact.

    Of a great many only the first are kept, and the objective.
    """
    artifacts: Any = None
    if not isinstance(value, Mapping):
        metrics, artifacts = getattr(value, "metrics", None), getattr(value, "artifacts", None)
        if not isinstance(metrics, Mapping):
            what = "nothing" if value is None else f"a {type(value).__name__}"
            return Result(error=f"the evaluator returned {what}, not a dict or an object with metrics")
        value = metrics
    numbers_, texts = {}, {}
    for key, item in sorted(value.items(), key=lambda item: str(item[0]) != objective)[:METRICS]:
        if key == "artifacts" and isinstance(item, Mapping):
            artifacts = item
        elif (number := _number(item)) is not None:
            numbers_[str(key)] = number
        else:
            texts[str(key)] = _text(item)
    for key, item in list(artifacts.items())[:ARTIFACTS] if isinstance(artifacts, Mapping) else ():
        texts[str(key)] = _text(item)
    return Result(metrics=numbers_, artifacts=texts)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if (
        not isinstance(value, numbers.Real)
        and callable(getattr(value, "item", None))
        and getattr(value, "ndim", 1) == 0
    ):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value[:ARTIFACT_CHARS].decode("utf-8", "replace")
    if isinstance(value, str):
        return value[:ARTIFACT_CHARS]
    try:
        return json.dumps(value, default=str)[:ARTIFACT_CHARS]
    except (TypeError, ValueError, RecursionError):
        return str(type(value).__name__)


def score(result: Result, settings: Settings) -> tuple[float, str]:
    """The score, higher is better, and ""; or minus infinity and why there is none."""
    if result.error:
        return -math.inf, result.error
    name = settings.objective
    if name in result.metrics:
        value = result.metrics[name]
        return (-value if settings.smaller else value), ""
    if name in result.artifacts:
        return -math.inf, f"{name} is {result.artifacts[name][:60]!r}, which is no finite number"
    if not result.metrics:
        return -math.inf, f"the evaluator returned no {name}"
    others = sorted(result.metrics)
    why = "" if len(others) == 1 else " (their mean would mix unlike things)"
    return -math.inf, (
        f"the evaluator returned no {name}, but {', '.join(others[:6])}{why}; which one counts says "
        f"`objective: {others[0]}` in --config"
    )


def passes(result: Result, settings: Settings, stage: int) -> bool:
    """Whether the next stage of a cascade follows after `stage` (from 1): the objective reaches its threshold.

    Where a smaller objective is better it must not be above it. A stage that says one other thing instead (`runs: 1.0`)
    is judged by that.
    """
    if stage > len(settings.thresholds):
        return not result.error
    threshold = settings.thresholds[stage - 1]
    if not result.error and settings.objective not in result.metrics and len(result.metrics) == 1:
        return next(iter(result.metrics.values())) >= threshold  # a first look has a figure of its own
    value, problem = score(result, settings)
    return not problem and value >= (-threshold if settings.smaller else threshold)


def merged(before: Result, after: Result) -> Result:
    """Two stages of a cascade as one result; the later one counts."""
    return Result(
        metrics={**before.metrics, **after.metrics},
        artifacts={**before.artifacts, **after.artifacts},
        error=after.error,
    )


def results_folder(metrics: str | None, correct: str | None, objective: str = OBJECTIVE) -> Result:
    """What an evaluator of Shinka's form left: the texts of `metrics.json` and `correct.json`; None: no such file."""
    if metrics is None:
        return Result(error="the evaluator left no metrics.json")
    try:
        found = json.loads(metrics)
        verdict = json.loads(correct) if correct is not None else {"correct": True}
    except (ValueError, RecursionError) as error:
        return Result(error=f"metrics.json or correct.json is no JSON: {error}")
    if not isinstance(found, dict) or not isinstance(verdict, dict):
        return Result(error="metrics.json and correct.json must be objects")
    result = result_of(found, objective)
    if verdict.get("correct") is not True:
        said = str(verdict.get("error") or "correct.json says that it is not correct")
        return msgspec.structs.replace(result, error=said[:ARTIFACT_CHARS])
    return result
