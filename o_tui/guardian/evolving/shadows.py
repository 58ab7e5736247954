"""The measuring of a candidate: a twin that runs main's code and a shadow that runs the candidate's, in pairs.

One after the other, in random order, forked anew every so often; time is the guardian's, CPU and memory are from the
kernel of the operating system. What a shadow says of itself is not used. The arbiter is asked after each pair.
"""

from __future__ import annotations

import itertools
import math
import random
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from o_tui.evolution import attack_requests, evidence, workloads
from o_tui.evolution.arbiter import CONTINUE, Arbiter, Decision, Goal, Policy
from o_tui.evolution.samples import Pair, RecordedRequest, Side, Trial
from o_tui.guardian.evolving.seams import Instances, ShadowInstance
from o_tui.guardian.evolving.trial_requests import ask, filling
from o_tui.guardian.fleet.code import Code
from o_tui.protocol import refusals
from o_tui.protocol.refusals import Refusal

Name = Literal["twin", "shadow"]
NAMES: tuple[Name, Name] = ("twin", "shadow")
FORK_PAIRS = 10
"""Pairs after which both processes are forked anew: what differs between equal processes sticks to them, 6 % on a busy
machine and now and then 28 %, so one fork may not win more than two bets (docs/adr/forks-every-ten-pairs.md)."""
NOTICE_S = 0.4
"""Least time between two notices of the same shadow."""
MIRROR_QUIET = 5
"""So many live requests since the last fork are all mirrored; of more, one in `MIRROR_SHARE`."""
MIRROR_SHARE = 10
MIRROR_LOOK = 20
_TREND = 60
_MOST_EVIDENCE = 1e12
"""What is told of an e-value at most: JSON knows no infinity."""

Live = Callable[[int], Awaitable[Sequence[RecordedRequest]]]
"""The newest so many live requests that main has answered, with the replies that it got; newest first."""


@dataclass(slots=True)
class _Runner:
    """One side: its present process, and what has been seen of it over all its processes."""

    name: Name
    code: Code
    instance: ShadowInstance | None = None
    walls_ns: list[int] = field(default_factory=list)
    errors: int = 0
    requests: int = 0
    peak_bytes: int = 0
    cpu_ns: int = 0
    refused: dict[tuple[str, str], Refusal] = field(default_factory=dict)


