"""What enters memory in which pieces, how much it matters, and what becomes of it with time."""

from __future__ import annotations

import re
from collections.abc import Iterator

from o_tui.agent.dsl import Block, Change, Turn

from .tools import dates

CHUNK_CHARS = 900
"""Longest piece. Long enough for a paragraph, short enough that a quotation of it can be read."""
BEFORE_CHARS = 300
KEEP_IMPORTANCE = 0.6
"""From here on a short-term memory becomes a long-term one with the next consolidation."""
KEEP_ACCESSES = 2
KEEP_AFTER_DAYS = 1.0
FORGET_IMPORTANCE = 0.15
FORGET_AFTER_DAYS = 30.0

_DAY_NS = 86_400_000_000_000
_PARAGRAPH = re.compile(r"\n\s*\n")
_SENTENCE = re.compile(r"(?<=[.!?…])\s+|\n")
_SIGNS: tuple[tuple[re.Pattern[str], float], ...] = (
    (re.compile(r"\b(important|remember|never|always|must|deadline|urgent|don't forget)\b", re.I), 0.25),
    (re.compile(r"\b(my|our|mine|ours)\b", re.I), 0.12),
    (re.compile(r"\bI\s+(am|like|love|hate|prefer|live|work|need|want|use|have)\b|\bI'm\b", re.I), 0.15),
    (re.compile(r"\d"), 0.1),
    (
        re.compile(r"\b(today|tomorrow|yesterday|monday|tuesday|wednesday|thursday|friday|saturday|sunday)\b", re.I),
        0.08,
    ),
    (re.compile(r"(?<=[a-z,;] )[A-Z][a-z]+"), 0.1),  # a name inside a sentence
    (re.compile(r"\b(birthday|address|phone|email|password|appointment|decided|promised|agreed)\b", re.I), 0.15),
)
_SMALL_TALK = re.compile(r"\W*(hi|hello|hey|thanks?( you)?|ok(ay)?|yes|no|bye|good (morning|evening|night))\W*", re.I)
_KIND_BASE = {"short_term": 0.25, "episodic": 0.3, "semantic": 0.5, "long_term": 0.6}


def chunk(text: str) -> list[str]:
    """Pieces of at most CHUNK_CHARS, cut between paragraphs, else between sentences, else between words."""
    pieces: list[str] = []
    for joint, part in _parts(text):
        if pieces and len(pieces[-1]) + len(joint) + len(part) <= CHUNK_CHARS:
            pieces[-1] += joint + part
        else:
            pieces.append(part)
    return pieces


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """The largest parts that fit, each with what joins it to the one before."""
    for paragraph in map(str.strip, _PARAGRAPH.split(text)):
        joint = "\n\n"
        for sentence in [paragraph] if len(paragraph) <= CHUNK_CHARS else _SENTENCE.split(paragraph):
            for part in _words(sentence.strip()):
                yield joint, part
                joint = " "


def _words(text: str) -> list[str]:
    """Pieces of a sentence without an end: cut at the last blank before the limit, or hard."""
    pieces = []
    while len(text) > CHUNK_CHARS:
        cut = text.rfind(" ", CHUNK_CHARS // 2, CHUNK_CHARS)
        cut = cut if cut > 0 else CHUNK_CHARS
        pieces.append(text[:cut].strip())
        text = text[cut:].strip()
    return [*pieces, text] if text else pieces


def around(turns: list[Turn], now_ns: int) -> str:
    """What something said in a conversation is found by beside its own words: the day, and the turns before."""
    day = f"{dates.local(now_ns):%A %d %B %Y}"
    return "\n".join([day, *(turn.text[:BEFORE_CHARS] for turn in turns)])


def importance(text: str, kind: str) -> float:
    """From 0 (small talk) to 1: facts about people, times, decisions and wishes count, questions do not."""
    if _SMALL_TALK.fullmatch(text):
        return 0.05
    score = _KIND_BASE.get(kind, 0.25) + sum(weight for sign, weight in _SIGNS if sign.search(text))
    if text.rstrip().endswith("?"):
        score -= 0.25
    if len(text) < 12:
        score -= 0.1
    return round(min(1.0, max(0.0, score)), 3)


def consolidate(blocks: list[Block], now_ns: int) -> list[Change]:
    """What becomes of short-term memories.

    One that matters, or that was recalled more than once, becomes long-term; so does any that is a day old and not
    trivial. Exact repetitions keep only the newest. What never mattered and was never recalled goes after a month.
    """
    changes = []
    seen: set[str] = set()
    for block in sorted(blocks, key=lambda block: (-block.time_ns, block.id)):
        same = " ".join(block.text.lower().split())
        age_days = max(0, now_ns - block.time_ns) / _DAY_NS
        trivial = block.importance < FORGET_IMPORTANCE
        forgotten = trivial and block.accesses == 0 and age_days >= FORGET_AFTER_DAYS
        matters = block.importance >= KEEP_IMPORTANCE or block.accesses >= KEEP_ACCESSES
        if same in seen or forgotten:
            changes.append(Change(block.id, remove=True))
        elif matters or (age_days >= KEEP_AFTER_DAYS and not trivial):
            lifted = min(1.0, block.importance + 0.05 * min(4, block.accesses))
            changes.append(Change(block.id, kind="long_term", importance=lifted))
        seen.add(same)
    return changes
