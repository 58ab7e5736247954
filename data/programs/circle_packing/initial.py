"""Twenty-six circles in the unit square, none over another: the sum of their radii is to be large.

Where the circles stand is what may change; how large each can be follows from that.
"""

import math

COUNT = 26


# EVOLVE-BLOCK-START
def centres():
    """Where the circles stand: one in the middle, the others on two narrow rings around it."""
    points = [(0.5, 0.5)]
    for number in range(8):
        angle = 2 * math.pi * number / 8
        points.append((0.5 + 0.1 * math.cos(angle), 0.5 + 0.1 * math.sin(angle)))
    for number in range(17):
        angle = 2 * math.pi * number / 17
        points.append((0.5 + 0.19 * math.cos(angle), 0.5 + 0.19 * math.sin(angle)))
    return points


# EVOLVE-BLOCK-END


def radii(points):
    """A radius for each point: first half the way to the nearest thing, then what is left, one after the other."""
    borders = [max(0.0, min(x, y, 1 - x, 1 - y)) for x, y in points]
    apart = [[math.dist(one, other) for other in points] for one in points]
    found = [
        min(border, *(way / 2 for at, way in enumerate(row) if at != here))
        for here, (border, row) in enumerate(zip(borders, apart, strict=True))
    ]
    for here in sorted(range(len(points)), key=lambda each: -borders[each]):
        free = min(apart[here][at] - found[at] for at in range(len(points)) if at != here)
        found[here] = max(0.0, min(borders[here], free))
    return found


def run_packing():
    """The circles: (x, y, radius) each."""
    points = [(float(x), float(y)) for x, y in centres()]
    return [(x, y, radius) for (x, y), radius in zip(points, radii(points), strict=True)]
