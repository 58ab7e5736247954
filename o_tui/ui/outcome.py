"""What a trial has shown, in words: never more than its numbers carry. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from o_tui.ui import format

STEPS = ("intent", "checkpoint", "generate", "validate", "shadow", "pending")
"""States of an evolution on its way to the operator."""
ACTIVE = (*STEPS[:-1], "deploying", "canary")
"""States in which it is at work."""
TOO_FEW = 900
"""An interval that reaches so far is how the evidence writes that it knows too little."""


def known(ratio: Mapping[str, Any]) -> bool:
    """Enough pairs were measured for an interval."""
    low, high = ratio.get("ci_low"), ratio.get("ci_high")
    return isinstance(low, int | float) and isinstance(high, int | float) and high < TOO_FEW


def measured(ratio: Mapping[str, Any]) -> str:
    """The change for a column; `-` where too little was measured to name one."""
    return format.change(ratio.get("ratio_median")) if known(ratio) else format.MISSING


def difference(ratio: Mapping[str, Any]) -> str:
    """`19 % faster`, or `no difference shown` where the interval holds none; empty: nothing was measured."""
    median = ratio.get("ratio_median")
    if not isinstance(median, int | float):
        return ""
    if not known(ratio):
        return "too few pairs"
    if ratio["ci_low"] <= 1 <= ratio["ci_high"]:
        return "no difference shown"
    change = round((1 - median) * 100)
    return "as fast" if change == 0 else f"{abs(change)} % {'faster' if change > 0 else 'slower'}"


def shown_at(evidence: Mapping[str, Any]) -> str:
    """`p 0.003`: how surely the goal was shown; empty: measured before that was kept."""
    e_value = (evidence.get("e_values") or {}).get("goal")
    return format.p_value(float(e_value)) if isinstance(e_value, int | float) else ""


def verdict(row: Mapping[str, Any]) -> str:
    """The main numbers of a trial in a few words; empty: there are none."""
    evidence = row.get("evidence") or {}
    answers = evidence.get("answers") or {}
    words = [difference(evidence.get("latency") or {}), shown_at(evidence)]
    if answers:
        words.append(f"{answers.get('different', 0)} of {evidence.get('pairs', 0)} answers differ")
    return ", ".join(word for word in words if word)


def ending(row: Mapping[str, Any]) -> str:
    """A row's state, or `no_evidence` where nothing was shown and nobody refused it: that is no rejection."""
    state = str(row.get("state") or "")
    undecided = (row.get("verdict") or (row.get("evidence") or {}).get("decision")) == "no_evidence"
    return "no_evidence" if state == "rejected" and undecided and not row.get("by") else state


def population(row: Mapping[str, Any]) -> str:
    """`generation 3 of 10, 130 looked at, best quality +0.212`; empty: there is no population, or none yet."""
    generations = row.get("generations") or ()
    if not generations:
        return ""
    now, best = generations[-1], max((each for each in generations if "score" in each), key=_score, default=None)
    words = [f"generation {now.get('number')} of {now.get('of')}"]
    words.append(f"{format.count(sum(int(each.get('measured') or 0) for each in generations))} looked at")
    if best is not None and _score(best) > 0:
        named = f"quality {best['quality']:+.3f}" if best.get("quality") else f"fitness {_score(best):+.3f}"
        words.append(f"best {named}")
    return ", ".join(words)


_DOING = {
    "make": "making",
    "validate": "validating",
    "final": "validating",
    "look": "looking at",
    "race": "racing",
    "prove": "measuring again",
}


def at_work(row: Mapping[str, Any]) -> str:
    """`validating candidate 5 of 12, 2 failed`; empty: nothing is done with one of several."""
    work = row.get("work") or {}
    of, doing = int(work.get("of") or 0), _DOING.get(str(work.get("doing")), "")
    if not doing or (of < 2 and not row.get("generations")):
        return ""
    what = "finalist" if work["doing"] == "final" else "candidate"
    words = [f"{doing} {what} {int(work.get('at') or 0)} of {of}" if of > 1 else f"{doing} the best so far"]
    words += [f"round {int(work['round'])}"] if work.get("round") else []
    words += [f"{format.count(int(work['failed']))} failed"] if work.get("failed") else []
    return ", ".join(words)


def stage(row: Mapping[str, Any]) -> str:
    """`validate, step 4 of 6`; of a change that is deployed its state alone."""
    state = str(row.get("state") or "")
    words = format.shown(state, 30).replace("_", " ")
    return f"{words}, step {STEPS.index(state) + 1} of {len(STEPS)}" if state in STEPS else words


def progress(row: Mapping[str, Any]) -> str:
    """All that can be said in a line of an evolution that is at work: its stage, population and candidate."""
    if row.get("state") not in ACTIVE:
        return ""
    return ", ".join(words for words in (stage(row), population(row), at_work(row)) if words)


def _score(generation: Mapping[str, Any]) -> float:
    return float(generation["score"])


def began_by_itself(row: Mapping[str, Any]) -> bool:
    """What was seen of the agent has called for it, not an operator; and it is at work."""
    return bool(row.get("why") and row.get("hypothesis")) and row.get("state") in ACTIVE


def under_way(row: Mapping[str, Any]) -> str:
    """Of an evolution at work, for a chat in which it was not begun: words that stay true when it has ended."""
    gene, identity = format.shown(row.get("gene"), 40), format.shown(row.get("id"), 40)
    why = format.shown(row.get("hypothesis"), 300)
    what = f"began by itself: {why}" if began_by_itself(row) else "was begun elsewhere"
    return f"Evolution **{identity}** of `{gene}` {what}.\nShadows shows it; what may be better waits in Review (F4)."


def told(row: Mapping[str, Any]) -> str:
    """How an evolution has ended, or that it waits, for the chat; empty while it is at work."""
    state = str(row.get("state") or "")
    gene, identity = format.shown(row.get("gene"), 40), format.shown(row.get("id"), 40)
    ends = {
        "pending": "has been measured and waits for you in Review (F4)",
        "rejected": "was rejected",
        "failed": "has failed",
        "promoted": f"is promoted: v{format.shown(row.get('version'), 20)} runs",
        "improved": "found a better program",
        "rolled_back": "was rolled back",
    }
    if state not in ends:
        return ""
    end, numbers, reason = ends[state], verdict(row), format.shown(row.get("reason"), 300)
    if ending(row) == "no_evidence":
        end, numbers = "has ended: nothing was shown to be better", ""  # figures would say otherwise than the reason
    lines = [f"Evolution **{identity}** of `{gene}` {end}."]
    lines += [f"- {text}" for text in (reason, numbers) if text]
    return "\n".join(lines)
