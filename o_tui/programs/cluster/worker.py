"""What a worker of a cluster runs: batches of evaluations, each through a lane as at home.

The lane is a process tree of its own: what hangs, exits or eats memory is a candidate's process, never the worker. It
is kept from batch to batch, one for each thread of the worker, and ends when nobody has needed it for a while. When the
worker dies, its lanes end by themselves.
"""

from __future__ import annotations

import socket
import threading

import msgspec

from o_tui import __version__, _native
from o_tui.programs import bundle
from o_tui.programs.cluster.parcels import Batch, Done
from o_tui.programs.lane import Lane
from o_tui.programs.orders import Answer, Order, Setup
from o_tui.protocol.errors import OError

IDLE_S = 30.0


class KeptLane:
    """A lane for one setup, until it has been idle for a while."""

    def __init__(self, setup: Setup, digest: str) -> None:
        self.digest = digest
        self._lock = threading.Lock()
        self._over = False
        self._timer = self._alarm()
        self._lane = Lane(setup)
        try:
            self._lane.ready()
        except OError:
            self.close()
            raise

    def take(self) -> bool:
        """It is needed; False: it has ended."""
        self._timer.cancel()
        with self._lock:  # an alarm that has gone off is waited for
            return not self._over

    def leave(self) -> None:
        """It is not needed at the moment."""
        self._timer = self._alarm()
        self._timer.start()

    def close(self) -> None:
        """Ends the lane."""
        with self._lock:
            self._over = True
            self._lane.close()

    def _alarm(self) -> threading.Timer:
        alarm = threading.Timer(IDLE_S, self.close)
        alarm.daemon = True
        return alarm

    def answers(self, orders: tuple[Order, ...]) -> tuple[Answer, ...]:
        """Evaluates; answers in the order of the orders. Raises PeerError, as `Lane.answer`."""
        found: dict[int, Answer] = {}
        asked = 0
        while len(found) < len(orders):
            while asked < len(orders) and self._lane.waiting < self._lane.depth:
                self._lane.submit(orders[asked])
                asked += 1
            answer = self._lane.answer()
            if answer is not None:
                found[answer.number] = answer
        return tuple(found[each.number] for each in orders)


_mine = threading.local()
"""The lane that a thread has kept."""


def evaluate(data: bytes) -> bytes:
    """One task: a Batch in, a Done out. What this machine lacks is a problem in it, not an exception."""
    return msgspec.msgpack.encode(_done(msgspec.msgpack.decode(data, type=Batch)))


def _done(batch: Batch) -> Done:
    if batch.version != __version__:
        return _cannot(f"it has o-tui {__version__}, not {batch.version}")
    try:
        kept = _lane_of(batch)
        if kept is None:
            return Done(missing=True)
        answers = kept.answers(batch.orders)
    except (OError, OSError) as error:
        _let_go()
        return _cannot(str(error))
    kept.leave()
    return Done(answers=answers)


def _cannot(why: str) -> Done:
    return Done(problem=f"the worker on {socket.gethostname()} cannot evaluate: {why}")


def _lane_of(batch: Batch) -> KeptLane | None:
    kept: KeptLane | None = getattr(_mine, "kept", None)
    if kept is not None and kept.digest == batch.digest and kept.take():
        return kept
    if batch.setup is None:
        return None
    _let_go()
    if bundle.digest(batch.setup) != batch.digest:
        raise OSError("the evaluator's files came damaged")
    _mine.kept = kept = KeptLane(batch.setup, batch.digest)
    return kept


def _let_go() -> None:
    kept: KeptLane | None = getattr(_mine, "kept", None)
    if kept is not None:
        _mine.kept = None
        kept.close()


def about() -> tuple[str, str]:
    """O's version here, and the tier of confinement that this machine has."""
    return __version__, str(_native.probe()["tier"])
