"""The review's second tries: the candidate edited in the operator's editor, and another shadow run of it.

An edited text is code that no shadow has run, so it is never deployed from here: it becomes a candidate of its own.
"""

from __future__ import annotations

import os

from textual.app import SuspendNotSupported

from o_tui.protocol.contracts import path_of
from o_tui.protocol.errors import OError
from o_tui.ui.actions import Action
from o_tui.ui.format import shown
from o_tui.ui.panes.marking import Marking
from o_tui.ui.terminal import editor
from o_tui.ui.terminal.driver import SafeDriver

ACTIONS = (
    Action("review.edit", ("e",), "Edit", "Edit the candidate in $EDITOR; it becomes a change of its own.", 45),
    Action("review.measure", ("T",), "Shadow again", "Ask for another shadow run of this change.", 46),
)


class Editing(Marking):
    """Another text, or another measurement, of the change that is shown."""

    def __init__(self) -> None:
        super().__init__()
        self._refused_text: tuple[str, str] = ("", "")

    def action_edit(self) -> None:
        """Edits the candidate's text; what comes back is tried anew."""
        if self._item.get("state") != "pending":
            self.view.tell("Only a change that waits for you can be edited.")
            return
        try:
            words = editor.command(os.environ)
        except OError as error:
            self._say(f"{error}: {error.hint}")
            return
        self.run_worker(self._edit(words), exclusive=True, group="edit", exit_on_error=False)

    async def _edit(self, words: list[str]) -> None:
        row = self._item
        identity, digest, path = str(row["id"]), str(row["diff_sha256"]), path_of(str(row["gene"]))
        value = await self.call("genome.show", revision=row["revision"], path=path)
        text = str(value["text"])
        kept_of, kept = self._refused_text
        try:
            edited = self._in_editor(words, kept if kept_of == digest else text, path)
        except OError as error:
            self._say(str(error))
            return
        finally:
            self.gate.close()  # keys that were typed blindly decide nothing
        if edited == text:
            self._refused_text = ("", "")
            self._say("Nothing was changed.")
            return
        self._refused_text = (digest, edited)
        if await self._deciding("evolution.edit", {"id": identity, "digest": digest, "text": edited}):
            self._refused_text = ("", "")

    def _in_editor(self, words: list[str], text: str, path: str) -> str:
        """The screen is the editor's meanwhile: the view draws and hears nothing, the guardian goes on."""
        terminal = SafeDriver.output_fd if isinstance(self.app._driver, SafeDriver) else None
        try:
            with self.app.suspend():
                try:
                    return editor.edit(words, text, path, terminal)
                except OError as error:
                    failed = error  # raised inside, it would leave the terminal without its modes
        except SuspendNotSupported as error:
            raise OError("this terminal cannot be lent to an editor") from error
        raise failed

    def action_measure(self) -> None:
        """Asks the guardian to measure this change once more."""
        if self._item.get("state") != "pending":
            self.view.tell("Only a change that waits for you can be measured again.")
            return
        identity, digest = str(self._item["id"]), str(self._item["diff_sha256"])
        said = f"Asking for another shadow run of {shown(identity, 20)} ..."
        self._decide(said, "evolution.measure", id=identity, digest=digest)

    def _say(self, text: str) -> None:
        self._said = text
        self._tell_decision()
