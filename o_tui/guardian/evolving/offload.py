"""Slow work on sources, confined, in a process apart: parsing holds the interpreter's lock, our loop must not wait."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

from o_tui import _native
from o_tui.evolution import answers, candidates, risk
from o_tui.guardian.evolving import own_program
from o_tui.protocol.errors import OError

TIMEOUT_S = 60.0
_CPU_S = 50
_MEMORY_BYTES = 1024**3


def _propose(value: dict[str, Any]) -> dict[str, Any]:
    return candidates.propose_apart(value)


def _risk(value: dict[str, Any]) -> str:
    return risk.risk(value["before"], value["after"])


def _answer(value: dict[str, Any]) -> dict[str, str]:
    try:
        return {"source": answers.read(value["answer"], value["gene"], value["source"])}
    except answers.AnswerError as error:
        return {"wrong": str(error)}


JOBS: dict[str, Callable[[dict[str, Any]], Any]] = {"propose": _propose, "risk": _risk, "answer": _answer}
"""Pure functions of plain data."""


HERE_CHARS = 8 * 1024
"""Sources up to this size are compared at once: a millisecond or two."""


async def risk_of(before: str, after: str) -> str:
    """`risk.risk`, without holding up the loop. Raises OError."""
    if len(before) + len(after) <= HERE_CHARS:
        return await asyncio.to_thread(risk.risk, before, after)
    return str(await call("risk", {"before": before, "after": after}))


async def answer_of(answer: str, gene: str, source: str) -> str:
    """`answers.read`, without holding up the loop. Raises AnswerError, also where it took too long or too much."""
    if len(answer) + len(source) <= HERE_CHARS:
        return await asyncio.to_thread(answers.read, answer, gene, source)
    if len(answer) > answers.LIMIT_CHARS:
        return answers.read(answer, gene, source)  # it is refused by its length
    try:
        found = await call("answer", {"answer": answer, "gene": gene, "source": source})
    except OError as error:
        raise answers.AnswerError(f"it could not be read: {error}") from error
    if "wrong" in found:
        raise answers.AnswerError(found["wrong"])
    return str(found["source"])


async def call(job: str, value: dict[str, Any]) -> Any:
    """Does one of the `JOBS`.

    Raises:
        OError: It took too long, or the process ended otherwise; the message has its last line.
    """
    return await asyncio.to_thread(_run, job, value)


def _run(job: str, value: dict[str, Any]) -> Any:
    return json.loads(own_program.run(__name__, job, what=job, timeout_s=TIMEOUT_S, given=json.dumps(value).encode()))


def _import_operators(*, mixing: bool) -> None:
    """While files can still be read. What mixes two sources needs libcst, which takes longer than all the rest."""
    import o_tui.evolution.portfolio  # noqa: F401

    if mixing:
        import libcst

        libcst.parse_module("")  # its parser comes with the first text


def main() -> int:
    """The program: the job is the argument, its value comes on stdin as JSON, the result goes to stdout."""
    job = sys.argv[1]
    value = json.loads(sys.stdin.buffer.read())
    if job == "propose":
        _import_operators(mixing=len(value["archive"]) > 1)
    _native.confine("agent", memory_bytes=_MEMORY_BYTES, cpu_s=_CPU_S)
    json.dump(JOBS[job](value), sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
