"""`say` and `cancel`: one request and its answer."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from o_tui.cli.command import Command, Context, piped
from o_tui.protocol.errors import NotFoundError, UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `say`."""
    parser.add_argument("text", nargs="*", help="what to say; without it, or for -, standard input")
    parser.add_argument("--session", default="main", help="the conversation that it belongs to (default: main)")
    parser.add_argument("--stream", action="store_true", help="print as it comes; with --json one event a line")


def say(context: Context) -> int:
    """Says it and prints the answer."""
    text = _text(context.args.text)
    params = {"text": text, "session": context.args.session}
    if context.args.stream:
        return _stream(context, params)
    answer: dict[str, Any] = context.call("say", **params)
    if context.out.json:
        context.out.value(answer)
    elif answer["text"]:
        context.out.text(answer["text"])
    return _verdict(context, answer)


def _text(words: list[str]) -> str:
    if words and words != ["-"]:
        text = " ".join(words)
    elif not words and sys.stdin.isatty():
        raise UsageError("there is nothing to say", hint="o-tui say TEXT, or pipe the text into it")
    else:
        text = piped()
    if not text.strip():
        raise UsageError("there is nothing to say", hint="o-tui say TEXT, or pipe the text into it")
    return text


def _stream(context: Context, params: dict[str, Any]) -> int:
    request_id, printed = "", False
    with context.guardian(follow=True) as client:
        for notice in (answers := client.stream("say", **params)):
            data = notice.data
            if notice.topic == "chat.request" and not request_id and data.get("text") == params["text"]:
                request_id = data["request_id"]
            if not notice.topic.startswith("chat.") or not request_id or data.get("request_id") != request_id:
                continue
            if context.out.json:
                context.out.value({"event": notice.topic.removeprefix("chat.")} | data)
            elif notice.topic == "chat.event" and data.get("kind") == "text":
                context.out.part(data["data"].get("text", ""))
                printed = True
        answer: dict[str, Any] = answers.value
    if context.out.json:
        context.out.value({"event": "answer"} | answer)
    elif printed:
        context.out.line()
    elif answer["text"]:
        context.out.text(answer["text"])
    return _verdict(context, answer)


def _verdict(context: Context, answer: dict[str, Any]) -> int:
    if answer.get("recovered"):
        context.out.note("an instance died under this request; it was carried on by another one")
    if not answer.get("ok", True):
        context.out.note(f"o-tui: {answer.get('error') or 'the request failed'}")
        return 69 if answer.get("error_kind") else 1
    return 0


def _cancel(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="the request's id, as `say --stream --json` or the screen shows it")


def cancel(context: Context) -> int:
    """Stops a request; 3 if none runs by that id."""
    done = bool(context.call("cancel", request_id=context.args.id)["cancelled"])
    if not done:
        raise NotFoundError(f"no request {context.args.id} is being answered")
    if context.out.json:
        context.out.value({"cancelled": done})
    else:
        context.out.line(f"cancelled {context.args.id}")
    return 0


COMMANDS = (
    Command(
        "cancel",
        "Stop a request that is being answered.",
        cancel,
        _cancel,
        examples=(("cancel 0b1d…", "its id"),),
        codes=(3, 4, 5),
        keys=("cancelled",),
    ),
    Command(
        "say",
        "Say something to the agent and print its answer.",
        say,
        configure,
        examples=(
            ("say what did I say about the boat", "one question"),
            ("say --stream 'tell me a story'", "print while it is written"),
            ("say --json < question.txt | jq -r .text", "from a file, for a script"),
        ),
        codes=(1, 5, 69),
        keys=("request_id", "text", "elapsed_ms", "recovered", "ok", "error"),
    ),
)
