"""The review's decisions: approve, reject, later, roll back. Showing is `review.py`'s part."""

from __future__ import annotations

import hashlib
from typing import Any

from o_tui.protocol.errors import OError
from o_tui.ui.format import shown
from o_tui.ui.lists.row_list import Row
from o_tui.ui.panes.approval import ApprovalBar, Gate
from o_tui.ui.panes.base import Pane
from o_tui.ui.panes.review_lines import is_stale
from o_tui.ui.panes.shadows import outcome_word
from o_tui.ui.screens.confirm import ConfirmScreen
from o_tui.ui.screens.reject_reason import RejectScreen


class Deciding(Pane):
    """What an operator decides about the change that is shown (`_item`)."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()
        self._inside = False
        self._item: Row = {}
        self._said = ""
        self._asked = ("", "")
        self._evidence_seen = ""

    @property
    def bar(self) -> ApprovalBar:
        """Where the version is typed."""
        return self.query_one(ApprovalBar)

    def _draw(self) -> None:
        """Shows the item again."""
        raise NotImplementedError

    def _tell_decision(self) -> None:
        """Shows what was decided, or what can be."""
        raise NotImplementedError

    def refresh_genome(self) -> None:
        """Asks which revision is deployed: no notice says it."""

        def done(value: Any) -> None:
            if isinstance(value, dict) and isinstance(value.get("genome"), dict):
                self.model.status["genome"] = value["genome"]
                if self._item:
                    self._draw()

        self.ask("status", done)

    def _ask_deployed(self) -> None:
        """The status that the view has may be older than the last promotion: asked once a change and revision."""
        question = (str(self._item.get("id")), self._deployed())
        if question != self._asked:
            self._asked = question
            self.refresh_genome()

    def _deployed(self) -> str:
        return str((self.model.status.get("genome") or {}).get("revision") or "")

    def _version(self) -> str:
        return str(self._item.get("next_version") or self._item.get("id") or "")

    def action_approve(self) -> None:
        """Asks for the version, if the operator can have read what is shown."""
        problem = self._may_approve()
        if problem:
            self._said = problem
            self._tell_decision()
            return
        self._said = ""
        self._evidence_seen = str(self._item.get("evidence_sha256") or "")
        self.bar.ask(str(self._item["id"]), str(self._item["diff_sha256"]), self._version())

    def _may_approve(self) -> str:
        if self._item.get("state") != "pending":
            return "Nothing waits for approval here."
        if not self._inside or not self.gate.open:
            return "Too soon: look at it first, then press A."
        if is_stale(self._item, self._deployed()):
            return "Stale: other code is deployed than this was made from. Evolve it again, or R rejects it."
        shown_digest = hashlib.sha256(str(self._item.get("diff") or "").encode("utf-8", "surrogateescape")).hexdigest()
        if shown_digest != self._item.get("diff_sha256"):
            return "[!] What is shown is not what would be approved: the digests differ. Nothing can be approved."
        return ""

    def on_approval_bar_refused(self, message: ApprovalBar.Refused) -> None:
        """Nothing happened, and that is said."""
        message.stop()
        self._said = message.why
        self._tell_decision()

    def on_approval_bar_approved(self, message: ApprovalBar.Approved) -> None:
        """The one place from which an approval goes out."""
        message.stop()
        if message.identity != self._item.get("id") or message.digest != self._item.get("diff_sha256"):
            self._said = "Another change came up meanwhile: nothing was approved."
            self._tell_decision()
            return
        shown_was = {"id": message.identity, "digest": message.digest, "evidence": self._evidence_seen}
        self._decide(f"Approving {message.identity} ...", "approve", **shown_was)

    def action_reject(self) -> None:
        """Asks why, then rejects."""
        if self._item.get("state") != "pending":
            self.view.tell("Nothing waits for a decision here.")
            return
        identity = str(self._item["id"])

        def answered(reason: str | None) -> None:
            self.gate.close()
            if reason:
                self._decide(f"Rejecting {identity} ...", "reject", id=identity, reason=reason)

        self.app.push_screen(RejectScreen(identity, str(self._item.get("gene") or "")), answered)

    def action_later(self) -> None:
        """Leaves it, and goes to the next one that waits, or to the chat."""
        rows = [str(row["id"]) for row in self.model.pending]
        mine = str(self._item.get("id") or "")
        others = [identity for identity in rows if identity != mine]
        self.gate.close()
        if others and mine in rows:
            following = rows[(rows.index(mine) + 1) % len(rows)]
            self.show_item(following)
        else:
            self.view.frame.go("chat")
            if mine:
                self.view.tell(f"{shown(mine, 30)} waits. F4 brings you back to it.")

    def action_rollback(self) -> None:
        """Asks, then ends the canary, or goes back to the version before."""
        newest = {str(row.get("state")): row for row in self.model.evolutions.values()}
        last = newest.get("canary") or newest.get("promoted")
        if last is None:
            self.view.tell("No promotion is there to be rolled back.")
            return
        name, gene = shown(last["id"], 20), shown(last.get("gene"), 40)
        version = shown((self.model.status.get("genome") or {}).get("version") or last.get("version"), 20)
        if last["state"] == "canary":
            lines = [f"The canary of {name} ({gene}) ends; version {version} answers every request, as before."]
        else:
            lines = [
                f"Version {version} came with {name} ({gene}). The code goes back to what was before it.",
                "",
                "No request is lost: the older code is loaded beside the newer one and they are swapped between two "
                "requests. It becomes a new version; nothing is deleted from the genome's history.",
            ]

        def decided(word: str | None) -> None:
            self.gate.close()
            if word:
                self._decide("Rolling back ...", "rollback")

        self.app.push_screen(ConfirmScreen("Roll back?", lines, "rollback"), decided)

    def _decide(self, said: str, method: str, /, **params: Any) -> None:
        self._said = said
        self._tell_decision()
        self.run_worker(self._deciding(method, params), group="decision", exit_on_error=False)

    async def _deciding(self, method: str, params: dict[str, Any]) -> bool:
        """Asks the guardian and says what came of it; whether it agreed."""
        try:
            value = await self.call(method, **params)
        except OError as error:
            self._said = f"Refused: {error}" + (f" ({error.hint})" if error.hint else "")
            self.view.tell_error(error)
            self._tell_decision()
            return False
        self._said = ""
        self.refresh_genome()
        row = value if isinstance(value, dict) else {}
        if method == "rollback":
            self._said = f"Rolled back: v{shown(row.get('version'), 20)} runs."
        elif method == "evolution.accept_part":
            self._said = f"A part of it is tried as {shown(row.get('evolution'), 20)}."
        elif method == "evolution.edit":
            self._said = f"Your text is tried as {shown(row.get('evolution'), 20)}; this one waits until that does."
        elif method == "evolution.measure":
            self._said = f"{shown(row.get('evolution'), 20)} is measured again; it waits for you when that is done."
        elif row.get("id") == self._item.get("id"):
            self._item = {**self._item, **row}
        if self._item:
            self._draw()
        self.view.tell(self._said or outcome_word(row).capitalize() + ".")
        return True
