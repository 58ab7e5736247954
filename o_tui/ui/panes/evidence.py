"""What stands beside a diff: every number that the decision was made from, written so that it can be doubted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from o_tui.protocol.refusals import in_words
from o_tui.ui import plots
from o_tui.ui.diff.flags import Flag
from o_tui.ui.format import change, count, interval, milliseconds, short, shown, size
from o_tui.ui.lists.row_list import Row
from o_tui.ui.outcome import difference, known, population, shown_at
from o_tui.ui.text import Text

MOST_FLAGS = 8
MOST_EXAMPLES = 3
PLOT_CELLS = 25
_REACH = {
    "low": "none added: only numbers differ",
    "medium": "none added: the logic differs",
    "high": "ADDED OR CHANGED: imports, effects or parameters",
}
"""What a change may reach that the code before did not, by its class (evolution/risk.py)."""


def evidence(row: Row, flags: Sequence[Flag], *, ascii_only: bool = False) -> list[Text]:
    """All of it, one line each; headings are bold."""
    found = row.get("evidence") or {}
    return [
        *_decision(row, found),
        *_characters(flags),
        *_canary(row.get("canary") or {}),
        *_measured(found),
        *_plot(found, ascii_only),
        *_answers(found.get("answers") or {}),
        *_effects(found),
        *_sandbox(row, found),
        *_stages(row),
        *_origin(row),
    ]


def summary(row: Row, flags: Sequence[Flag]) -> list[Text]:
    """The same in a few words each, for a narrow pane: what must not be missed first."""
    found = row.get("evidence") or {}
    items = [Text(f"[!] {len(flags)} HIDDEN CHARACTERS", "bold")] if flags else []
    refused = (found.get("sandbox") or {}).get("candidate") or ()
    items += [Text(f"sandbox: {count(len(refused))} REFUSED", "bold")] if refused else []
    items += [Text("REACH ADDED", "bold")] if row.get("risk") == "high" else []
    items += _in_short(found) if found else [Text("no pairs were measured")]
    stages = row.get("stages") or ()
    failed = [stage for stage in stages if not _passed(stage)]
    items.append(Text(f"stages {len(stages) - len(failed)} ok" + (f", {len(failed)} NOT" if failed else "")))
    items += [] if flags else [Text("hidden characters: none")]
    return [*items, Text("i evidence")]


def _in_short(found: Mapping[str, Any]) -> Iterator[Text]:
    latency, errors = found.get("latency") or {}, found.get("errors") or {}
    different, pairs = int((found.get("answers") or {}).get("different") or 0), int(found.get("pairs") or 0)
    text = Text()
    text.append(f"latency {difference(latency) or 'not measured'}", "bold")
    text.append(f" ({_interval(latency)})" if known(latency) else "")
    text.append(f" {words}" if (words := shown_at(found)) else "")
    yield text
    yield Text(f"errors {errors.get('main', 0)} -> {errors.get('candidate', 0)}")
    yield Text(f"{count(different)} of {count(pairs)} answers differ", "bold" if different else "")


def _heading(text: str) -> Text:
    return Text(text, style="bold")


def _pair(name: str, value: str, style: str = "") -> Text:
    text = Text()
    text.append(f"{name:<8} ", "dim")
    text.append(value, style)
    return text


def _decision(row: Row, found: Mapping[str, Any]) -> Iterator[Text]:
    verdict = shown(row.get("verdict") or found.get("decision") or row.get("state"), 40).replace("_", " ")
    yield _heading(f"Verdict: {verdict}")
    reasons = [shown(text, 300) for text in found.get("reasons") or () if text]
    last = shown(row.get("reason"), 300)
    # while it waits its reason is those of the verdict, joined
    if last and not any(text in last or last in text for text in reasons):
        reasons.append(last)
    for reason in dict.fromkeys(reasons):
        yield Text(f"- {reason}")
    yield Text()


def _characters(flags: Sequence[Flag]) -> Iterator[Text]:
    if not flags:
        yield Text("No hidden characters.")
    else:
        yield _heading(f"[!] {len(flags)} hidden or confusable")
        for flag in flags[:MOST_FLAGS]:
            yield Text(f"  {flag.text()}")
        if len(flags) > MOST_FLAGS:
            yield Text(f"  and {len(flags) - MOST_FLAGS} more")
    yield Text()


def _measured(found: Mapping[str, Any]) -> Iterator[Text]:
    if not found:
        yield Text("No pairs were measured.")
        return
    yield _heading(f"Measured on {count(int(found.get('pairs') or 0))} pairs")
    if words := shown_at(found):
        yield _pair("goal", f"{words} (e-value {found['e_values']['goal']:,.4g})".replace(",", " "), "bold")
    for name, key in (("latency", "latency"), ("cpu", "cpu")):
        ratio = found.get(key) or {}
        if not ratio:
            continue
        if not known(ratio):
            yield _pair(name, "too few pairs", "bold")
            continue
        yield _pair(name, change(ratio.get("ratio_median")), "bold")
        yield _pair("  95 %", _interval(ratio))
        yield _pair("  p50", _arrow(milliseconds, ratio.get("main_p50_ms"), ratio.get("candidate_p50_ms")))
        if ratio.get("main_p95_ms"):
            yield _pair("  p95", _arrow(milliseconds, ratio.get("main_p95_ms"), ratio.get("candidate_p95_ms")))
    errors = found.get("errors") or {}
    worse = int(errors.get("candidate") or 0) > int(errors.get("main") or 0)
    text = f"{errors.get('main', 0)} -> {errors.get('candidate', 0)}" + (" MORE" if worse else "")
    yield _pair("errors", text, "bold" if worse else "")
    for key, word in (("candidate_crashes", "crashes"), ("candidate_hangs", "hangs")):
        if errors.get(key):
            yield _pair(f"  {word}", count(errors[key]), "bold")
    if errors.get("first"):
        yield _pair("  first", shown(errors["first"], 200))
    memory = found.get("memory") or {}
    if memory.get("main_bytes"):
        ratio_text = change(float(memory.get("candidate_bytes") or 0) / float(memory["main_bytes"]))
        yield _pair("memory", ratio_text)
        yield _pair("  peak", _arrow(size, memory["main_bytes"], memory.get("candidate_bytes")))
    blow_ups = found.get("blow_ups") or {}
    if any(blow_ups.values()):
        yield _pair("2x slower", f"{blow_ups.get('main', 0)} -> {blow_ups.get('candidate', 0)}")
    yield Text()


def _plot(found: Mapping[str, Any], ascii_only: bool) -> Iterator[Text]:
    """The paired differences themselves: a median says nothing of its tails."""
    ratios = [math.exp(value) for value in found.get("paired") or () if math.isfinite(value) and abs(value) < 20]
    if len(ratios) < MOST_EXAMPLES:
        return
    latency = found.get("latency") or {}
    ends = [float(latency[key]) for key in ("ci_low", "ci_high")] if known(latency) else []
    end = plots.axis_range([*ratios, *ends * len(ratios)])
    yield _heading("Each pair, faster | slower")
    yield Text(plots.histogram(ratios, PLOT_CELLS, end, ascii_only=ascii_only), style="bold")
    if known(latency):
        low, middle, high = (float(latency[key]) for key in ("ci_low", "ratio_median", "ci_high"))
        yield Text(plots.whisker(low, middle, high, PLOT_CELLS, end, ascii_only=ascii_only))
    yield Text(plots.axis(PLOT_CELLS, end), style="dim")
    yield Text()


def _canary(canary: Mapping[str, Any]) -> Iterator[Text]:
    if not canary:
        return
    yield _heading(f"Canary: {shown(canary.get('state') or 'running', 30)}")
    yield _pair("share", f"{100 * float(canary.get('share') or 0):.0f} % of requests")
    yield _pair("requests", f"{count(int(canary.get('requests') or 0))} of {count(int(canary.get('total') or 0))}")
    if canary.get("reason"):
        yield Text(f"- {shown(canary['reason'], 300)}")
    yield Text()


def _arrow(write: Any, old: Any, new: Any) -> str:
    return f"{write(old or 0)} -> {write(new or 0)}"


def _interval(ratio: Mapping[str, Any]) -> str:
    return interval(ratio.get("ci_low"), ratio.get("ci_high")) if known(ratio) else "too few pairs"


def _answers(answers: Mapping[str, Any]) -> Iterator[Text]:
    same, different = int(answers.get("same") or 0), int(answers.get("different") or 0)
    yield _pair("answers", f"{count(same)} same, {count(different)} not", "bold" if different else "")
    for example in (answers.get("examples") or ())[:MOST_EXAMPLES]:
        if isinstance(example, Mapping):
            yield Text(f"  ask: {shown(example.get('request'), 120)}")
            yield Text(f"   old: {shown(example.get('main'), 160)}")
            yield Text(f"   new: {shown(example.get('candidate'), 160)}")
        else:
            yield Text(f"  {shown(example, 200)}")


def _effects(found: Mapping[str, Any]) -> Iterator[Text]:
    effects = found.get("effects") or {}
    diverged = int(effects.get("diverged") or 0)
    if effects:
        text = f"{count(int(effects.get('recorded') or 0))} alike, {count(diverged)} not"
        yield _pair("effects", text, "bold" if diverged else "")
    for example in (effects.get("examples") or ())[:MOST_EXAMPLES]:
        yield Text(f"  would have: {shown(example, 160)}")
    sources = found.get("requests_from") or {}
    if sources:
        said = f"{sources.get('recorded', 0)} yours, {sources.get('workload', 0)} workload"
        if mirrored := int(sources.get("mirrored") or 0):
            said += f", {count(mirrored)} mirrored live"
        if kept := int(sources.get("attacks") or 0):
            failed = int(sources.get("attacks_failed") or 0)
            said += f", {count(kept)} kept attacks" + (f" ({count(failed)} break it)" if failed else "")
        yield _pair("requests", said)
    yield Text()


def _sandbox(row: Row, found: Mapping[str, Any]) -> Iterator[Text]:
    refused = (found.get("sandbox") or {}).get("candidate")
    if row.get("risk"):
        words = _REACH.get(str(row["risk"]), shown(row["risk"], 20))
        yield _pair("reach", words, "bold" if row["risk"] == "high" else "")
    if refused is not None:  # else measured before anything was recorded
        yield _pair("sandbox", in_words([shown(what, 80) for what in refused]), "bold" if refused else "")
    if row.get("risk") or refused is not None:
        yield Text()


def _passed(stage: Mapping[str, Any]) -> bool:
    return stage.get("verdict") in ("pass", "passed", "ok", "skipped", "skip")


def _stages(row: Row) -> Iterator[Text]:
    stages = row.get("stages") or ()
    if not stages:
        return
    total = sum(float(stage.get("ms") or 0) for stage in stages)
    yield _heading(f"Checks, {milliseconds(total)}")
    for stage in stages:
        mark = "[OK]" if _passed(stage) else "[!!]"
        text = Text(f"{mark} {shown(stage.get('name'), 24)} ", style="" if _passed(stage) else "bold")
        text.append(milliseconds(stage.get("ms")), "dim")
        yield text
        if stage.get("detail") and not _passed(stage):
            yield Text(f"     {shown(stage['detail'], 300)}")
    yield Text()


def _origin(row: Row) -> Iterator[Text]:
    yield _heading("Change")
    for name, key in (("goal", "goal"), ("because", "hypothesis"), ("from", "origin"), ("before", "checkpoint_id")):
        if row.get(key):
            value = shown(row[key], 300)
            yield _pair(name, short(value) if key == "checkpoint_id" else value)
    if searched := population(row):
        yield _pair("search", searched)
    yield _pair("revision", short(shown(row.get("revision")), 12))
    yield _pair("diff", short(shown(row.get("diff_sha256")), 16))
    yield _pair("evidence", short(shown(row.get("evidence_sha256")), 16))
