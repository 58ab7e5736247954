"""What an instance may propose."""

from __future__ import annotations

import msgspec

from o_tui.protocol import messages, operations

LIMIT_BYTES = 192 * 1024
"""One operation's data at most."""


def problem(item: messages.OperationProposal, position: int | None) -> str:
    """Why a proposal is refused; empty if it is not. `position` is the one that it must have; None: any."""
    if item.operation not in operations.TYPES or item.operation in operations.GUARDIAN_ONLY:
        return f"an instance may not propose {item.operation[:40]!r}"
    if len(item.data) > LIMIT_BYTES:
        return f"an operation of {len(item.data)} bytes passes the limit of {LIMIT_BYTES}"
    if position is not None and item.position != position:
        return f"operation {item.position} is out of order"
    try:
        operations.unpack(item.operation, item.data)
    except (msgspec.DecodeError, RecursionError) as error:
        return f"not a {item.operation}: {error}"
    return ""
