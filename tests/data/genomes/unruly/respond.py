"""Does what it is told, whatever that is."""

from __future__ import annotations

from o_tui.agent.dsl import Context, Remember, Request, Say, Steps


def respond(request: Request, context: Context) -> Steps:
    if request.text == "raise":
        raise ValueError("on purpose")
    if request.text == "leave":
        raise SystemExit(3)
    if request.text == "recurse":
        respond_again(0)
    if request.text == "yield":
        yield "this is no step"
    if request.text == "endless":
        while True:
            yield Say("")
    if request.text == "hang":
        while True:
            pass
    if request.text.startswith("remember"):
        yield Remember(request.text, "chat")
    yield Say(request.text)


def respond_again(depth: int) -> int:
    return respond_again(depth + 1) + 1
