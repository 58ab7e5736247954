"""Runs slash commands: each becomes a call to the guardian or an action of the view."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from o_tui.ui import format
from o_tui.ui.chat import commands, evolve_words

if TYPE_CHECKING:
    from o_tui.ui.panes.chat import ChatPane

KILL_LOOK_S, KILL_LOOKS = 0.05, 200
"""How often it is asked whether the next main serves, and how many times."""
GENES = ("respond", "recall", "remember", "strategy")


class Commander:
    """The commands of one chat pane."""

    def __init__(self, pane: ChatPane) -> None:
        self._pane = pane

    def words(self) -> commands.Words:
        """What can be completed now."""
        pane = self._pane
        genes = dict.fromkeys(
            [*GENES, *(str(row.get("gene")) for row in pane.model.evolutions.values() if row.get("gene"))]
        )
        rows = [str(row["id"]) for row in pane.model.checkpoints if not row.get("deleted")]
        return commands.Words(genes, pane.view.theme_names(), rows, Path.cwd())

    def run(self, name: str, rest: str) -> None:
        """Runs one; an unknown name says what there is."""
        handler: Callable[[str], None] | None = getattr(self, f"_{name}", None) if name in commands.BY_NAME else None
        if handler is None:
            known = " ".join(f"/{command.name}" for command in commands.COMMANDS)
            self._pane.view.tell(f"There is no command /{name}.\n{known}", "error")
            return
        handler(rest)

    def _usage(self, name: str) -> None:
        command = commands.BY_NAME[name]
        self._pane.view.tell(f"/{name} {command.usage}\n{command.help}", "warning")

    def _perform(self, action_id: str) -> None:
        self._pane.app.call_later(self._pane.view.perform, action_id)

    def _help(self, rest: str) -> None:
        self._perform("app.help")

    def _settings(self, rest: str) -> None:
        self._perform("app.settings")

    def _quit(self, rest: str) -> None:
        self._perform("app.quit_view")

    def _retry(self, rest: str) -> None:
        self._pane.action_retry()

    def _copy(self, rest: str) -> None:
        self._pane.action_copy()

    def _evolve(self, rest: str) -> None:
        try:
            asked = evolve_words.read(rest, Path.cwd())
            source = commands.read_file(asked.file, Path.cwd()) if asked.file else ""
        except (evolve_words.OptionError, commands.FileUnusableError) as problem:
            self._pane.view.tell(str(problem), "error")
            return
        if not asked.gene:
            self._usage("evolve")
            return
        origin = "file" if asked.file else "auto"
        params = {"gene": asked.gene, "source": source, "origin": origin, "goal": asked.goal} | asked.params

        def done(value: Any) -> None:
            turn = self._pane.say_local(
                f"/evolve {rest}",
                f"Evolution **{value.get('evolution', '')}** of `{asked.gene}` has begun. Shadows shows it at work; "
                "what may be better waits in Review (F4).",
            )
            self._pane.await_outcome(str(value.get("evolution", "")), turn)

        self._pane.ask("evolve", done, **params)

    def _good(self, rest: str) -> None:
        self._judge("good", rest)

    def _bad(self, rest: str) -> None:
        self._judge("bad", rest)

    def _judge(self, verdict: str, text: str) -> None:
        done = f"Noted: the last answer was {verdict}."
        self._pane.ask("feedback", lambda _value: self._pane.view.tell(done), verdict=verdict, text=text)

    def _hold(self, rest: str) -> None:
        done = "Held: no change is tried or deployed until /release."
        self._pane.ask("hold", lambda _value: self._pane.view.tell(done), reason=rest)

    def _release(self, rest: str) -> None:
        self._pane.ask("release", lambda _value: self._pane.view.tell("Released: changes may be tried again."))

    def _rollback(self, rest: str) -> None:
        self._pane.ask("rollback", lambda value: self._pane.view.tell(self.rolled_back(value)), revision=rest)

    def rolled_back(self, value: Any) -> str:
        """Whose files run again, and as which version: a rollback is a new one."""
        row = value if isinstance(value, dict) else {}
        target = str(row.get("to") or "")
        rows = self._pane.model.evolutions.values()
        older = next((found.get("version") for found in rows if target and found.get("revision") == target), "")
        name = f"v{format.shown(older, 20)}" if older else format.short(format.shown(target), 7)
        now = format.shown(row.get("version"), 20)
        return f"Rolled back to {name if target else 'the version before'}" + (f": it is v{now} now." if now else ".")

    def _checkpoint(self, rest: str) -> None:
        def done(value: Any) -> None:
            self._pane.view.tell(f"Checkpoint {(value or {}).get('id', '')} written.")

        self._pane.ask("checkpoint.create", done, reason=rest or "by the operator")

    def _restore(self, rest: str) -> None:
        identity, _, word = rest.partition(" ")
        if not identity:
            self._usage("restore")
        elif word != "yes":
            self._pane.view.tell(
                f"Restoring {identity} replaces the agent's state by the one of then.\nType /restore {identity} yes",
                "warning",
            )
        else:
            done = f"Restored {identity}."
            self._pane.ask("checkpoint.restore", lambda _value: self._pane.view.tell(done), id=identity)

    def _kill(self, rest: str) -> None:
        role, _, word = rest.partition(" ")
        if role not in commands.ROLES:
            self._usage("kill")
        elif word != "yes":
            self._pane.view.tell(f"This kills the process {role}, as a drill.\nType /kill {role} yes", "warning")
        else:
            self._pane.run_worker(self._killing(role), exit_on_error=False)

    async def _killing(self, role: str) -> None:
        """Kills, and tells when the next main serves. The figure is the guardian's own, so it is asked for."""
        before = await self._pane.call("status")
        value = await self._pane.call("kill", role=role)
        pid = (value or {}).get("pid")
        if role != "main":
            self._pane.view.tell(f"Killed {role}" + (f" (pid {pid})." if pid else ".") + " It is started again.")
            return
        for _ in range(KILL_LOOKS):
            await asyncio.sleep(KILL_LOOK_S)
            status = await self._pane.call("status")
            if status.get("recovery_ms") and status.get("recovery_ms") != before.get("recovery_ms"):
                after = format.milliseconds(float(status["recovery_ms"]))
                self._pane.view.tell(f"Killed main: back after {after}.")
                return
        self._pane.view.tell("Killed main. It is not back yet: the events (5) say why.", "warning")

    def _memory(self, rest: str) -> None:
        verb, _, text = rest.partition(" ")
        text = text.strip()
        if verb == "list":
            self._pane.ask("memory.list", lambda value: self._blocks(rest, value), limit=20)
        elif verb == "search" and text:
            self._pane.ask("memory.search", lambda value: self._blocks(rest, value), text=text, k=8)
        elif verb == "add" and text:
            self._pane.ask("memory.add", lambda _value: self._pane.view.tell("Noted."), text=text)
        else:
            self._usage("memory")

    def _blocks(self, rest: str, value: Any) -> None:
        rows = value if isinstance(value, list) else (value or {}).get("results") or (value or {}).get("blocks") or []
        now = self._pane.view.now_ns()
        lines = []
        for row in rows:
            when = row.get("time_ns") or row.get("time") or 0
            ago = format.ago_ns(when, now) if isinstance(when, int) and when else str(when)
            text = str(row.get("text", "")).replace("\n", " ")[:300]
            lines.append(f"- {text}  *{row.get('source', '')}, {ago}*")
        self._pane.say_local(f"/memory {rest}", "\n".join(lines) or "Nothing is remembered about that.")

    def _brain(self, rest: str) -> None:
        if rest:
            provider, model, url = [*rest.split(), "", ""][:3]
            done = f"The brain is {model or provider} now."
            self._pane.ask(
                "brain.set", lambda _value: self._pane.view.tell(done), provider=provider, model=model, base_url=url
            )
            return
        brain = self._pane.model.brain
        facts = {name: format.shown(brain.get(name), 200) for name in ("provider", "model", "key")}
        if brain.get("provider") not in (None, "", "offline"):
            detail = format.shown(brain.get("detail"), 200)
            facts["state"] = "ready" if brain.get("ok") else detail or "not ready"
        facts["used"] = usage(self._pane.model.status.get("usage"))
        known = "\n".join(f"- {name}: {value}" for name, value in facts.items() if value)
        self._pane.say_local("/brain", known or "- provider: offline")

    def _theme(self, rest: str) -> None:
        if rest:
            self._pane.view.use_theme(rest, save=True)
        else:
            self._perform("app.theme")


def usage(found: Any) -> str:
    """What the model was used for since the start; empty: not at all."""
    if not isinstance(found, dict) or not found.get("calls"):
        return ""
    read, written = (format.count(int(found.get(name) or 0)) for name in ("input_tokens", "output_tokens"))
    return f"{format.count(int(found['calls']))} calls, {read} tokens in, {written} out"
