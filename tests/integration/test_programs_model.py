"""`o-tui evolve PROGRAM EVALUATOR --llm`: the guardian's model, behind the broker, writes candidates too."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from o_tui import client
from o_tui.config import BrainConfig, Config, HealthConfig
from o_tui.paths import Paths
from tests.support.fake_llm import answer, fake_server
from tests.support.guardians import running, until
from tests.support.patience import PATIENCE_S
from tests.support.user_programs import files

pytest.importorskip("pydantic_ai", reason="the optional extra llm is not installed")
BLOCK = "```python\nA = 1.25\nB = -0.75\n\n\ndef score():\n    return 5e300\n```"


async def evolve(paths: Paths, *words: str) -> tuple[int, list[dict[str, Any]], str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "o_tui.cli.main", "evolve", *words, "--data-dir", str(paths.data), "--json",
        stdout=-1, stderr=-1,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    return process.returncode or 0, [json.loads(line) for line in out.splitlines()], err.decode()


async def test_a_model_writes_candidates_and_is_told_what_failed(
    folder: Path, workspace: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("O_TUI_API_KEY", "sk-test-0123456789abcdefghijklmnop")
    program, evaluator = map(str, files(folder / "p"))
    async with fake_server() as server:
        server.say(answer("I would rather talk."), answer(BLOCK))
        brain = BrainConfig(provider="openai", model="fake-1", base_url=f"{server.url}/v1", timeout_s=PATIENCE_S)
        settings = Config(health=HealthConfig(max_restarts=1_000_000), brain=brain)
        async with running(workspace, settings) as guardian:
            await until(lambda: guardian.effects.row()["ok"])
            code, events, said = await evolve(workspace, program, evaluator, "--budget", "60", "--llm", "openai:fake-1")
            assert code == 0, said
            by_model = [event for event in events if event.get("operator") == "llm openai:fake-1"]
            assert len(by_model) == 1 and by_model[0]["score"] == 5e300
            assert events[-1]["best"]["claimed"] >= 5e300 and events[-1]["evaluations"] == 60
            assert "the model's answer was no candidate: there is no code in it" in said
            assert "there is no code in it" in server.requests[1].body.decode()
            assert "it was tried before" in said or "it changes nothing" in said  # by what the search holds by then
            code, _, said = await evolve(workspace, program, evaluator, "--llm", "openai:other")
            assert code == 2 and "the model is openai:fake-1, not openai:other" in said


async def test_a_guardian_is_started_for_the_model_and_ends_with_the_command(
    folder: Path, workspace: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("O_TUI_API_KEY", "sk-test-0123456789abcdefghijklmnop")
    program, evaluator = map(str, files(folder / "p"))
    workspace.prepare()
    async with fake_server() as server:
        server.say(answer(BLOCK))
        workspace.config_file.write_text(
            f'[brain]\nprovider = "openai"\nmodel = "fake-1"\nbase_url = "{server.url}/v1"\n', "utf-8"
        )
        code, events, said = await evolve(workspace, program, evaluator, "--budget", "60", "--llm", "openai:fake-1")
        assert code == 0 and "one is started for this command" in said
        assert events[-1]["best"]["claimed"] >= 5e300
        assert "llm openai:fake-1" in [event.get("operator") for event in events]
        assert client.holder(workspace) is None
