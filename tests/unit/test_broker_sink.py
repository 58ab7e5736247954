"""What goes out of an answer: parts that fit a frame, whole characters, plain arguments."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_tui.broker.calls import CallError, convert
from o_tui.broker.llm.sink import ANSWER_BYTES, DELTA_BYTES, OverlongError, Sink
from o_tui.broker.llm.types import ChatRequest, parse_arguments
from o_tui.broker.redact import Redactor
from o_tui.protocol import frames, messages


async def pour(*parts: str, limit_bytes: int = ANSWER_BYTES) -> tuple[list[str], str]:
    sent: list[str] = []

    async def send(text: str) -> None:
        sent.append(text)

    sink = Sink(send, Redactor().stream(), limit_bytes)
    for part in parts:
        await sink.feed(part)
    await sink.finish()
    return sent, sink.text


async def test_a_large_part_is_split_below_the_limit() -> None:
    text = "ä€𝄞" * 60_000
    sent, kept = await pour(text)
    assert "".join(sent) == text == kept
    assert all(len(part.encode()) <= DELTA_BYTES for part in sent)


async def test_halves_of_a_character_are_joined_across_parts() -> None:
    sent, _ = await pour("a\ud83d", "\ude00b")
    assert "".join(sent) == "a😀b"


async def test_a_half_that_stays_alone_is_replaced() -> None:
    sent, _ = await pour("a\ude00", "b\ud83d")
    assert "".join(sent) == "a\ufffdb\ufffd"
    "".join(sent).encode()


async def test_an_endless_answer_is_stopped_where_its_limit_is_and_what_fits_has_been_sent() -> None:
    sent: list[str] = []

    async def send(text: str) -> None:
        sent.append(text)

    sink = Sink(send, Redactor().stream(), 10)
    await sink.feed("ä" * 4)
    with pytest.raises(OverlongError, match="longer than 10 bytes") as caught:
        await sink.feed("a€€\ud83d")  # the second euro would be bytes 12 to 14
    assert caught.value.kind == "cut"
    await sink.finish(" cut")
    assert "".join(sent) == sink.text == "ääääa cut"


async def test_an_answer_that_just_fits_is_whole() -> None:
    assert (await pour("xy", "z" * 8, "", limit_bytes=10))[1] == "xy" + "z" * 8


def test_arguments_are_read_in_every_form() -> None:
    assert parse_arguments('{"a": [1, 2.5, null]}') == ({"a": [1, 2.5, None]}, "")
    assert parse_arguments({"a": 1}) == ({"a": 1}, "")
    assert parse_arguments("") == ({}, "")
    assert parse_arguments(None) == ({}, "")


@pytest.mark.parametrize(
    "raw",
    ['{"a": ', "[1]", "3", '{"a": NaN}', '{"a": 1e999}', '{"a": 99999999999999999999}', '{"a": "\\ud800"}'],
)
def test_arguments_that_no_frame_takes_are_marked(raw: str) -> None:
    arguments, invalid = parse_arguments(raw)
    assert arguments == {}
    assert invalid


def test_deep_arguments_are_marked_not_followed() -> None:
    assert parse_arguments('{"a":' * 20 + "1" + "}" * 20)[1]
    assert parse_arguments('{"a":' * 200_000 + "1")[1]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


@given(value=st.dictionaries(st.text(), json_values, max_size=4))
def test_whatever_passes_goes_into_a_frame_and_out(value: dict[str, object]) -> None:
    arguments, _ = parse_arguments(json.dumps(value))
    reply = messages.BrokerReply(call_id="c", state="done", data={"tool_calls": [{"arguments": arguments}]})
    frame = frames.decode(frames.encode(reply)[4:])
    assert frame.data.data["tool_calls"][0]["arguments"] == arguments


def test_messages_are_checked() -> None:
    request = convert(
        {
            "messages": [
                {"role": "user", "content": "x"},
                {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "name": "t", "arguments": {"a": 1}}]},
                {"role": "tool", "content": "y", "tool_call_id": "1"},
                {"role": "assistant", "tool_calls": [{"id": "2", "type": "function", "function": {"name": "u"}}]},
            ]
        },
        ChatRequest,
    )
    assert request.messages[3].tool_calls[0].name == "u"
    for wrong in (
        {},
        {"messages": []},
        {"messages": [{"role": "king", "content": "x"}]},
        {"messages": [{"role": "user", "content": 3}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}]},
        {"messages": [{"role": "user"}], "max_tokens": 0},
    ):
        with pytest.raises(CallError) as caught:
            convert(wrong, ChatRequest)
        assert caught.value.kind == "arguments"
    assert msgspec.to_builtins(request)
