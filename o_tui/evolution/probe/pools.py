"""The small pools that plain values come from, and arguments of what is often used of the standard library."""

from __future__ import annotations

from typing import Any

WORDS = ("red", "blue", "Apple", "cat", "the", "x1", "été", "straße", "42", "two", "ON", "well-known", "日本", "end")
FOREIGN_WORDS = (
    "cafe\u0301",
    "caf\u00e9",
    "stra\u00dfe",
    "STRASSE",
    "\u212bngstr\u00f6m",
    "\ufb01n",
    "\u0130zmir",
    "\u03a3\u03c2",
)
"""Writings that are the same after normalising or folding, and not before."""
NAMES = ("a", "b", "c", "d", "id", "key", "name", "token")
ODD = (
    "",
    " ",
    "  a  b ",
    "\n",
    "a\n\nb\n",
    "\t",
    "A.B",
    "a,b,,c",
    "a=1&b=2",
    "(a(b)c)",
    "x" * 30,
    "İi",
    "e\u0301",
    "😀",
    "a\r\nb",
)
ODD_MORE = (
    '"',
    '\\"',
    "'",
    "# h",
    "## two",
    "```",
    "{}",
    "[1, 2]",
    "1",
    "-1",
    "1.5",
    "0",
    "true",
    "null",
    "2024-02-29",
)
JOINTS = ("", " ", " ", "\n", ", ", ".", "-", "/", ":", "\n\n", ". ", "! ")
TIMES = (0.0, 1.0, 2.0, 5.0, 10.0, 59.0, 60.0, 61.0, 100.0, 1000.0, 3600.0, 86400.0)
REALS = (0.0, 0.5, 1.0, -1.0, 0.25, 2.0, 1.5, 10.0, 0.1, -0.5, 3.0, 100.0, 1e-9, 1e6)
OF_LIBRARIES: dict[str, tuple[tuple[Any, ...], ...]] = {
    "datetime": (
        (2024, 2, 29, 12, 30),
        (2024, 1, 1),
        (1999, 12, 31, 23, 59, 59),
        (2000, 1, 1, 0, 0, 1),
        (2026, 3, 29, 2, 30),
        (2026, 3, 31, 23, 30),
    ),
    "date": (
        (2024, 2, 29),
        (2024, 1, 1),
        (2024, 1, 31),
        (1999, 12, 31),
        (2000, 2, 29),
        (2026, 12, 28),
        (2026, 12, 31),
        (1900, 2, 28),
    ),
    "timezone": (
        (["new", "timedelta", [0], {}],),
        (["new", "timedelta", [0, 7200], {}],),
        (["new", "timedelta", [-1, 68400], {}],),
    ),
    "timedelta": ((0,), (1,), (0, 3600), (7, 1), (-1,)),
    "Fraction": ((1, 2), (0,), (3, 4), (-2, 3)),
    "Path": (("a/b.txt",), ("",), ("/x/../y",), ("a.tar.gz",)),
}
