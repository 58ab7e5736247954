"""What an evolution needs of the rest of the guardian: `evolution_adapters.py` and `fleet_traffic.py` implement it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from o_tui.evolution.candidates import ModelText
from o_tui.evolution.samples import Outcome, RecordedRequest
from o_tui.guardian.fleet.code import Code
from o_tui.guardian.storage.audit import Verdict
from o_tui.protocol.errors import OError, RefusedError
from o_tui.protocol.refusals import Refusal


class InstanceDiedError(OError):
    """An instance under trial ended in the middle of a request; the message says how ("exit 3", "signal 11")."""


class GenomeLoadError(OError):
    """An instance could not load a revision; the message is its one line (exception, file, line)."""


@dataclass(frozen=True, slots=True)
class Operator:
    """Who acts: named in the audit.

    Attributes:
        name: The login name behind `uid`, or what identified the operator.
        uid: The user id of the socket's peer.
        how: How that is known: "socket peer", "ssh key SHA256:...".
        where: From where: "local", a terminal's name, an address.
        viewer: May only look.
    """

    name: str
    uid: int
    how: str = "socket peer"
    where: str = "local"
    viewer: bool = False

    def may_decide(self) -> None:
        """Raises RefusedError for one who may only look."""
        if self.viewer:
            raise RefusedError(f"forbidden: {self.name} may look, not decide")


class ShadowInstance(Protocol):
    """One forked instance that runs a revision without effects: its operations go to an overlay that is thrown away."""

    @property
    def pid(self) -> int:
        """Its process."""

    async def request(self, request: RecordedRequest) -> Outcome:
        """Gives it one request, under the request's own id (ids of memories come of it), and waits for `done`.

        Its proposals are answered as if they were durable, to it alone. Its effects are answered by
        `evolution.replay.Replay(request.replies)`; "none" is answered with an error. `wall_ns` and, where it can be
        had, `cpu_ns` are filled in by the guardian's side.

        Cancelling this coroutine (the caller's time limit) leaves the instance unusable: it is killed next.

        Raises:
            InstanceDiedError: The process ended, or broke the protocol.
        """

    def cpu_ns(self) -> int:
        """CPU time of the process so far, ns; 0 if unknown."""

    def peak_bytes(self) -> int:
        """The most resident memory that it has had so far; 0 if unknown."""

    def refused(self) -> Sequence[Refusal]:
        """What the sandbox has refused it, as far as is known; complete once it has been killed."""

    async def kill(self, exceeded: Refusal | None = None) -> None:
        """SIGKILL, and wait until it is reaped. May be called twice, and after its death.

        `exceeded` is the limit that it went beyond, if it is killed for that.
        """


class Instances(Protocol):
    """The instance manager, as far as an evolution needs it."""

    async def fork_shadow(self, code: Code, role_name: str, evolution: str) -> ShadowInstance:
        """Forks an instance at the present state, with this code loaded, for an evolution.

        `role_name` is "twin", "shadow" or "strategy".

        Raises:
            GenomeLoadError: The code was not accepted, or loading it killed or hung the process.
            OError: No instance could be forked.
        """

    async def hot_reload(self, code: Code, reason: str) -> None:
        """Main, standby and whatever is forked from now on run this code; no request is lost.

        Does nothing where it runs already. Also logs the `genome_switch` operation. All or nothing: on an error the old
        code still runs everywhere.

        Raises:
            GenomeLoadError: An instance did not accept it.
        """

    async def verify(self, revision: str, timeout_s: float) -> None:
        """Main says that it runs `revision` and answers a probe request that leaves no trace.

        Raises:
            OError: It does not, or not in time.
        """


@dataclass(frozen=True, slots=True)
class Served:
    """A real request whose end is durable.

    Attributes:
        request_id, text, kind, session, time_ns: The request.
        by: The role of who answered: main or canary.
        ok: It ended well.
        fault: How the canary failed at it before main answered; empty: it did not.
        active_ns: How long its instance worked on it, without waiting for the log; 0: unknown (others were in hand).
        effects: How many effects it asked for.
    """

    request_id: str
    text: str
    kind: str
    session: str
    time_ns: int
    by: str
    ok: bool
    fault: str = ""
    active_ns: int = 0
    effects: int = 0


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a canary is of no use any more; `blame`: by its own doing, not because somebody ended it."""

    text: str
    blame: bool = True


class Traffic(Protocol):
    """The real requests, as far as a deployment needs them."""

    async def start(self, code: Code, evolution: str) -> None:
        """Starts a canary with this code: a replica of the log like main. It gets no request yet.

        Raises:
            GenomeLoadError: It did not accept the code.
            OError: No instance could be forked.
        """

    async def migrate(self, text: str) -> None:
        """The canary runs a request `genome.migrate`; what it proposes is in the log when this returns.

        Raises:
            OError: It failed.
        """

    def divert(self, share: float) -> None:
        """The canary gets this share of the requests; what it fails at, main is given."""

    async def fault(self) -> Fault | None:
        """What the canary did that ends it at once: it died, broke the protocol, was refused something."""

    async def end(self, *, at_once: bool) -> None:
        """No more requests for the canary; it ends when those in its hands have, or `at_once`: main is given them."""

    def follow(self, told: Callable[[Served], None]) -> Callable[[], None]:
        """`told` hears of each real request that has ended, until what this returns is called."""

    async def recorded(self, served: Served) -> RecordedRequest:
        """That request with the replies that its effects got, to be given to a shadow."""


class Checkpoints(Protocol):
    """The vault, as far as an evolution needs it."""

    async def create(self, reason: str) -> str:
        """Takes a checkpoint of the present state; returns its id once it is durable."""

    async def restore(self, checkpoint_id: str) -> None:
        """The agent's state becomes that of a checkpoint.

        Raises:
            OError: There is none by that id, or it is damaged.
        """


class Recorded(Protocol):
    """The journal's requests with the replies that main got from the broker."""

    async def requests(self, limit: int) -> Sequence[RecordedRequest]:
        """The newest `limit` requests that ended well, newest first."""


class Rows(Protocol):
    """The evolutions in the database; a row is plain data with the keys of the public API."""

    async def add(self, row: Mapping[str, Any]) -> None:
        """A new evolution."""

    async def update(self, evolution: str, fields: Mapping[str, Any]) -> None:
        """Some of its keys change; returns once that is durable."""

    async def get(self, evolution: str) -> dict[str, Any] | None:
        """One row by its id, or the unambiguous start of it, with diff, stages and evidence."""

    async def page(self, limit: int, states: Sequence[str] = ()) -> list[dict[str, Any]]:
        """The newest rows, newest first; only those in `states`, where given."""

    async def add_candidate(self, evolution: str, revision: str, data: Mapping[str, Any]) -> None:
        """A concrete new version that an evolution made."""

    async def candidates(self, evolution: str) -> list[dict[str, Any]]:
        """{revision, time_ns, data} of what an evolution made, oldest first."""

    async def decisions(self, evolution: str) -> list[dict[str, Any]]:
        """{verdict, time_ns, data} of an evolution, oldest first."""

    async def add_samples(self, evolution: str, samples: Sequence[Mapping[str, Any]]) -> None:
        """Measured pairs."""

    async def add_decision(self, evolution: str, verdict: str, data: Mapping[str, Any]) -> None:
        """What was decided."""


class Approvals(Protocol):
    """The append-only, hash-chained audit (`audit.Audit`)."""

    async def approve_row(
        self,
        *,
        who: str,
        uid: int,
        how: str,
        place: str,
        verdict: Verdict,
        evolution: str,
        base: str,
        revision: str,
        diff_sha256: str,
        evidence_sha256: str,
        reason: str,
    ) -> dict[str, Any]:
        """Appends a verdict; returns its row once it is durable."""

    async def page(self, limit: int = 200) -> list[dict[str, Any]]:
        """Verdicts, newest first."""


class Surroundings(Protocol):
    """Everything else."""

    def publish(self, topic: str, data: Mapping[str, Any]) -> None:
        """A notice to the views that follow."""

    def event(self, level: str, text: str, data: Mapping[str, Any]) -> None:
        """A row of the event log, source "evolution"."""

    def model(self) -> str:
        """The configured model's name; empty: there is none."""

    async def ask_model(self, messages: Sequence[Mapping[str, str]]) -> ModelText:
        """One answer of the configured model.

        Raises:
            PeerError: There is no model, or it failed.
        """

    def held(self) -> str:
        """Why nothing may be evolved just now (storage is read-only, ...); empty: nothing holds."""

    async def released(self) -> None:
        """Waits until nothing holds."""


@dataclass(frozen=True, slots=True)
class Seams:
    """All that an evolution needs of the rest of the guardian."""

    instances: Instances
    checkpoints: Checkpoints
    traffic: Traffic
    recorded: Recorded
    approvals: Approvals
    surroundings: Surroundings
