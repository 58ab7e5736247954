"""The genome's version: three numbers in `genome.toml`. A changed gene raises the second, a rollback the third."""

from __future__ import annotations

import re
import tomllib
from typing import Literal

from o_tui.protocol.errors import CorruptError

GENOME_FILE = "genome.toml"
_VERSION = re.compile(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})")
_LINE = re.compile(r"(?m)^(?P<head>[ \t]*version[ \t]*=[ \t]*)(?P<quote>[\"'])(?P<version>[^\"'\n]*)(?P=quote)")


def bump(version: str, part: Literal["minor", "patch"]) -> str:
    """The next version.

    Raises:
        CorruptError: `version` is not three numbers.
    """
    match = _VERSION.fullmatch(version)
    if match is None:
        raise CorruptError(f"the genome's version {version[:40]!r} is not three numbers like 0.1.0")
    major, minor, patch = (int(number) for number in match.groups())
    return f"{major}.{minor + 1}.0" if part == "minor" else f"{major}.{minor}.{patch + 1}"


def read(text: str) -> str:
    """The version that a `genome.toml` names.

    Raises:
        CorruptError: It is not TOML, or names no version of three numbers on a line of its own.
    """
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CorruptError(f"{GENOME_FILE} is not TOML: {error}") from error
    match = _LINE.search(text)
    if match is None or _VERSION.fullmatch(match["version"]) is None:
        raise CorruptError(f'{GENOME_FILE} has no line like version = "0.1.0"')
    return match["version"]


def write(text: str, version: str) -> str:
    """The same `genome.toml` with another version; everything else stays to the byte."""
    read(text)
    return _LINE.sub(lambda match: f"{match['head']}{match['quote']}{version}{match['quote']}", text, count=1)
