"""Conversations for the story: those of LoCoMo where they are at hand, else made ones of the same form.

A made answer seldom repeats what its question asks about: the turn before it does, as people talk.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

NAMES = ("Ada", "Ben", "Carla", "Deniz", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kira", "Liam")
PLACES = (
    "Porto", "the Dolomites", "Leipzig", "the harbour museum", "Lake Orta", "the night market", "Bergen", "Ghent",
    "the old observatory", "Salento", "the botanical garden", "Trieste", "the glass works", "Bornholm", "Girona",
)  # fmt: skip
SIGHTS = (
    "a tiled chapel", "two herons at dawn", "a street of bookbinders", "the tide clock", "an open rehearsal",
    "a lighthouse with a library", "wild cyclamen", "a wooden tram", "a market of umbrellas", "a stone labyrinth",
    "a fox near the platform", "paper kites over the bay", "a fountain that plays at noon", "a row of blue barns",
)  # fmt: skip
HOBBIES = (
    "pottery", "fencing", "the cello", "bouldering", "calligraphy", "rowing", "baking rye bread", "bird ringing",
    "woodturning", "improvised theatre", "open water swimming", "restoring radios",
)  # fmt: skip
REASONS = (
    "my aunt left me her tools", "the doctor wanted me out of my chair", "a neighbour lent me a book about it",
    "it was raining for three weeks", "my sister dared me", "there was a poster at the station",
    "I could not sleep after the move", "a colleague needed a partner",
)  # fmt: skip
GIFTS = (
    "a brass compass", "a jar of quince jelly", "a map of the canals", "a linen apron", "a seed collection",
    "a signed print", "a pocket telescope", "a mended teapot", "a walnut box", "a knitted scarf",
)  # fmt: skip
SMALL_TALK = (
    "What a week. I have hardly sat down since Monday.", "It is so good to hear from you again.",
    "The weather has been odd, warm one day and frost the next.", "I was thinking about what you told me last time.",
    "Work is busy, but I cannot complain.", "Did you see the match? I fell asleep in the second half.",
    "I finally cleaned the cellar, it took all of Saturday.", "That sounds lovely, you deserve it.",
    "Remind me to send you the recipe.", "I have to run in a minute, but tell me more.",
    "We talked about the trip and the market for hours.", "Everybody keeps asking me about my hobby and my travels.",
)  # fmt: skip
MONTHS = ("January", "March", "May", "July", "September", "November")
SESSIONS = 12
FACTS = 6
"""Exchanges of a session that a question is asked about."""


def load(path: Path | None, seed: int = 1) -> tuple[list[dict[str, Any]], str]:
    """Conversations with questions, and what they are called."""
    if path is not None and path.is_file():
        return json.loads(path.read_text("utf-8")), f"LoCoMo ({path.name})"
    return [made(random.Random(seed * 100 + number), f"made-{number}") for number in range(5)], "made conversations"


def made(chance: random.Random, name: str) -> dict[str, Any]:
    """One conversation in LoCoMo's form."""
    speakers = chance.sample(NAMES, 2)
    conversation: dict[str, Any] = {"speaker_a": speakers[0], "speaker_b": speakers[1]}
    questions: list[dict[str, Any]] = []
    for session in range(1, SESSIONS + 1):
        month, year = chance.choice(MONTHS), 2022 + session // 7
        conversation[f"session_{session}_date_time"] = f"{chance.randint(1, 9)}:15 pm on 8 {month}, {year}"
        turns: list[tuple[str, str]] = []
        for _ in range(FACTS):
            turns += [(chance.choice(speakers), chance.choice(SMALL_TALK)) for _ in range(chance.randint(1, 3))]
            asker, teller = chance.sample(speakers, 2)
            asked, told, question = chance.choice((_trip, _hobby, _gift))(chance, asker, teller)
            turns += [(asker, asked), (teller, told)]
            questions.append({"question": question, "evidence": [f"D{session}:{len(turns)}"], "category": 1})
        conversation[f"session_{session}"] = [
            {"speaker": who, "dia_id": f"D{session}:{number}", "text": text}
            for number, (who, text) in enumerate(turns, 1)
        ]
    return {"sample_id": name, "conversation": conversation, "qa": questions}


def _trip(chance: random.Random, asker: str, teller: str) -> tuple[str, str, str]:
    place, sight = chance.choice(PLACES), chance.choice(SIGHTS)
    asked = chance.choice((f"So, how was {place}? Tell me everything!", f"You are back from {place}, {teller}!"))
    told = (
        f"Better than I had hoped. What stays with me is {sight}.",
        f"In {place} we came to see {sight}, of all things.",
    )
    return asked, chance.choice(told), f"What did {teller} see in {place}?"


def _hobby(chance: random.Random, asker: str, teller: str) -> tuple[str, str, str]:
    hobby, reason = chance.choice(HOBBIES), chance.choice(REASONS)
    asked = chance.choice((f"How did you come to {hobby}, by the way?", f"I did not know that you do {hobby} now."))
    told = (f"Oh, {reason}, and then I could not stop.", f"I take up {hobby} because {reason}.")
    return asked, chance.choice(told), f"Why did {teller} take up {hobby}?"


def _gift(chance: random.Random, asker: str, teller: str) -> tuple[str, str, str]:
    gift, friend = chance.choice(GIFTS), chance.choice(NAMES)
    asked = chance.choice((f"What did {friend} bring you for the birthday?", f"And {friend}? Was there a present?"))
    told = (f"You will not believe it: {gift}.", f"The present from {friend} was {gift}, wrapped in newspaper.")
    return asked, chance.choice(told), f"What present did {teller} get from {friend}?"
