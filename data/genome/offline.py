"""What the agent answers without a model: from memory, by its tools, and never as if it were one."""

from __future__ import annotations

import re

from o_tui.agent.dsl import CallTool, Context, Hit, Recall, Record, Remember, Request, Say, Step, Steps, Together

from . import remember
from .tools import calculator, dates, notes

INTRODUCTION = (
    "*I am in offline mode: no model is connected, so I keep, find and calculate, but do not converse."
    " `/brain` connects one; `help` says what I can do.*"
)
HELP = """Without a model I can:

- **keep things**: `remember that the demo is on Friday`, `note: buy tea`; all else I keep for a while
- **find them again**: `what did I say about the demo?`, `when is the demo?`, any question; `notes` lists the notes
- **calculate**: `17*23`, `3% of 80`, `sqrt(2)`, `5 km in miles`
- **count days**: `days until 2026-12-24`, `what day is 3 May`, `in 3 weeks`, `time`
- **count words**: `count words in` …

`/brain` connects a model, then I can talk as well. Memories stay where they are."""
RELEVANT_SCORE = 0.26
"""A memory below this is not about the question."""
QUOTES = 4
QUOTE_CHARS = 400

_KEEP = re.compile(
    r"(?:please\s+|can you\s+|could you\s+)?(?P<verb>remember|note|memo|keep in mind|take a note|don't forget)\b"
    r"(?:\s+(?:that|down))?\s*[:,]?\s*(?P<what>.*\S)",
    re.I | re.S,
)
_REMEMBER_QUESTION = re.compile(r"(?:do|can|did) you (?:still )?remember\b", re.I)
_HELP = re.compile(r"(?:/?help|\?|what can you do\??|commands)", re.I)
_GREETING = re.compile(r"\W*(hi|hello|hey|hey there|good (?:morning|afternoon|evening)|servus|moin)\W*", re.I)
_THANKS = re.compile(r"\W*(thanks?(?: you)?(?: very much)?|thx|cheers)\W*", re.I)
_NOTES = re.compile(r"(?:list |show |my )*notes\??", re.I)
_COUNT = re.compile(r"count (?:the )?(?:words|characters|letters) (?:in|of)\s*:?\s+(?P<text>.+)", re.I | re.S)
_QUESTION = re.compile(
    r"(?:who|whom|whose|what|when|where|which|why|how|did|do|does|is|are|was|were|has|have|had|can|could|will|would"
    r"|should|tell me (?:about|what|who|when|where)|search(?: for)?|find|look up|recall)\b",
    re.I,
)
_WISH = re.compile(
    r"(?:please\s+|can you\s+|could you\s+)?(?:tell me|write|make|explain|translate|summari[sz]e|suggest|describe|draw"
    r"|invent|compose|help me|give me|show me)\b",
    re.I,
)
_ABOUT = re.compile(
    r"(?:what (?:did|do|have) (?:i|we|you) (?:ever )?(?:say|said|tell(?: you)?|told(?: you)?|write|know|mention(?:ed)?)"
    r" (?:about|of|on)|what do you know (?:about|of)|do you (?:still )?remember|tell me about|search(?: for)?|find"
    r"|look up|recall)\s+(?P<topic>.+?)[?.!\s]*$",
    re.I | re.S,
)
_ASK = re.compile(r"^(?:what(?:'s| is| are)|calculate|compute|how much is|convert|solve)\s+", re.I)
_FIGURES = re.compile(r"\d")
_PLAIN_NUMBER = re.compile(r"[\d\s.,:/-]*")
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def respond_offline(request: Request, context: Context) -> Steps:
    """One request without a model."""
    text = request.text.strip()
    kept: list[Step] = []
    match = _KEEP.fullmatch(text)
    if not text or _HELP.fullmatch(text):
        answer = HELP
    elif _GREETING.fullmatch(text):
        answer = "Hello! " + _state_of_memory(context)
    elif _THANKS.fullmatch(text):
        answer = "You are welcome."
    elif match and not text.endswith("?"):
        kept = [Remember(match["what"], notes.SOURCE, kind="semantic", importance=0.9)]
        answer = f"I will remember that:\n\n{quoted(match['what'])}"
    else:
        answer = yield from _by_tools(text, context)
        if not answer and is_question(text):
            answer = yield from _from_memory(text, context)
        elif not answer:
            kept = [Remember(text, _source(request), context=_before(context))]
            if _WISH.match(text):
                answer = "Without a model I can only keep that: it is in my short-term memory. `/brain` connects one."
            else:
                answer = "Kept in my short-term memory."
                answer += " " + ("Ask me about it any time." if context.turns else "Ask, and I will quote it.")
    if not any(turn.role == "assistant" for turn in context.turns):
        answer = f"{INTRODUCTION}\n\n{answer}"
    yield Together([Record("user", request.text), *kept, Record("assistant", answer)])
    yield Say(answer)


