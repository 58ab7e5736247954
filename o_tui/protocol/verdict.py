"""What `o-tui sandbox run` asks of the process that runs a program, and what that one answers. MessagePack."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from o_tui.protocol.refusals import Refusal

OUTPUT_BYTES = 1024 * 1024
"""What is kept of a program's output, on each stream."""
Profile: TypeAlias = Literal["agent", "tool", "build"]
"""What a process is confined as: an instance; programs that work in one folder; compilers."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A program to be run, and as what it is confined."""

    name: str
    source: bytes
    timeout_s: float
    profile: Profile = "agent"
    output_bytes: int = OUTPUT_BYTES


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How it ended.

    Attributes:
        control: Why no verdict counts: the control program did not succeed in the same sandbox; empty: it did.
        tier: How well it was confined.
        exit: As os.waitstatus_to_exitcode: negative is a signal.
        dropped_bytes: Output beyond the limit.
        unnamed: How many more refusals there were, before those of `refused`: only the latest are kept by name.
        recorded: Refused system calls could be recorded; False: this machine does not let anybody listen.
    """

    control: str = ""
    tier: str = "X"
    exit: int = 0
    stdout: bytes = b""
    stderr: bytes = b""
    dropped_bytes: int = 0
    wall_ms: float = 0.0
    refused: list[Refusal] = []
    unnamed: int = 0
    recorded: bool = True


encode = msgspec.msgpack.encode
order_of = msgspec.msgpack.Decoder(Order).decode
verdict_of = msgspec.msgpack.Decoder(Verdict).decode
