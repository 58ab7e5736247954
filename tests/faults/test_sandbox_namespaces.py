"""The root of its own that a confined process gets: links in what it may read, and a root that cannot be built."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE_S

CONFINED = """
import os, sys
from o_tui import _native
from o_tui.agent import confinement
work, *read = sys.argv[1:]
readable = [*confinement.readable(), *read]
print(_native.confine("tool", read=readable, write=[work], memory_bytes=1 << 30, file_bytes=1 << 20), flush=True)
os.chdir(work)
open("made", "w").write("here")
for path in read:
    print(sorted(os.listdir(path)), flush=True)
"""


@pytest.fixture
def work(folder: Path) -> Path:
    """Where it may write, also as whoever root becomes."""
    folder.chmod(0o711)
    place = folder / "work"
    place.mkdir()
    place.chmod(0o777)
    return place


def confined(work: Path, *read: Path) -> list[str]:
    """The tier, and what is in each folder that may be read."""
    command = [sys.executable, "-c", CONFINED, work, *read]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (work / "made").read_text() == "here"
    return done.stdout.splitlines()


def test_a_folder_behind_a_link_in_another_one_may_be_read(folder: Path, work: Path) -> None:
    (folder / "there" / "inner").mkdir(parents=True)
    (folder / "there" / "inner" / "file").touch()
    (folder / "tree").mkdir()
    (folder / "tree" / "link").symlink_to("../there")
    (tier,) = confined(work)
    assert confined(work, folder / "tree", folder / "tree" / "link" / "inner") == [tier, "['link']", "['file']"]


def test_where_its_root_cannot_be_built_it_goes_on_without(folder: Path, work: Path) -> None:
    deep = folder.joinpath(*["d"] * 600)  # more folders than that root has room for
    deep.mkdir(parents=True)
    assert confined(work, deep) == ["B", "[]"]
