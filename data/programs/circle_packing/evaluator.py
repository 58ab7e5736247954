"""Judges a packing: the sum of the radii beside 2.635, a good known one; 0 where the circles are not a packing.

Nothing that the program says of itself counts: count, places and distances are looked at here.
"""

import importlib.util
import math

COUNT = 26
KNOWN = 2.635
TOLERANCE = 1e-9


def evaluate(program_path):
    """The metrics of the program at a path."""
    spec = importlib.util.spec_from_file_location("program", program_path)
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    circles = [tuple(float(part) for part in circle) for circle in program.run_packing()]
    wrong = fault(circles)
    total = 0.0 if wrong else sum(radius for _x, _y, radius in circles)
    return {"combined_score": total / KNOWN, "sum_of_radii": total, "artifacts": {"fault": wrong} if wrong else {}}


def fault(circles):
    """What is wrong with a packing, in one line; nothing where it is one."""
    if len(circles) != COUNT:
        return f"{len(circles)} circles, not {COUNT}"
    for number, (x, y, radius) in enumerate(circles):
        if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(radius)) or radius < 0:
            return f"circle {number} is not a circle: {x}, {y}, {radius}"
        if min(x, y, 1 - x, 1 - y) < radius - TOLERANCE:
            return f"circle {number} leaves the square"
        for other, (x2, y2, radius2) in enumerate(circles[:number]):
            if math.hypot(x - x2, y - y2) < radius + radius2 - TOLERANCE:
                return f"circles {other} and {number} overlap"
    return ""
