"""The processes as rows: the supervision tree with what the instances say of themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from o_tui.ui.lists.row_list import Row
from o_tui.ui.snapshot_model import Model

STATES = {"running": "good", "starting": "warn", "restarting": "warn", "stopping": "warn", "dead": "bad", "down": "bad"}
_PROCESSES = ("guardian", "nursery", "main", "standby", "broker")


def process_rows(model: Model) -> list[Row]:
    """One row a process or supervised part, indented by its place in the tree; keys are paths, so they are stable."""
    instances = {str(row.get("role")): row for row in model.status.get("instances") or ()}
    guardian = model.status.get("guardian") or {}
    rows = list(_walk(model.tree, "", 0)) if model.tree else []
    if not rows:
        rows = [{"key": "guardian", "name": "guardian", "depth": 0, "state": "running", "pid": guardian.get("pid")}]
    rows[0] = {**rows[0], "pid": rows[0].get("pid") or guardian.get("pid")}
    named = {row["name"] for row in rows}
    for role in (*_PROCESSES, *instances):
        if role in instances and role not in named:
            rows.append({"key": f"instance/{role}", "name": role, "depth": 1})
            named.add(role)
    for row in rows:
        _complete(row, instances.get(row["name"]))
    for shadow in model.shadows.values():
        if shadow.get("state") in ("starting", "running"):
            rows.append({**shadow, "key": f"shadow/{shadow['id']}", "name": str(shadow["id"]), "depth": 1})
    return rows


def _walk(node: dict[str, Any], path: str, depth: int) -> Iterator[Row]:
    key = f"{path}/{node.get('id') or node.get('name') or '?'}"
    name = key.rpartition("/")[2]
    state = node.get("state") or node.get("status")
    # a group is a supervisor inside the guardian: it is worth a line only while something is wrong with it
    group = depth > 0 and node.get("type") == "supervisor" and state == "running"
    if not group:
        yield {**node, "key": key, "name": name, "depth": depth, "state": state, "children": None}
    for child in node.get("children") or ():
        yield from _walk(child, key, depth if group else depth + 1)


def _complete(row: Row, instance: Row | None) -> None:
    if instance is None:
        return
    for name, value in instance.items():
        # a standby that took over keeps its name: the row says what it is, the inspector what it is called
        if name == "name":
            row["instance"] = value
        elif value is not None and not (name in ("state", "pid") and not value):
            row[name] = value
