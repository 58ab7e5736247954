"""The guardian's public API: what views and commands may call. Plain data in, plain data out."""

from __future__ import annotations

import asyncio
import functools
import getpass
import importlib
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from o_tui.guardian.configuring import Configuring
from o_tui.guardian.core import Guardian
from o_tui.guardian.evolving.evolutions import Evolutions
from o_tui.guardian.evolving.feedback import Feedback
from o_tui.guardian.evolving.seams import Operator
from o_tui.guardian.remembering import PREFIX, Remembering
from o_tui.guardian.storage.violations import DISTINCT
from o_tui.guardian.ticket import Ticket
from o_tui.protocol.errors import NotFoundError, UsageError
from o_tui.protocol.messages import SAY_LIMIT_BYTES
from o_tui.protocol.refusals import Refusal

Method = Callable[..., Awaitable[Any]]
LIST_LIMIT = 1_000
PAGE_BYTES = 1 << 20
"""Texts and answers of one page: it is packed in one piece, and packing more would keep the loop waiting."""
NAME_CHARS = 120
"""Of a program's name, in a row."""
_COUNTS = frozenset({"limit", "n", "k"})


class Api:
    """The methods by name; `acting` are those that a viewer may not call."""

    def __init__(self, guardian: Guardian, evolutions: Evolutions) -> None:
        self._guardian = guardian
        self._evolutions = evolutions
        self._stores = guardian.stores
        self._configuring = Configuring(guardian, evolutions)
        self._remembering = Remembering(guardian.dispatch)
        self._feedback = Feedback(
            guardian.stores.learning, guardian.stores.journal, lambda: guardian.fleet.code.revision, guardian.feedback
        )
        reading, acting = self._reading(), self._acting()
        self.methods: Mapping[str, Method] = {name: _bounded(method) for name, method in (reading | acting).items()}
        self.acting = frozenset(acting)

    def _reading(self) -> dict[str, Method]:
        evolutions = self._evolutions
        return {
            "status": self.status,
            "tree": self.tree,
            "requests.list": self.requests_list,
            "events.list": self.events_list,
            "checkpoint.list": self.checkpoint_list,
            "checkpoint.show": self._stores.vault.show,
            "checkpoint.compare": self._stores.vault.compare,
            "checkpoint.verify": self._stores.vault.verify,
            "wal.tail": self.wal_tail,
            "wal.verify": self._stores.wal.verify,
            "memory.search": self._remembering.search,
            "memory.list": self._remembering.list,
            "pending": evolutions.reports.pending,
            "history": evolutions.reports.history,
            "evolution.show": self.evolution_show,
            "violations.list": self.violations_list,
            "evolution.wait": evolutions.reports.wait,
            "evolution.statistics": evolutions.reports.statistics,
            "intents.list": evolutions.reports.intents,
            "policy.list": evolutions.policies.list,
            "feedback.list": self._stores.learning.feedbacks,
            "genome.log": evolutions.reports.genome_log,
            "genome.diff": evolutions.reports.genome_diff,
            "genome.show": evolutions.reports.genome_show,
            "doctor": self.doctor,
            "metrics": self.metrics,
            "config.get": self._configuring.config_get,
            "brain.detect": self._configuring.brain_detect,
            "brain.models": self._configuring.brain_models,
        }

    def _acting(self) -> dict[str, Method]:
        return {
            "say": self.say,
            "cancel": self.cancel,
            "checkpoint.create": self.checkpoint_create,
            "checkpoint.restore": self.checkpoint_restore,
            "checkpoint.export": self._stores.vault.export,
            "checkpoint.import": self.checkpoint_import,
            "checkpoint.delete": self.checkpoint_delete,
            "checkpoint.undelete": self.checkpoint_undelete,
            "checkpoint.pin": self.checkpoint_pin,
            "memory.add": self._remembering.add,
            "memory.import": self._remembering.import_,
            "evolve": self._evolutions.evolve,
            "evolution.accept_part": self.accept_part,
            "evolution.edit": self.evolution_edit,
            "evolution.measure": self.evolution_measure,
            "policy.set": self.policy_set,
            "hold": self.hold,
            "release": self.release,
            "feedback": self.feedback,
            "approve": self.approve,
            "reject": self.reject,
            "rollback": self.rollback,
            "kill": self.kill,
            "violations.add": self.violations_add,
            "backup": self.backup,
            "config.set": self._configuring.config_set,
            "brain.set": self._configuring.brain_set,
            "brain.key": self._configuring.brain_key,
            "model.ask": self._configuring.model_ask,
            "stop": self.stop,
            "keep": self.keep,
        }

    # --- what is

    async def status(self) -> dict[str, Any]:
        """The state of everything, as `o-tui status` prints it."""
        guardian, stores = self._guardian, self._stores
        newest = await stores.vault.list(limit=1)
        process = {
            "pid": guardian.pid,
            "epoch": stores.database.epoch,
            "placement": guardian.placement,
            "uptime_s": round((time.monotonic_ns() - guardian.started_ns) / 1e9, 1),
            "stays": guardian.lifetime.kept,
        }
        checkpoint = {key: newest[0][key] for key in ("id", "seq", "time_ns")} if newest else {}
        pending = len(await self._evolutions.reports.pending())
        more = {"checkpoint": checkpoint, "pending": pending, "tier": guardian.tier}
        return {"guardian": process} | guardian.telemetry() | more

    async def tree(self) -> dict[str, Any]:
        """The supervision tree."""
        return self._guardian.tree.tree()

    async def snapshot(self) -> dict[str, Any]:
        """All that a view shows when it comes."""
        status, requests, checkpoints, events, history = await asyncio.gather(
            self.status(),
            self.requests_list(),
            self.checkpoint_list(200),
            self.events_list(limit=200),
            self._evolutions.reports.history(50),
        )
        return {
            "status": status,
            "requests": requests[::-1],
            "checkpoints": checkpoints,
            "events": events[::-1],
            "evolutions": history[::-1],
            "pending": (await self._evolutions.reports.pending())[::-1],
            "shadows": self._evolutions.shadow_rows(),
            "brain": self._guardian.effects.row(),
            "config": await self._configuring.config_get(),
            "tree": await self.tree(),
        }

    async def requests_list(self, before: str = "", limit: int = 100) -> list[dict[str, Any]]:
        """Request rows, newest first, older than the request `before`; fewer where their texts are long."""
        return await self._stores.journal.page(before, limit, PAGE_BYTES)

    async def events_list(self, before: int = 0, limit: int = 200, filter: str = "") -> list[dict[str, Any]]:
        """Event rows, newest first; `filter` is part of their text, or `level:` and `source:` words."""
        words: dict[str, str] = {}
        text: list[str] = []
        for word in filter.split():
            key, separator, value = word.partition(":")
            if separator and key in ("level", "source", "kind"):
                words[key] = value
            else:
                text.append(word)
        return await self._stores.events.page(before, limit, text=" ".join(text), **words)

    async def doctor(self) -> dict[str, Any]:
        """What is well and what is not."""
        # seldom asked for: not in memory before, and not imported on the loop, which would stand still for it
        doctor = await asyncio.to_thread(importlib.import_module, "o_tui.guardian.doctor")
        found: dict[str, Any] = await asyncio.to_thread(doctor.examine, self._guardian.paths)
        # what the machine could hold is among the checks; the tier is what main is under
        return found | {"tier": self._guardian.tier}

    async def metrics(self) -> dict[str, Any]:
        """Counters and histograms: {text} in Prometheus' format, {values} as plain data."""
        figures = self._guardian.metrics.read(self._guardian.telemetry())
        return {"text": figures.prometheus(), "values": figures.snapshot()}

    async def stop(self, unless_more_than: int | None = None) -> dict[str, Any]:
        """Ends the guardian, after this answer; where more connections than that are open, when the last has gone.

        A number of connections, unlike none, is not heard where somebody has wished that it stays (`keep`).
        """
        guardian, lifetime = self._guardian, self._guardian.lifetime
        if unless_more_than is None:
            now = True
        else:
            lifetime.until_alone()
            now = not lifetime.kept and guardian.audience.connected <= unless_more_than
        if now:
            asyncio.get_running_loop().call_later(0.05, guardian.request_stop, "an operator stopped it")
        return {"stopped": now, "pid": guardian.pid}

    async def keep(self) -> dict[str, Any]:
        """The guardian stays when all have gone, whoever has started it."""
        self._guardian.lifetime.keep()
        return {"kept": True, "pid": self._guardian.pid}

    # --- chat

    async def say(self, text: str, session: str = "main", kind: str = "chat") -> dict[str, Any]:
        """Gives the agent a request and waits for its end."""
        if not text.strip():
            raise UsageError("there is nothing to say", hint="o-tui say TEXT")
        if (size := len(text.encode("utf-8", "replace"))) > SAY_LIMIT_BYTES:
            hint = "long texts go into memory: o-tui memory add"
            raise UsageError(f"a message may have {SAY_LIMIT_BYTES >> 10} KiB, this one has {size >> 10}", hint=hint)
        if kind.startswith(PREFIX):
            raise UsageError(f"{kind} is not a kind of request that can be said")
        return _said(await self._guardian.dispatch.ask(text, kind, session))

    async def cancel(self, request_id: str) -> dict[str, Any]:
        """Stops a request."""
        return {"cancelled": self._guardian.dispatch.cancel(request_id)}

    # --- checkpoints and the log

    async def checkpoint_list(self, limit: int = 200) -> list[dict[str, Any]]:
        """Rows, newest first."""
        return await self._stores.vault.list(limit=limit)

    async def checkpoint_create(self, reason: str = "asked for") -> dict[str, Any]:
        """Takes one now."""
        return await self._guardian.checkpoints.take(reason)

    async def checkpoint_import(self, path: str) -> dict[str, Any]:
        """Adds a `.ckpt` file to the vault."""
        row = await self._stores.vault.import_(path)
        return self._changed("imported", row)

    async def checkpoint_restore(self, id: str) -> dict[str, Any]:
        """Gives the agent the state of one."""
        return await self._guardian.checkpoints.restore(id)

    async def checkpoint_delete(self, id: str) -> dict[str, Any]:
        """Marks one as deleted; `checkpoint.undelete` takes it back."""
        return self._changed("deleted", await self._stores.vault.delete(id))

    async def checkpoint_undelete(self, id: str) -> dict[str, Any]:
        """Takes a deletion back."""
        return self._changed("undeleted", await self._stores.vault.undelete(id))

    async def checkpoint_pin(self, id: str, pinned: bool = True) -> dict[str, Any]:
        """A pinned one is never removed by age."""
        return self._changed("pinned", await self._stores.vault.pin(id, pinned))

    def _changed(self, action: str, row: dict[str, Any]) -> dict[str, Any]:
        self._guardian.publish("checkpoint", {"action": action, "row": row})
        return row

    async def wal_tail(self, n: int = 20) -> list[dict[str, Any]]:
        """The last entries, decoded."""
        return await self._stores.wal.describe(n)

    # --- evolution

    async def evolution_show(self, id: str) -> dict[str, Any]:
        """One evolution with diff, stages, evidence, and what the sandbox refused its instances."""
        row = await self._evolutions.reports.show(id)
        return row | {"violations": await self._stores.violations.page(LIST_LIMIT, row["id"])}

    async def violations_list(self, limit: int = 200, evolution: str = "") -> list[dict[str, Any]]:
        """What the sandbox refused, newest first."""
        return await self._stores.violations.page(limit, evolution)

    async def violations_add(self, name: str, profile: str, refused: list[dict[str, Any]]) -> int:
        """What a program of the operator's was refused (`o-tui sandbox run`); returns how many rows are kept."""
        try:
            found = msgspec.convert(refused[:DISTINCT], list[Refusal])
        except msgspec.ValidationError as error:
            raise UsageError(f"these are not refusals: {error}") from error
        if found:
            self._guardian.listening.refused(
                (name[:NAME_CHARS], profile[:NAME_CHARS], "", ""), name[:NAME_CHARS], found
            )
        return len(found)

    async def approve(self, id: str, digest: str, evidence: str = "") -> dict[str, Any]:
        """An operator's yes to the exact diff, and to the exact evidence where its digest is given."""
        return await self._evolutions.approve(id, digest, _operator(), evidence)

    async def reject(self, id: str, reason: str) -> dict[str, Any]:
        """An operator's no."""
        return await self._evolutions.reject(id, reason, _operator())

    async def rollback(self, revision: str = "", state: bool = False) -> dict[str, Any]:
        """Back to an earlier revision, and on request to the state of before it; ends a canary, where one runs."""
        return await self._evolutions.rollback(revision, _operator(), state=state)

    async def accept_part(self, id: str, digest: str, keep: list[str], reason: str = "") -> dict[str, Any]:
        """Some changed lines of a change that waits become one of their own, tried anew."""
        return await self._evolutions.accept_part(id, digest, keep, _operator(), reason)

    async def evolution_edit(self, id: str, digest: str, text: str) -> dict[str, Any]:
        """The edited text of a change that waits becomes a change of its own, tried anew."""
        return await self._evolutions.edit(id, digest, text, _operator())

    async def evolution_measure(self, id: str, digest: str) -> dict[str, Any]:
        """Another shadow run of a change that waits; its evidence replaces the old one."""
        return await self._evolutions.measure_again(id, digest, _operator())

    async def policy_set(self, gene: str, policy: str, risk: str = "low") -> dict[str, Any]:
        """What may happen to a gene without asking."""
        return await self._evolutions.policies.set(gene, policy, _operator(), risk)

    async def hold(self, reason: str = "") -> dict[str, Any]:
        """Nothing is evolved or deployed until `release`."""
        return await self._guardian.holding.hold(reason, _operator())

    async def release(self) -> dict[str, Any]:
        """Ends a hold."""
        return await self._guardian.holding.release(_operator())

    async def feedback(self, verdict: str, text: str = "", request_id: str = "") -> dict[str, Any]:
        """What an operator says of an answer, by default the newest."""
        return await self._feedback.give(verdict, text, request_id, _operator())

    # --- drills and upkeep

    async def kill(self, role: str) -> dict[str, Any]:
        """SIGKILL, to see that nothing is lost."""
        guardian, fleet = self._guardian, self._guardian.fleet
        if role in ("main", "standby"):
            instance = fleet.main if role == "main" else fleet.standby
            if instance is None:
                raise NotFoundError(f"there is no {role} just now")
            instance.kill("drill: an operator killed it")
            pid = instance.pid
        elif role in ("nursery", "broker"):
            process = fleet.nursery if role == "nursery" else guardian.effects.broker
            if process is None or not process.alive:
                raise NotFoundError(f"there is no {role} just now")
            pid = process.watch.pid
            process.watch.kill()
        else:
            raise UsageError(f"{role!r} cannot be killed", hint="main, standby, nursery or broker")
        guardian.event("operator", "kill", "warning", f"the {role} (pid {pid}) was killed by an operator")
        return {"pid": pid, "role": role}

    async def backup(self, path: str) -> dict[str, Any]:
        """Everything into one file."""
        backup = await asyncio.to_thread(importlib.import_module, "o_tui.guardian.storage.backup")
        made: dict[str, Any] = await backup.backup(self._stores.database, self._guardian.paths, path)
        return made


def _bounded(method: Method) -> Method:
    """The method, asked for no more rows than `LIST_LIMIT` at once; less than none is a mistake."""

    @functools.wraps(method)
    async def bounded(**arguments: Any) -> Any:
        for name in _COUNTS.intersection(arguments):
            count = arguments[name]
            if not isinstance(count, int) or count < 0:
                raise UsageError(f"{name} is a number of rows, not {count!r}"[:200])
            arguments[name] = min(count, LIST_LIMIT)
        return await method(**arguments)

    return bounded


def _said(ticket: Ticket) -> dict[str, Any]:
    return {
        "request_id": ticket.request_id,
        "text": ticket.answer,
        "elapsed_ms": round(ticket.elapsed_ms, 3),
        "recovered": ticket.recovered,
        "ok": ticket.ok,
        "error": ticket.error,
        "error_kind": "" if ticket.ok else ticket.error_kind,
        "state": ticket.state,
    }


def _operator() -> Operator:
    # views of another uid are turned away at the socket, so the peer is the guardian's own user
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = f"uid {os.geteuid()}"
    return Operator(name=name, uid=os.geteuid())
