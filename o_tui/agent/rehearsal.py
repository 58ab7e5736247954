"""The kernel at work before the fork: what is done for the first time writes to what forks share, so it is done here.

The interpreter notes where a method was found and what kinds of values a line has seen; the kernel fills its tables.
A fork that finds this done writes less. Only code of O's own runs: the kernel, and the genome that O ships.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping

from o_tui.agent import instance
from o_tui.agent.state import State
from o_tui.protocol import chunks, messages
from o_tui.protocol.frames import Metadata

RECALLS = 3
LIMIT_S = 0.1
"""Nobody reads what is answered: what does not fit into a socket's buffer ends the rehearsal."""
_LIMIT = struct.pack("@ll", 0, int(LIMIT_S * 1e6))
_WORDS, _CHARS = 6, 200
_QUERIES = "SELECT substr(text, 1, ?) FROM blocks ORDER BY n DESC LIMIT ?"
_REVISION = "0" * 40


def rehearse(state: State, files: Mapping[str, str]) -> bool:
    """A shadow's life from its start to its end, here and unconfined; it reads the state and changes nothing.

    Args:
        state: What is recalled from.
        files: The genome; O's own.

    Returns:
        Whether it came to its end.

    Raises:
        BlockingIOError: The genome does not fit into a socket's buffer.
    """
    texts = [text for (text,) in state.rows(_QUERIES, (_CHARS, RECALLS))] or [""]
    said = [chunks.encode(messages.LoadGenome(revision=_REVISION, version="", files=dict(files)))]
    for number, text in enumerate(texts):
        asked = json.dumps({"text": " ".join(text.split()[:_WORDS]), "k": 10})
        request = messages.ProcessRequest(text=asked, kind="memory.search")
        said.append(chunks.encode(request, Metadata(request_id=str(number))))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"".join(said), socket.MSG_DONTWAIT)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _LIMIT)  # the instance makes it a blocking one
        ours.shutdown(socket.SHUT_WR)
        status = instance.run(theirs, state, "shadow", rehearsed=True)
    state.rest()
    return status == 0