class Measurement:
    """One trial, once: `run` to the arbiter's decision, or `begin` and then episodes, as a race needs it.

    Args:
        policy: With the budget in pairs.
        fork_pairs: Pairs after which both processes are forked anew; where times do not decide, more will do.
        cpu_s: CPU seconds that both sides may use together, all their processes added up.
        live: Where given, what main answers meanwhile is mirrored: taken up next, at most one in ten under load.
        number: Which one it is of several that race; 0: it is alone.
    """

    def __init__(
        self,
        instances: Instances,
        publish: Callable[[str, Mapping[str, Any]], None],
        evolution: str,
        *,
        main: Code,
        candidate: Code,
        timeout_s: float,
        seed: int,
        policy: Policy | None = None,
        goal: Goal = "any",
        fork_pairs: int = FORK_PAIRS,
        cpu_s: float = math.inf,
        live: Live | None = None,
        number: int = 0,
    ) -> None:
        self.arbiter = Arbiter(policy, goal)
        self._instances = instances
        self._publish = publish
        self._evolution = evolution
        self._number = number
        self._timeout_s = timeout_s
        self._random = random.Random(seed)
        self._runners = {"twin": _Runner("twin", main), "shadow": _Runner("shadow", candidate)}
        self._trial = Trial()
        self._from: Counter[str] = Counter()
        self._attacks_failed = 0
        self._setup: Sequence[RecordedRequest] = ()
        self._requests: Iterator[RecordedRequest] = iter(())
        self._next: RecordedRequest | None = None
        self._scope = ""
        self._fork_pairs = fork_pairs
        self._cpu_s = cpu_s
        self._live = live
        self._mirrored: deque[RecordedRequest] = deque(maxlen=FORK_PAIRS)
        self._seen: set[str] = set()
        self._forks = 0
        self._cold = False
        self._tries = 0
        self._state = "starting"
        self._verdict = ""
        self._told_s = 0.0
        self._decision = CONTINUE

    @property
    def trial(self) -> Trial:
        """What has been measured so far."""
        return self._trial

    @property
    def decision(self) -> Decision:
        """The arbiter's, "continue" while it goes on."""
        return self._decision

    def rows(self) -> list[dict[str, Any]]:
        """The two shadow rows (see docs), as views show them."""
        ratios = evidence.trend(self._trial.pairs[-_TREND:], _TREND)
        return [self._row(self._runners[name], ratios) for name in NAMES]

    async def run(self, requests: Sequence[RecordedRequest], setup: Sequence[RecordedRequest] = ()) -> Trial:
        """Gives requests to both sides, over and over, until the arbiter decides or a budget is spent.

        What is in `setup` every process gets first; it only counts where the candidate fails at it and main does not.

        Raises:
            GenomeLoadError: The candidate could not be loaded.
            OError: No instances could be forked.
        """
        await self.begin(requests, setup)
        while self._decision is CONTINUE:
            await self.episode()
        return self._trial

    async def begin(self, requests: Sequence[RecordedRequest], setup: Sequence[RecordedRequest] = ()) -> None:
        """What is to be given to both sides; nothing is forked yet."""
        self._requests, self._setup = self._cycle(list(requests)), setup
        if self._live is not None:
            self._seen = {request.id for request in await self._live(MIRROR_LOOK)}

    async def episode(self) -> Decision:
        """Forks both sides, gives them pairs of one scope, kills them; see `run` for what is raised."""
        if self._decision is not CONTINUE:
            return self._decision
        try:
            await self._mirror()
            request = self._upcoming()
            self._scope = request.scope if request is not None else ""
            for pair in await self._fork_both():
                self._take(pair)
            self._state = "running"
            for _ in range(self._fork_pairs):
                if self._decision is not CONTINUE:
                    break
                request = self._upcoming()
                if request is None:
                    self._decision = self.arbiter.conclude()
                    break
                if request.scope != self._scope:
                    break
                self._next = None
                self._take(replace(await self._pair(request), fork=self._forks))
                self._tell()
        finally:
            await self._kill_all()
            self._forks += 1
        self._settle()
        return self._decision

    def stop(self) -> Trial:
        """No more episodes: the arbiter decides from what there is."""
        if self._decision is CONTINUE:
            self._decision = self.arbiter.conclude()
        return self._trial

    def rest(self) -> None:
        """Tells the views that it waits for its next episode."""
        if self._decision is CONTINUE:
            self._state = "waiting"
            self._tell(now=True)

    def end(self, verdict: str) -> None:
        """Tells the views that it is over, and how."""
        self._state, self._verdict = "ended", verdict
        self._tell(now=True)

    def _take(self, pair: Pair) -> None:
        self._trial.pairs.append(pair)
        self._from[pair.request.source] += 1
        self._attacks_failed += pair.request.source == "attack" and pair.main.ok and not pair.candidate.ok
        self.arbiter.add(pair)
        self._observe()
        self._decision = self.arbiter.decision()

    def _observe(self) -> None:
        twin, shadow, trial = self._runners["twin"], self._runners["shadow"], self._trial
        trial.main_peak_bytes, trial.candidate_peak_bytes = twin.peak_bytes, shadow.peak_bytes
        trial.main_refused, trial.candidate_refused = list(twin.refused.values()), list(shadow.refused.values())
        self.arbiter.observed(trial.main_peak_bytes, trial.candidate_peak_bytes, trial.candidate_refused)

    def _settle(self) -> None:
        """After an episode's processes are gone: what the sandbox refused them is known only now."""
        self._observe()
        spent_s = sum(runner.cpu_ns for runner in self._runners.values()) / 1e9
        if self._decision is not CONTINUE or self._trial.candidate_refused:
            self._decision = self.arbiter.conclude()
        elif spent_s >= self._cpu_s:
            found = self.arbiter.conclude()
            told = f"the budget of {self._cpu_s:g} CPU seconds was spent after {self.arbiter.pairs} pairs"
            self._decision = replace(found, reasons=(*found.reasons, told))

    def _upcoming(self) -> RecordedRequest | None:
        """The request that is next, a live one first; it stays next until it is taken."""
        if self._next is None:
            self._next = self._mirrored.popleft() if self._mirrored else next(self._requests, None)
        return self._next

    def _cycle(self, requests: list[RecordedRequest]) -> Iterator[RecordedRequest]:
        """The given order first, then in a new random order each time, attacks once; nothing for nothing."""
        while requests:
            yield from requests
            requests = [request for request in requests if request.source != "attack"]
            self._random.shuffle(requests)
            requests = workloads.in_blocks(requests, self._random)

    async def _mirror(self) -> None:
        if self._live is None:
            return
        new = [request for request in await self._live(MIRROR_LOOK) if request.id not in self._seen]
        self._seen.update(request.id for request in new)
        for request in new if len(new) <= MIRROR_QUIET else itertools.islice(new, 0, None, MIRROR_SHARE):
            self._mirrored.append(replace(request, source="mirror"))

    async def _pair(self, request: RecordedRequest) -> Pair:
        pair = await self._warm(request)
        # a failure of one side only counts if it happens twice: machines stall; a crash is never taken back
        if pair.main.ok != pair.candidate.ok and pair.candidate.ending != "crash":
            pair = await self._warm(request)
        for name, side in (("twin", pair.main), ("shadow", pair.candidate)):
            self._count(self._runners[name], side)
        return pair

    async def _warm(self, request: RecordedRequest) -> Pair:
        """As `_both`; once more where a process was new, on either side: its first request finds cold caches."""
        pair = await self._both(request)
        cold, self._cold = self._cold, False
        return await self._both(request) if cold and pair.main.ok and pair.candidate.ok else pair

    async def _both(self, request: RecordedRequest) -> Pair:
        self._tries += 1
        # an id that the state does not know already, and the same time on both sides
        request = replace(request, id=f"{request.id}~{self._tries}", time_ns=request.time_ns or time.time_ns())
        sides: dict[str, Side] = {}
        for name in self._random.sample(NAMES, 2):
            runner = self._runners[name]
            if runner.instance is None:  # it died of the request before
                await self._fork(runner)
                for first in filling(self._setup, self._scope):
                    await self._one(runner, first)
            sides[name] = await self._one(runner, request)
        main, candidate = sides["twin"], sides["shadow"]
        if request.attack:
            main, candidate = attack_requests.judged(request, main, candidate)
        return Pair(request, main, candidate)

    async def _one(self, runner: _Runner, request: RecordedRequest) -> Side:
        instance = runner.instance
        if instance is None:
            return Side("crash", error="it died while its memory was being filled")
        side = await ask(instance, request, self._timeout_s)
        if side.ending == "hang":
            await self._kill(runner, refusals.wall_clock(self._timeout_s))
        elif side.ending == "crash":
            await self._kill(runner)
        else:
            runner.peak_bytes = max(runner.peak_bytes, instance.peak_bytes())
        return side

    def _count(self, runner: _Runner, side: Side) -> None:
        runner.requests += 1
        runner.errors += not side.ok
        if side.ok:
            runner.walls_ns.append(side.wall_ns)

    async def _fork_both(self) -> list[Pair]:
        """Both processes anew, their memory filled; returns what the candidate failed at and main did not."""
        failed = await self._fork_once()
        if failed is not None and failed.candidate.ending != "crash":  # see `_pair`: only if it happens twice
            failed = await self._fork_once()
        return [failed] if failed is not None else []

    async def _fork_once(self) -> Pair | None:
        await self._kill_all()
        order = self._random.sample(NAMES, 2)
        for name in order:
            await self._fork(self._runners[name])
        for request in filling(self._setup, self._scope):
            sides = {name: await self._one(self._runners[name], request) for name in order}
            if sides["twin"].ok and not sides["shadow"].ok:
                return Pair(request, sides["twin"], sides["shadow"])
        return None

    async def _fork(self, runner: _Runner) -> None:
        code, self._cold = runner.code, True
        runner.instance = await self._instances.fork_shadow(code, runner.name, self._evolution)

    async def _kill_all(self) -> None:
        for runner in self._runners.values():
            await self._kill(runner)

    async def _kill(self, runner: _Runner, exceeded: Refusal | None = None) -> None:
        instance, runner.instance = runner.instance, None
        if instance is not None:
            runner.cpu_ns += instance.cpu_ns()
            await instance.kill(exceeded)
            for refusal in instance.refused():
                # limits show as crashes, hangs and errors, which are judged beside main's
                if refusal.layer != "limits":
                    runner.refused[refusal.layer, refusal.what] = refusal

    def _tell(self, *, now: bool = False) -> None:
        time_s = time.monotonic()
        if now or time_s - self._told_s >= NOTICE_S:
            self._told_s = time_s
            for row in self.rows():
                self._publish("shadow", row)

    def _row(self, runner: _Runner, ratios: list[float]) -> dict[str, Any]:
        name = f"{runner.name[0]}{self._number}" if self._number else runner.name
        return {
            "id": f"{self._evolution}-{name}",
            "evolution": self._evolution,
            "role": runner.name,
            "pid": runner.instance.pid if runner.instance else 0,
            "requests": runner.requests,
            "total": self.arbiter.policy.budget,
            "errors": runner.errors,
            "p50_ms": evidence.percentile_ms(runner.walls_ns, 0.5),
            "p95_ms": evidence.percentile_ms(runner.walls_ns, 0.95),
            "rss_bytes": runner.peak_bytes,
            "state": self._state,
            "trend": ratios if runner.name == "shadow" else [],
            "verdict": self._verdict if runner.name == "shadow" else "",
            "evidence": self._evidence() if runner.name == "shadow" else {},
        }

    def _evidence(self) -> dict[str, Any]:
        """What there is to decide from by now: the arbiter's figures, whose requests they are, what was attacked."""
        policy = self.arbiter.policy
        return {
            "pairs": self.arbiter.pairs,
            "least": min(policy.least, policy.budget),
            "e_value": round(min(self.arbiter.evidence(), _MOST_EVIDENCE), 4),
            "wanted": round(1 / policy.alpha, 4),
            "mirrored": self._from["mirror"],
            "recorded": self._from["recorded"],
            "workload": self._from["workload"],
            "attacks": self._from["attack"],
            "attacks_failed": self._attacks_failed,
            "repaired": self.arbiter.repaired,
            "refused": len(self._trial.candidate_refused),
        }