def is_question(text: str) -> bool:
    """Whether a text asks for something that memory may know."""
    return text.rstrip().endswith("?") or _QUESTION.match(text) is not None


def topic(text: str) -> str:
    """What a question is about: "what did I say about the demo?" -> "the demo"."""
    match = _ABOUT.match(text)
    return match["topic"] if match else text.rstrip("?!. ")


def quoted(text: str, limit: int = QUOTE_CHARS) -> str:
    """A text as a Markdown quotation, within a limit."""
    text = text.strip()
    if len(text) > limit:
        text = text[:limit].rsplit(" ", 1)[0] + " …"
    return "\n".join(f"> {line}" for line in text.splitlines())


def _by_tools(text: str, context: Context) -> Steps:
    """The answer of a tool, "" where none is asked for."""
    count = _COUNT.fullmatch(text)
    if count:
        result = yield CallTool("count_text", {"text": count["text"]})
        return result.text
    if _NOTES.fullmatch(text):
        result = yield CallTool("list_notes", {})
        return (
            f"Your notes, newest first:\n\n{result.text}" if result.text.startswith("-") else "There are no notes yet."
        )
    if dates.answer(text, dates.local(context.now_ns)) is not None:
        result = yield CallTool("dates", {"question": text})
        return result.text
    if is_calculation(text):
        result = yield CallTool("calculator", {"expression": _ASK.sub("", text).rstrip("=? ")})
        return f"**{result.text}**" if result.ok else result.text
    return ""


def is_calculation(text: str) -> bool:
    """Whether a text is arithmetic, with a result or without one; a plain number or a date is none."""
    bare = _ASK.sub("", text).rstrip("=?! ")
    if not _FIGURES.search(bare) or _ISO_DATE.fullmatch(bare):
        return False
    if _PLAIN_NUMBER.fullmatch(bare) and not re.search(r"\d\s*[-/]\s*\d", bare):
        return False
    try:
        calculator.answer(bare)
    except calculator.NotArithmeticError:
        return False
    except calculator.NoResultError:
        return True
    return True


def _from_memory(text: str, context: Context) -> Steps:
    subject = topic(text)
    hits: list[Hit] = yield Recall(subject, QUOTES)
    found = [hit for hit in hits if hit.score >= RELEVANT_SCORE]
    if not found:
        return (
            f"I have nothing about that in my memory ({_number(context.state.count(), 'memory', 'memories')})."
            " Tell me, and next time I will."
        )
    head = "From memory:" if len(found) == 1 else f"From memory, the best {len(found)}:"
    return "\n\n".join([head, *(_quotation(hit, context) for hit in found)])


def _quotation(hit: Hit, context: Context) -> str:
    block = hit.block
    when = f"{dates.local(block.time_ns):%Y-%m-%d %H:%M}"
    similar = f" · similarity {hit.similarity:.2f}" if hit.similarity > 0 else ""
    return f"{quoted(block.text)}\n>\n> — {block.source or 'unknown source'}, {when}{similar}"


def _source(request: Request) -> str:
    return "chat" if request.session in ("", "main") else f"chat {request.session}"


def _before(context: Context) -> str:
    """The day and the two messages before, so that a memory is also found by what it followed."""
    return remember.around([turn for turn in context.turns[-4:] if turn.role == "user"], context.now_ns)


def _state_of_memory(context: Context) -> str:
    count = context.state.count()
    return f"I hold {_number(count, 'memory', 'memories')}." if count else "My memory is still empty."


def _number(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
