"""What runs in a process apart, confined: real processes, real operators."""

from __future__ import annotations

from o_tui.guardian.evolving import offload

ONE = "def first(a):\n    return a + 1\n\n\ndef second(a):\n    return a + 2\n\n\ndef third(a):\n    return a + 3\n"
TWO = "def first(a):\n    return a - 1\n\n\ndef second(a):\n    return a - 2\n\n\ndef third(a):\n    return a * 3\n"


async def test_functions_of_two_sources_are_mixed_under_confinement() -> None:
    """Files cannot be read any more when it is found out which operator needs what."""
    archive = [["one", ONE, 1.0, "", ""], ["two", TWO, 2.0, "", ""]]
    asked = {"seed": 1, "state": None, "learned": [], "archive": archive, "count": 40, "several": True}
    made = await offload.call("propose", asked)
    mixed = [each["detail"] for each in made["proposals"] if each["operator"] == "crossover"]
    assert any("() from the other" in detail for detail in mixed), made["proposals"]
