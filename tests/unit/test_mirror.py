from __future__ import annotations

import errno
import os
import time
from itertools import pairwise
from pathlib import Path

import pytest

from o_tui.guardian.storage.chainwork import known_digests, mirrored, prove
from o_tui.guardian.storage.head import Head, HeadFile
from o_tui.guardian.storage.mirror import Mirror, read_segment, segment_paths
from o_tui.guardian.storage.row_mirror import RowMirror, read_rows, row_paths
from o_tui.protocol.operations import GENESIS, Entry, chain, pack_entry


def entries(count: int) -> list[bytes]:
    return [pack_entry(Entry(seq, 1, 1, "r", 0, "turn_add", bytes(20))) for seq in range(1, count + 1)]


def fill(folder: Path, count: int, segment_bytes: int) -> list[bytes]:
    made = entries(count)
    mirror = Mirror(folder, 0, GENESIS, segment_bytes=segment_bytes)
    digest = GENESIS
    for entry in made:
        digest = chain(digest, entry)
        mirror.append([entry], digest)
    mirror.close()
    return made


def test_segments_have_the_form_of_the_seeds_and_verify_by_themselves(folder: Path) -> None:
    made = fill(folder, 10, 120)
    paths = segment_paths(folder)
    assert len(paths) > 2
    first = paths[0].read_bytes()
    assert int.from_bytes(first[:4], "big") == len(made[0])
    assert first[4 : 4 + len(made[0])] == made[0]
    known = known_digests(folder)
    for path, following in pairwise(paths):
        segment = read_segment(path)
        assert not segment.damaged
        assert segment.digest() == known[segment.last_seq] == read_segment(following).previous
    assert [entry for _seq, entry in mirrored(folder)] == made
    assert [seq for seq, _entry in mirrored(folder, 6)] == [6, 7, 8, 9, 10]


def test_a_segment_that_is_cut_off_gives_what_is_whole(folder: Path) -> None:
    made = fill(folder, 5, 1 << 20)
    (path,) = segment_paths(folder)
    path.write_bytes(path.read_bytes()[:-3])
    segment = read_segment(path)
    assert segment.damaged
    assert segment.entries == made[:4]


def test_entries_are_proven_only_up_to_a_digest_that_is_known_from_elsewhere() -> None:
    made = entries(6)
    digests = [GENESIS]
    for entry in made:
        digests.append(chain(digests[-1], entry))
    numbered = dict(enumerate(made, 1))
    run, proven = prove(numbered, 0, GENESIS, {4: digests[4]})
    assert (len(run), proven) == (6, 4)
    numbered[3] = numbered[3][:-1] + b"\x01"
    assert prove(numbered, 0, GENESIS, {4: digests[4], 2: digests[2]})[1] == 2
    del numbered[1]
    assert prove(numbered, 0, GENESIS, {4: digests[4]}) == ([], 0)


def test_the_mirror_is_compacted_by_whole_segments(folder: Path) -> None:
    fill(folder, 10, 120)
    first_seqs = [read_segment(path).first_seq for path in segment_paths(folder)]
    mirror = Mirror(folder, 10, GENESIS)
    mirror.compact(first_seqs[2] - 2)
    assert [read_segment(path).first_seq for path in segment_paths(folder)] == first_seqs[1:]
    mirror.compact(1_000)
    assert len(segment_paths(folder)) == 1


@pytest.mark.parametrize("bit", range(0, 256 * 8, 37))
def test_a_damaged_slot_of_the_head_is_noticed_and_the_other_one_is_used(folder: Path, bit: int) -> None:
    file = HeadFile(folder / "head")
    assert file.read() == (None, False)
    heads = [Head(n, 1, n, n * 10, bytes([n]) * 32, 5) for n in (1, 2)]
    for head in heads:
        file.write(head)
    assert file.read() == (heads[1], False)
    raw = bytearray((folder / "head").read_bytes())
    raw[bit // 8] ^= 1 << bit % 8
    (folder / "head").write_bytes(raw)
    found, damaged = file.read()
    assert damaged
    assert found in heads
    file.write_both(heads[1])
    assert not file.read()[1]
    file.close()


def test_rows_come_back_up_to_the_damage(folder: Path) -> None:
    rows = RowMirror(folder)
    rows.add(1, "events", [1, "a", b"b", 1.5])
    rows.flush()
    rows.add(2, "events", [2])
    mark = rows.mark()
    rows.add(2, "events", [3])
    rows.back_to(mark)
    rows.flush()
    rows.add(3, "events", [4])
    rows.forget()
    rows.flush()
    rows.close()
    (path,) = row_paths(folder)
    assert list(read_rows(path)) == [(1, "events", [1, "a", b"b", 1.5]), (2, "events", [2])]
    path.write_bytes(path.read_bytes()[:-1])
    assert list(read_rows(path)) == [(1, "events", [1, "a", b"b", 1.5]), None]


def test_rows_that_are_durable_wait_for_a_disk_that_takes_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = RowMirror(folder)

    def full(_fd: int, _raw: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    rows.add(1, "events", [1])
    rows.settle()
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            rows.flush()
    rows.add(2, "events", [2])
    rows.forget()  # that transaction was taken back, the one before was not
    rows.flush()
    rows.add(3, "events", [3])
    rows.forget()
    rows.add(4, "events", [4])
    rows.flush()
    rows.close()
    (path,) = row_paths(folder)
    assert list(read_rows(path)) == [(1, "events", [1]), (4, "events", [4])]


def test_a_clock_that_goes_back_does_not_cost_the_newest_rows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = RowMirror(folder, segment_bytes=1)
    now_ns = time.time_ns()
    for number in range(20):
        monkeypatch.setattr(time, "time_ns", lambda at=now_ns - number * 10**12: at)
        rows.add(number, "events", [number])
        rows.flush()
    rows.close()
    kept = [record for path in row_paths(folder) for record in read_rows(path)]
    assert kept == [(number, "events", [number]) for number in range(12, 20)]
