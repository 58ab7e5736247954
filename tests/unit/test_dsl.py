"""What genes import: small, complete, and its tools described by themselves."""

from __future__ import annotations

from typing import Literal

import pytest

from o_tui.agent import dsl, tools
from o_tui.agent.dsl import Context, Request, Step, Turn, tool


class NoState:
    def turns(self, session: str, n: int = 20) -> list[Turn]:
        own = Turn("r1.0", session, "user", "again", 2)
        return [Turn("r0.0", session, "user", "before", 1), own]


def context() -> Context:
    return Context(NoState(), request_id="r1", now_ns=7)  # type: ignore[arg-type]


def test_every_step_is_offered_and_handled() -> None:
    from o_tui.agent.steps import HANDLERS

    steps = {value for value in vars(dsl).values() if isinstance(value, type) and issubclass(value, Step)} - {Step}
    assert steps == set(HANDLERS)
    assert {step.__name__ for step in steps} <= set(dsl.__all__)


def test_everything_offered_is_there() -> None:
    assert all(hasattr(dsl, name) for name in dsl.__all__)


def test_a_request_does_not_see_its_own_turns() -> None:
    assert [turn.text for turn in context().turns] == ["before"]


def test_steps_and_requests_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Request("1", "x").text = "y"  # type: ignore[misc]


@tool
def example(text: str, how: Literal["up", "down"], context: Context, times: int = 2) -> str:
    """Does things
    to text.

    Args:
        text: What it is
        times: How often
    """
    return f"{text * times} {how} {context.now_ns}"


def test_a_tool_is_described_by_its_hints_and_docstring() -> None:
    spec = tools.Tool(example).spec
    assert (spec.name, spec.description) == ("example", "Does things to text.")
    properties = spec.parameters["properties"]
    assert properties["text"] == {"description": "What it is", "type": "string"}
    assert properties["how"] == {"enum": ["down", "up"]}
    assert properties["times"] == {"default": 2, "description": "How often", "type": "integer"}
    assert spec.parameters["required"] == ["text", "how"]
    assert "context" not in properties


def test_its_arguments_are_checked_and_its_context_filled_in() -> None:
    made = tools.Tool(example)
    assert made.call({"text": "x", "how": "up", "times": "3"}, context()) == "xxx up 7"
    for wrong in ({}, {"text": "x", "how": "left"}, {"text": "x", "how": "up", "more": 1}, {"text": 1, "how": "up"}):
        with pytest.raises(tools.ArgumentError, match="wrong arguments for example"):
            made.call(wrong, context())


def test_a_long_result_is_cut_and_says_so() -> None:
    text = tools.as_text("x" * (tools.RESULT_LIMIT_CHARS + 5))
    assert text.endswith("(5 more characters)")
