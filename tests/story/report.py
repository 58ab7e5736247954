"""What the story measured, as a sentence, a section of the README and a picture."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PICTURE = "docs/story.svg"
_SECTION = re.compile(r"<!-- story -->.*?<!-- /story -->", re.DOTALL)
WIDTH, HEIGHT, LEFT, BOTTOM = 760, 320, 60, 44


@dataclass(slots=True)
class Figures:
    """Numbers of one run.

    Attributes:
        data: The conversations.
        tried: (seconds, recall@5 gain on what is learned from) of each candidate, in order; None: it failed.
        before, after: Recall@5 of main and of the winner on the unseen conversations, paired.
        improved_s: Until the better code served everybody; `took_s`: until the bad promotion was undone too.
        undone: How the guardian said so.
    """

    data: str = ""
    tried: list[tuple[float, float | None]] = field(default_factory=list)
    before: float = 0.0
    after: float = 0.0
    evidence: str = ""
    pairs: int = 0
    improved_s: float = 0.0
    took_s: float = 0.0
    undone: str = ""
    began_s: float = 0.0

    @property
    def gain(self) -> float:
        """On the unseen conversations."""
        return self.after - self.before

    def race(self, rows: list[dict[str, Any]], now_s: float) -> None:
        """Takes what a race has come to."""
        self.began_s = self.began_s or now_s
        for row in rows[len(self.tried) :]:
            quality = row.get("quality")
            self.tried.append((now_s - self.began_s, float(quality) if quality is not None else None))

    def proof(self, row: dict[str, Any]) -> None:
        """Takes the evidence of the measurement that decided."""
        found = row.get("evidence") or {}
        quality = found.get("quality") or {}
        self.before, self.after = float(quality.get("main") or 0.0), float(quality.get("candidate") or 0.0)
        self.pairs = int(found.get("pairs") or 0)
        self.evidence = "; ".join(str(reason) for reason in found.get("reasons") or ())


def sentence(figures: Figures) -> str:
    """One line about all of it."""
    return (
        f"recall@5 on unseen conversations {figures.before:.3f} -> {figures.after:.3f} ({figures.gain:+.3f}) after "
        f"{len(figures.tried)} candidates and {figures.improved_s:.0f} s; the bad promotion: {figures.undone}"
    )


def section(figures: Figures) -> str:
    """The README's part."""
    when = datetime.now(UTC).date().isoformat()
    learned = f"{figures.before:.3f} -> {figures.after:.3f}"
    return f"""<!-- story -->
`just story`, {when}, {platform.machine()}, no model, no network, {figures.data}: it begins with a plain search for
words (data/story/recall_baseline.py: the weights of context, neighbours and speakers are there, and nought);
{len(figures.tried)} candidates by built-in operators and {figures.improved_s / 60:.1f} minutes later the agent
recalled **{learned}** (recall@5, {figures.pairs} paired questions about conversations that it had never seen).
The arbiter: *{figures.evidence}*.
It was approved and served as a canary at 10, 50 and 100 %. A change that behaves on trial and turns slow in service was
approved next; the guardian took it back by itself: *{figures.undone}*.

![each candidate's recall@5 beside what ran, and the best so far]({PICTURE})
<!-- /story -->"""


def picture(figures: Figures) -> str:
    """Candidates as dots, the best so far as a line: SVG."""
    known = [(at, value) for at, value in figures.tried if value is not None]
    last_s = max([at for at, _ in known], default=1.0) or 1.0
    values = [0.0, *(value for _, value in known)]
    low, high = min(values), max(values)
    span = (high - low) or 1.0

    def place(at: float, value: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - 20) * at / last_s
        return x, HEIGHT - BOTTOM - (HEIGHT - BOTTOM - 30) * (value - low) / span

    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in (place(at, value) for at, value in known))
    best, steps = 0.0, [place(0.0, 0.0)]
    for at, value in known:
        if value > best:
            steps += [place(at, best), place(at, value)]
            best = value
    steps.append(place(last_s, best))
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in steps)
    zero = place(0.0, 0.0)[1]
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"
 font-family="sans-serif" font-size="12"><rect width="{WIDTH}" height="{HEIGHT}" fill="#11151c"/>
<g fill="#aab4be"><text x="{LEFT}" y="18">recall@5 beside what runs, on questions that candidates learn from</text>
<text x="{LEFT}" y="{HEIGHT - 14}">0 s</text><text x="{WIDTH - 60}" y="{HEIGHT - 14}">{last_s:.0f} s</text>
<text x="8" y="{zero + 4:.1f}">same</text><text x="8" y="{place(0.0, high)[1] + 4:.1f}">{high:+.3f}</text></g>
<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{zero:.1f}" y2="{zero:.1f}" stroke="#4b5663" stroke-dasharray="4 4"/>
<g fill="#7fb4ff" fill-opacity="0.6">{dots}</g>
<polyline points="{line}" fill="none" stroke="#8fd18b" stroke-width="2"/>
</svg>
"""


def write(figures: Figures) -> None:
    """Into the README, and the picture beside it."""
    (ROOT / PICTURE).write_text(picture(figures), "utf-8")
    readme = ROOT / "README.md"
    text = readme.read_text("utf-8")
    readme.write_text(_SECTION.sub(lambda _found: section(figures), text), "utf-8")
