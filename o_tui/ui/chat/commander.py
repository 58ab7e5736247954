"""Runs slash commands: each becomes a call to the guardian or an action of the view."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from o_tui.ui import format
from o_tui.ui.chat import commands

if TYPE_CHECKING:
    from o_tui.ui.panes.chat import ChatPane

GENES = ("respond", "recall", "remember")


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
        gene, _, what = rest.partition(" ")
        what = what.strip().removeprefix("--from ").strip()
        # the words of the command line are understood too: `--from FILE`, `--goal TEXT`
        named = what.startswith("--from ")
        what = what.removeprefix("--from ").removeprefix("--goal ").strip()
        if not gene or not what:
            self._usage("evolve")
            return
        params: dict[str, Any] = {"gene": gene, "source": "", "origin": "llm", "goal": what}
        first, _, more = what.partition(" ")
        if named or commands.looks_like_file(first, Path.cwd()):
            try:
                params |= {"source": commands.read_file(first, Path.cwd()), "origin": "file", "goal": more.strip()}
            except commands.FileUnusableError as problem:
                self._pane.view.tell(str(problem), "error")
                return

        def done(value: Any) -> None:
            self._pane.say_local(
                f"/evolve {rest}",
                f"Evolution **{value.get('evolution', '')}** of `{gene}` has begun. Shadows shows it at work; "
                "when it has been measured it waits in Review (F4).",
            )

        self._pane.ask("evolve", done, **params)

    def _rollback(self, rest: str) -> None:
        self._pane.ask("rollback", lambda _value: self._pane.view.tell("Rolled back."), revision=rest)

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
            self._pane.ask("kill", lambda _value: self._pane.view.tell(f"Killed {role}."), role=role)

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
            ago = f"{format.age_ns(when, now)} ago" if isinstance(when, int) and when else str(when)
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
        known = "\n".join(
            f"- {name}: {brain[name]}" for name in ("provider", "model", "ok", "detail", "key") if brain.get(name)
        )
        self._pane.say_local("/brain", known or "- provider: offline")

    def _theme(self, rest: str) -> None:
        if rest:
            self._pane.view.use_theme(rest, save=True)
        else:
            self._perform("app.theme")
