"""An instance cannot approve, whatever it sends: it has no verb for it, and a view's verbs are not heard from it."""

from __future__ import annotations

import itertools
import sqlite3

from o_tui.protocol import frames, messages
from tests.faults.test_hostile_frames import HELLO, Target, target, until_no_senders
from tests.support import fuzz
from tests.support.guardian_process import ROOT, Link

__all__ = ["target"]
FUZZED = 300


def forged(identity: str, digest: str) -> list[bytes]:
    """Calls that a view could make."""
    asked = {"id": identity, "digest": digest}
    calls = [
        messages.Call(id=1, method="approve", params=asked),
        messages.Call(id=2, method="approve", params=asked | {"evidence_sha256": ""}),
        messages.Call(id=3, method="evolution.accept_part", params=asked | {"keep": []}),
        messages.Call(id=4, method="config.set", params={"key": "evolution.policy", "value": "auto"}),
        messages.Call(id=5, method="rollback", params={"revision": ""}),
    ]
    return [frames.encode(call) for call in calls]


async def test_an_instance_that_sends_anything_whatever_approves_nothing(target: Target) -> None:
    link = await Link.connect(target.paths)
    try:
        source = (ROOT / "data" / "genome" / "recall.py").read_text() + "\n# another version\n"
        begun = await link.call("evolve", gene="recall", source=source)
        row = await link.call("evolution.wait", id=begun["evolution"])
        assert row["state"] == "pending", row["reason"]
        for call in forged(row["id"], row["diff_sha256"]):
            target.instance([call])
            target.instance([HELLO, call])
        for batch in itertools.islice(fuzz.connections(fuzz.fuzzed(7, FUZZED), "instance"), FUZZED):
            target.instance(batch)
        await until_no_senders(target)
        assert (await link.call("evolution.show", id=row["id"]))["state"] == "pending"
        with sqlite3.connect(f"file:{target.paths.database}?mode=ro", uri=True) as rows:
            assert rows.execute("SELECT count(*) FROM approvals").fetchone() == (0,)
    finally:
        await link.close()
