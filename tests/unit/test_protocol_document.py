"""docs/PROTOCOL.md says what the declarations say."""

from __future__ import annotations

from o_tui.protocol import document, messages, operations


def test_the_page_is_up_to_date() -> None:
    assert document.TARGET.read_text(encoding="utf-8") == document.render(), "run python -m o_tui.protocol.document"


def test_every_message_has_a_direction() -> None:
    directed = {name for way in document.DIRECTIONS for name in way.types}
    assert directed == set(messages.TYPES)


def test_everything_is_in_it() -> None:
    page = document.render()
    for name, struct in (messages.TYPES | operations.TYPES).items():
        assert f"### `{name}`" in page
        assert struct.__doc__
        for field in struct.__struct_fields__:
            assert f"| `{field}` |" in page
