"""The small world in which a module is probed: a clock that stands, locks that know their holder, threads in turn.

A confined process can start no thread, so two of them are played: a second call is run whole inside the first one, at
a line of it (races.py). A lock that the first one holds is then refused to the second, which is put off until the
first has ended: what comes out is what a preemption at that line would have made of it.
"""

from __future__ import annotations

import contextlib
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any


class BlockedError(BaseException):
    """A lock is wanted that another one holds: the one who wants it has to wait."""


class HangError(BaseException):
    """What is waited for never comes."""


class World:
    """Which thread is played, and what time it is."""

    def __init__(self) -> None:
        self.thread = 0
        self.now = 1_700_000_000.0

    def reset(self, salt: int) -> None:
        """Before a case; `salt` differs where it shall be seen what depends on time and chance."""
        self.thread = 0
        self.now = 1_700_000_000.0 + salt * 977.5
        random.seed(1 + salt)

    def sleep(self, seconds: float) -> None:
        """Time passes."""
        self.now += max(0.0, float(seconds))

    def install(self) -> None:
        """Takes the place of clock, locks and threads in this process, for good."""
        for name in ("time", "monotonic", "perf_counter"):
            setattr(time, name, lambda: self.now)
            setattr(time, f"{name}_ns", lambda: int(self.now * 1e9))
        setattr(time, "sleep", self.sleep)  # noqa: B010 - for the type checker it is another function
        world = self
        lock: Any = type("Lock", (Lock,), {"world": world})
        rlock: Any = type("RLock", (Lock,), {"world": world, "reentrant": True})
        module: Any = threading
        module.Lock, module.RLock, module.Thread = lock, rlock, Thread
        module.Condition = type("Condition", (Condition,), {"world": world, "reentrant": True})
        module.Semaphore = module.BoundedSemaphore = type("Semaphore", (Semaphore,), {"world": world})
        module.Event = Event
        places: Any = futures
        places.ThreadPoolExecutor = Executor
        queues: Any = queue
        queues.threading = threading


class Lock:
    """`threading.Lock` and `RLock`."""

    world: World
    reentrant = False

    def __init__(self) -> None:
        self._holder: int | None = None
        self._depth = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As the real one; BlockedError where it would wait for another thread, HangError for itself."""
        me = self.world.thread
        if self._holder is None or (self.reentrant and self._holder == me):
            self._holder = me
            self._depth += 1
            return True
        if not blocking or timeout >= 0:
            return False
        if self._holder == me:
            raise HangError("a lock that is held already is waited for")
        raise BlockedError

    def release(self) -> None:
        """As the real one."""
        if self._holder is None:
            raise RuntimeError("release unlocked lock")
        self._depth -= 1
        if self._depth == 0:
            self._holder = None

    def locked(self) -> bool:
        """As the real one."""
        return self._holder is not None

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_error: object) -> None:
        self.release()

    def _is_owned(self) -> bool:
        return self._holder == self.world.thread


class Condition(Lock):
    """`threading.Condition`: nobody else runs, so what is waited for does not come."""

    def __init__(self, lock: Any = None) -> None:
        super().__init__()
        self._lock = lock

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As the real one."""
        return bool(self._lock.acquire(blocking)) if self._lock is not None else super().acquire(blocking, timeout)

    def release(self) -> None:
        """As the real one."""
        if self._lock is not None:
            self._lock.release()
        else:
            super().release()

    def wait(self, timeout: float | None = None) -> bool:
        """False after the timeout; HangError without one."""
        if timeout is None:
            raise HangError("a condition is waited for")
        self.world.sleep(timeout)
        return False

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        """As the real one."""
        return predicate() or (self.wait(timeout) or predicate())

    def notify(self, n: int = 1) -> None:
        """Nobody waits."""

    notify_all = notify


class Semaphore(Lock):
    """`threading.Semaphore`."""

    def __init__(self, value: int = 1) -> None:
        super().__init__()
        if value < 0:
            raise ValueError("semaphore initial value must be >= 0")
        self._value = value

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """As the real one."""
        if self._value > 0:
            self._value -= 1
            return True
        if not blocking or timeout is not None:
            return False
        raise BlockedError if self.world.thread else HangError

    def release(self, n: int = 1) -> None:
        """As the real one."""
        self._value += n


class Event:
    """`threading.Event`."""

    def __init__(self) -> None:
        self._set = False

    def is_set(self) -> bool:
        """As the real one."""
        return self._set

    def set(self) -> None:
        """As the real one."""
        self._set = True

    def clear(self) -> None:
        """As the real one."""
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        """HangError where it would wait for ever."""
        if not self._set and timeout is None:
            raise HangError("an event is waited for")
        return self._set


class Thread:
    """`threading.Thread`: runs when it is started, to its end."""

    def __init__(
        self, group: Any = None, target: Any = None, name: Any = None, args: Any = (), kwargs: Any = None, **_: Any
    ) -> None:
        self._target, self._args, self._kwargs = target, args, kwargs or {}
        self.name = name or "Thread"
        self.daemon = False

    def run(self) -> None:
        """As the real one."""
        if self._target is not None:
            self._target(*self._args, **self._kwargs)

    def start(self) -> None:
        """As the real one; what it raises is nobody's."""
        with contextlib.suppress(Exception):
            self.run()

    def join(self, timeout: float | None = None) -> None:
        """It has ended."""

    def is_alive(self) -> bool:
        """It has ended."""
        return False


class Executor(futures.Executor):
    """`ThreadPoolExecutor`: what is submitted has run."""

    def __init__(self, *_arguments: Any, **_named: Any) -> None:
        self._closed = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> futures.Future[Any]:
        """As the real one."""
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: futures.Future[Any] = futures.Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - it is the future's
            future.set_exception(error)
        return future

    def map(
        self, fn: Callable[..., Any], *iterables: Any, timeout: float | None = None, chunksize: int = 1
    ) -> Iterator[Any]:
        """As the real one."""
        return iter([self.submit(fn, *each).result() for each in zip(*iterables)])  # noqa: B905 - as the real one

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As the real one."""
        self._closed = True
