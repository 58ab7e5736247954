"""Programs: what may change of one is what stands between its markers, to the byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o_tui.programs import markers
from o_tui.protocol.errors import UsageError


@given(st.binary(max_size=60), st.binary(max_size=60), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_what_stands_outside_the_markers_stays(before: bytes, block: bytes, end: bytes) -> None:
    start, stop = b"# EVOLVE-BLOCK-START" + end, b"\t# EVOLVE-BLOCK-END" + end
    before = b"#" + before.replace(b"\n", b"").replace(b"\r", b"") + end
    program = before + start + b"x = 1" + end + stop + before
    parts = markers.split(program)
    assert parts == ((before + start, stop + before), (b"x = 1" + end,))
    candidate = parts.joined([b"y = " + repr(block).encode() + end])
    try:
        before.decode()
    except UnicodeDecodeError:
        assert markers.objection(parts, candidate)
        return
    if not markers.compiles(candidate.decode()):
        assert not markers.objection(parts, candidate)
    assert "outside" in markers.objection(parts, b"#" + candidate)
    assert markers.objection(parts, candidate + b"#")
    assert markers.objection(parts, parts.joined([start]))


@given(st.lists(st.sampled_from([b"x = 1\n", b"\r\n", b"# EVOLVE-BLOCK\r"]), min_size=1, max_size=4), st.data())
def test_what_stands_before_between_and_behind_several_blocks_stays(texts: list[bytes], data: st.DataObject) -> None:
    start, stop = b"  # EVOLVE-BLOCK-START: one\n", b"#EVOLVE-BLOCK-END"
    program = b"\n".join(text + start + text + stop for text in texts) + b"\n"
    parts = markers.read(program.replace(b"  #", b"#"))
    assert len(parts.blocks) == len(texts) == len(parts.outside) - 1
    assert parts.joined(parts.blocks) == program.replace(b"  #", b"#") and list(parts.blocks) == texts
    at = data.draw(st.integers(0, len(texts) - 1))
    changed = [*parts.blocks[:at], b"y = 2\n", *parts.blocks[at + 1 :]]
    assert not markers.objection(parts, parts.joined(changed))
    beside = parts.outside[at + 1].replace(b"END\n", b"END\ny = 2\n")
    outside = (*parts.outside[: at + 1], beside, *parts.outside[at + 2 :])
    assert "outside" in markers.objection(parts, markers.Parts(outside, parts.blocks).joined(changed))
    assert "outside" in markers.objection(
        parts, parts.joined([*parts.blocks[:at], stop + b"\n" + start, *changed[at + 1 :]])
    )


def test_half_a_block_is_refused_with_its_lines() -> None:
    with pytest.raises(UsageError, match="its markers: lines 2"):
        markers.read(b"x = 1\n# EVOLVE-BLOCK-START\n")
    for wrong in (b"SSEE", b"SEE", b"ES", b"SES"):
        text = b"".join(
            {ord("S"): b"# EVOLVE-BLOCK-START\n", ord("E"): b"# EVOLVE-BLOCK-END\n"}[each] for each in wrong
        )
        with pytest.raises(UsageError, match="its markers: lines 1, 2"):
            markers.read(text)
    with pytest.raises(UsageError, match="null bytes"):
        markers.read(b"# EVOLVE-BLOCK-START\nx = '\0'\n# EVOLVE-BLOCK-END\n")
    with pytest.raises(UsageError, match="not UTF-8 text: byte 1"):
        markers.read(b"#\xff\n")


def test_a_marker_may_stand_behind_a_byte_order_mark() -> None:
    program = b"\xef\xbb\xbf# EVOLVE-BLOCK-START\nA = 1\n# EVOLVE-BLOCK-END\n"
    parts = markers.read(program)
    assert parts.blocks == (b"A = 1\n",) and parts.joined(parts.blocks) == program
