"""Who listens to the refusals of a tool or a build: the kernel asks, this records the call and has it fail.

An instance records its own refusals in a handler of SIGSYS; a program that is exec'd has no handler
(rust/core/src/sandbox/listener.rs).
"""

from __future__ import annotations

import os
import select
import socket

from o_tui import _native


class Listener:
    """The supervisor's end. `fd` has something to read when `read` is to be called."""

    def __init__(self, ring: _native.ViolationRing) -> None:
        """Records into `ring`; `theirs` is for the process that is confined."""
        self._ring = ring
        self._ours, self.theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._asks = -1
        self._in_force = False
        self._poll = select.epoll()
        self._poll.register(self._ours, select.EPOLLIN)
        self.fd = self._poll.fileno()

    @property
    def heard(self) -> bool:
        """The kernel asks; False: nobody may listen on this machine, and refusals have no record."""
        return self._asks >= 0

    def read(self) -> bool:
        """Takes what is there. There may always be more."""
        for descriptor, event in self._poll.poll(0):
            if descriptor != self._asks:
                self._news()
            elif event & select.EPOLLIN:
                # while it was being confined the sandbox tested itself; what is asked now may be later than its end
                self._news()
                self._ring.answer(self._asks, self._in_force)
            else:
                self._poll.unregister(descriptor)  # nobody is left
        return True

    def _news(self) -> None:
        """What the confined process says: the descriptor on which the kernel asks, then that all is put on."""
        if self._in_force:
            return
        try:
            data, descriptors, _flags, _address = socket.recv_fds(self._ours, 1, 1)
        except BlockingIOError:
            return
        for descriptor in descriptors:
            self._asks = descriptor
            self._poll.register(descriptor, select.EPOLLIN)
        if not data:
            self._in_force = True
            self._poll.unregister(self._ours)

    def close(self) -> None:
        """What is still asked is refused by the kernel from here on."""
        self._poll.close()
        self._ours.close()
        self.theirs.close()
        if self.heard:
            os.close(self._asks)
