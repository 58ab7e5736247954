"""Steps that depend on each other."""

from __future__ import annotations

import heapq


def order(needs: dict[str, list[str]]) -> list[str]:
    """A topological order, names by the alphabet where there is a choice."""
    names = set(needs) | {need for wanted in needs.values() for need in wanted}
    waiting = {name: set(needs.get(name, ())) for name in names}
    ready = [name for name, wanted in waiting.items() if not wanted]
    heapq.heapify(ready)
    done: list[str] = []
    while ready:
        name = heapq.heappop(ready)
        done.append(name)
        for other, wanted in waiting.items():
            if name in wanted:
                wanted.discard(name)
                if not wanted:
                    heapq.heappush(ready, other)
    if len(done) < len(names):
        raise ValueError("there is a cycle")
    return done


def reachable(edges: list[tuple[str, str]], start: str) -> list[str]:
    nexts: dict[str, list[str]] = {}
    for a, b in edges:
        nexts.setdefault(a, []).append(b)
    seen = {start}
    todo = [start]
    while todo:
        for b in nexts.get(todo.pop(), ()):
            if b not in seen:
                seen.add(b)
                todo.append(b)
    return sorted(seen)


def cheapest(edges: list[tuple[str, str, float]], start: str, end: str) -> float | None:
    """The cost of the cheapest way; None where there is none."""
    nexts: dict[str, list[tuple[str, float]]] = {}
    for a, b, cost in edges:
        if cost < 0:
            raise ValueError("a cost is negative")
        nexts.setdefault(a, []).append((b, cost))
    best = {start: 0.0}
    heap = [(0.0, start)]
    while heap:
        cost, name = heapq.heappop(heap)
        if name == end:
            return cost
        if cost > best[name]:
            continue
        for other, more in nexts.get(name, ()):
            if other not in best or cost + more < best[other]:
                best[other] = cost + more
                heapq.heappush(heap, (cost + more, other))
    return None


def groups(pairs: list[tuple[str, str]]) -> list[list[str]]:
    """Names that belong together, each group sorted, the groups by their first name."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            name = parent[name]
        return name

    for a, b in pairs:
        left, right = root(a), root(b)
        if left != right:
            parent[max(left, right)] = min(left, right)
    found: dict[str, list[str]] = {}
    for name in parent:
        found.setdefault(root(name), []).append(name)
    return sorted(sorted(names) for names in found.values())


def depth(tree: dict[str, list[str]], name: str) -> int:
    """Levels below a name."""
    return max((1 + depth(tree, child) for child in tree.get(name, ()) if child != name), default=0)
