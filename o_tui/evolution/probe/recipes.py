"""Values for one case, by type: small, so that boundaries are met, and from small pools, so that values meet again.

Everything comes from one random source: the same seed and the same harvest give the same recipes.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from typing import Any

from o_tui.evolution.probe import pools
from o_tui.evolution.probe.case import Recipe
from o_tui.evolution.probe.harvest import Class, Function, Harvest, Parameter
from o_tui.evolution.probe.types import Type

_DEEPEST = 4
_TIMELIKE = re.compile(r"now|time|created|updated|after|before|since|until|ts|when|at|deadline|expires?")
_NAMELIKE = re.compile(r"a|b|.*(id|key|name|tag|label|user|dep|node|src|dst|kind|topic|channel|owner)")


class Maker:
    """Makes the recipes of one case."""

    def __init__(self, harvest: Harvest, random_: random.Random) -> None:
        self._harvest = harvest
        self._random = random_
        self._names = random_.sample(pools.NAMES, random_.choice((2, 3, 3, 5)))
        if harvest.keys and random_.random() < 0.5:
            self._names += random_.sample(harvest.keys, min(2, len(harvest.keys)))
        self._words = random_.sample(pools.WORDS, 4)
        if harvest.foreign and random_.random() < 0.5:
            self._words[:2] = random_.sample(pools.FOREIGN_WORDS, 2)
            self._names[:1] = random_.sample(pools.FOREIGN_WORDS, 1)
        if random_.random() < 0.25:
            self._names.append(self._names[0].swapcase())  # another way to write the same
        elif random_.random() < 0.15:
            self._names += ["".join(self._names[:2]), "".join(self._names[1:3])]  # keys that are put together may clash
        literals = harvest.strings
        self._literals = random_.sample(literals, min(5, len(literals))) if literals else []
        self._short = [text for text in literals if len(text) <= 2]
        self._reals = random_.sample(pools.REALS, 3) + random_.sample(harvest.floats, min(2, len(harvest.floats)))
        self._known: list[str] = []  # texts of this case, to come again in parts
        self._sizes: list[int] = []  # lengths in this case
        self._table = random_.choice(harvest.tables) if harvest.tables and random_.random() < 0.4 else []
        self._within: list[str] = []  # texts that stand within others of this case
        self._data: list[Recipe] = []  # dicts of this case, to be looked into
        self.time = random_.choice(pools.TIMES[:8])
        self.flat = random_.random() < 0.3  # all numbers are few: ties

    def names(self, count: int) -> list[str]:
        """So many different names, that come again in this case."""
        self._names = list(dict.fromkeys([*self._names, *pools.NAMES]))[:count]
        return self._names

    def learn(self, texts: Sequence[str]) -> None:
        """The names of another case come again here."""
        if texts:
            self._names = list(dict.fromkeys([*self._random.sample(texts, min(3, len(texts))), *self._names[:1]]))

    def arguments(self, parameters: Sequence[Parameter], sparse: float = 0.5) -> tuple[list[Recipe], dict[str, Recipe]]:
        """What a function is called with; optional ones are given as often as `sparse` says."""
        args: list[Recipe] = []
        kwargs: dict[str, Recipe] = {}
        gap = False
        late = [p for p in parameters if p.type.kind == "int" and not p.keyword_only]
        made: dict[str, Recipe] = {}
        for parameter in sorted(parameters, key=lambda p: p in late):  # whole numbers last: they may be others' sizes
            if parameter.required or self._random.random() < sparse:
                made[parameter.name] = self.parameter(parameter)
        for parameter in parameters:
            if parameter.name.startswith("*"):
                args += [made[parameter.name]] if parameter.name in made and not gap and not kwargs else []
            elif parameter.name not in made:
                gap = True
            elif gap or parameter.keyword_only:
                kwargs[parameter.name] = made[parameter.name]
            else:
                args.append(made[parameter.name])
        return args, kwargs

    def parameter(self, parameter: Parameter) -> Recipe:
        """One argument."""
        default = parameter.default
        known = isinstance(default, (int, float, str)) and not isinstance(default, bool)
        if known and self._random.random() < 0.15:
            return default
        return self.value(parameter.type)

    def value(self, kind: Type, depth: int = 0) -> Recipe:
        """A value of a type."""
        method = getattr(self, f"_{kind.kind.rstrip('*')}", self._any)
        made: Recipe = method(kind, depth)
        return made

    # --- plain

    def _none(self, _kind: Type, _depth: int) -> Recipe:
        return None

    def _bool(self, _kind: Type, _depth: int) -> Recipe:
        return self._random.random() < 0.5

    def _int(self, kind: Type, _depth: int) -> Recipe:
        dice = self._random.random()
        if self._sizes and dice < 0.35:
            return self._random.choice(self._sizes) + self._random.choice((0, 0, 0, -1, 1))
        if self._harvest.integers and dice < 0.5:
            return self._random.choice(self._harvest.integers) + self._random.choice((0, 0, -1, 1))
        if self._sizes and dice < 0.58:
            return sum(self._random.sample(self._sizes, min(len(self._sizes), self._random.randint(1, 3))))
        if self.flat:
            return self._random.choice((0, 1, 1, 2))
        if dice < 0.95:
            return self._random.choice((0, 1, 2, 3, 4, 5, 7, 10, -1, 20, self._random.randint(0, 60)))
        return self._random.choice((100, 255, 1000, -5, 4096))

    def _float(self, kind: Type, _depth: int) -> Recipe:
        if kind.name and _TIMELIKE.fullmatch(kind.name):
            self.time += self._random.choice((0.0, 0.0, 0.5, 1.0, 1.0, 5.0, *self._reals[-1:]))
            return abs(self.time)
        dice = self._random.random()
        if dice < 0.5 or self.flat:
            return float(self._random.choice(self._reals))
        if dice < 0.6 and self._harvest.integers:
            return float(self._random.choice(self._harvest.integers))
        return self._random.choice((round(self._random.uniform(-2, 12), 2), float(self._random.randint(-2, 12))))

    def _decimal(self, _kind: Type, _depth: int) -> Recipe:
        return ["new", "Decimal", [str(self._random.choice(pools.REALS[:10]))], {}]

    def _bytes(self, _kind: Type, _depth: int) -> Recipe:
        return ["bytes", self._text().encode().hex()]

    def _literal(self, kind: Type, _depth: int) -> Recipe:
        return self._random.choice(kind.values) if kind.values else None

    def _key(self, _kind: Type, _depth: int) -> Recipe:
        return self._random.choice(self._names) if self._random.random() < 0.8 else self._random.randint(0, 3)

    # --- text

    def _str(self, kind: Type, depth: int) -> Recipe:
        if depth == 0 and self._within and self._random.random() < 0.35:
            return self._random.choice(self._within)  # what another argument has in it is asked for
        made = self._new_text(kind, depth)
        if depth and isinstance(made, str):
            self._within.append(made)
        return made

    def _new_text(self, kind: Type, depth: int) -> Recipe:
        share = 0.8 if kind.name and _NAMELIKE.fullmatch(kind.name) else 0.15 if depth < 2 else 0.6
        dice = self._random.random()
        if dice < share:
            return self._random.choice(self._names)
        if self._table and self._random.random() < (0.8 if depth else 0.4):
            return self._random.choice(self._table) + self._random.choice(("", "", "", *self._short[:2]))
        if dice > (0.4 if depth else 0.8) and self._harvest.choices:
            return self._random.choice(self._harvest.choices) + self._random.choice(("", "", "", *self._short))
        if self._harvest.joints and self._random.random() < (0.7 if self._data else 0.4):
            return self._joined()
        text = self._from_others() if self._random.random() < 0.25 else self._text()
        if isinstance(text, str):
            self._known.append(text)
            self._sizes.append(len(text))
        return text

    def _text(self) -> str:
        dice = self._random.random()
        if dice < 0.12 and self._harvest.strings:
            return self._random.choice(self._harvest.strings) + self._random.choice(("", "", "", *self._short))
        if dice < 0.3:
            return self._sentence()
        if dice < 0.6 and self._literals:
            return self._composed()
        if dice < 0.64:
            return ".".join(
                self._random.choice((*self._names, "0", "1", "2")) for _ in range(self._random.randint(1, 3))
            )
        if dice < 0.7:
            return json.dumps(self._document(0), ensure_ascii=self._random.random() < 0.5)
        if dice < 0.8:
            return str(self._random.choice(self._known or pools.ODD))[: self._random.randint(0, 12)]
        if dice < 0.87:
            return "".join(self._random.choice("ab AB.-_01") for _ in range(self._random.randint(0, 12)))
        return self._random.choice(pools.ODD if self._random.random() < 0.6 else pools.ODD_MORE)

    def _joined(self) -> str:
        """Known names with what the source splits texts at between; mostly a path into data of the same case."""
        joint = self._random.choice(self._harvest.joints)
        if self._data and self._random.random() < 0.6:
            return joint.join(self._path(self._random.choice(self._data)))
        return joint.join(self._random.choice(self._names) for _ in range(self._random.choice((1, 2, 2, 3))))

    def _path(self, data: Recipe) -> list[str]:
        """Keys and places, one within the other; now and then one place beyond the last."""
        found: list[str] = []
        while isinstance(data, list) and len(data) > 1 and data[0] in ("dict", "list") and len(found) < 4:
            if data[0] == "dict":
                key, data = self._random.choice(data[1:])
                found.append(str(key))
            else:
                place = self._random.randint(0, len(data) - 1)
                found.append(str(place))
                data = data[place + 1] if place + 1 < len(data) else None
            if self._random.random() < 0.2:
                break
        return found

    def _sentence(self) -> str:
        joint = self._random.choice(pools.JOINTS)
        return joint.join(self._random.choice(self._words) for _ in range(self._random.randint(1, 7)))

    def _composed(self) -> str:
        """The source's own words in a row: what it parses is made of them."""
        parts = []
        for _ in range(self._random.randint(1, 6)):
            dice = self._random.random()
            if dice < 0.6:
                parts.append(self._random.choice(self._literals))
            elif dice < 0.8:
                parts.append(self._random.choice((*self._words, *self._names)))
            elif dice < 0.92:
                parts.append(self._random.choice(pools.JOINTS))
            else:
                parts.append(self._random.choice((*pools.ODD_MORE, str(self._random.randint(0, 99)))))
        return "".join(parts)

    def _from_others(self) -> Recipe:
        """What another function of the module makes of something: what one writes, another can read."""
        makers = [f for f in self._harvest.functions.values() if f.result.kind == "str" and not f.asynchronous]
        if not makers:
            return self._text()
        chosen = self._random.choice(makers)
        args, _kwargs = self.arguments(chosen.parameters, 0.0)
        made: Recipe = ["call", chosen.name, args]
        if self._random.random() < 0.3:
            made = ["join", self._sentence(), made, self._random.choice(("", " ", self._sentence()))]
        return made

    # --- many

    def _length(self, depth: int) -> int:
        length = self._random.choice((0, 1, 1, 2, 2, 3, 3, 4, 5, 8) if depth < 2 else (0, 1, 1, 2, 3))
        self._sizes.append(length)
        return length

    def _elements(self, kind: Type, depth: int) -> list[Recipe]:
        inner = kind.inner[0] if kind.inner else Type("any")
        if inner.kind == "any":
            inner = self._random.choice((Type("int"), Type("str"), Type("float"), Type("key"), inner))
        made = [self.value(inner, depth + 1) for _ in range(self._length(depth))]
        if made and self._random.random() < 0.3:
            made.insert(self._random.randint(0, len(made)), self._random.choice(made))
        if inner.kind in ("float", "int") and depth == 0 and made and self._random.random() < 0.1:
            made += [-value for value in self._random.sample(made, len(made))]  # what adds up to nothing
        if depth == 0 and self._random.random() < 0.04:
            made += [self.value(inner, depth + 1) for _ in range(20)]
        return made

    def _list(self, kind: Type, depth: int) -> Recipe:
        return ["list", *self._elements(kind, depth)]

    def _iterable(self, kind: Type, depth: int) -> Recipe:
        return [self._random.choice(("list", "list", "tuple", "iter")), *self._elements(kind, depth)]

    def _iter(self, kind: Type, depth: int) -> Recipe:
        return ["iter", *self._elements(kind, depth)]

    def _deque(self, kind: Type, depth: int) -> Recipe:
        return ["new", "deque", [self._list(kind, depth)], {}]

    def _set(self, kind: Type, depth: int) -> Recipe:
        return ["set", *self._elements(kind, depth)]

    def _frozenset(self, kind: Type, depth: int) -> Recipe:
        return ["new", "frozenset", [self._list(kind, depth)], {}]

    def _tuple(self, kind: Type, depth: int) -> Recipe:
        if kind.kind == "tuple*":
            return ["tuple", *self._elements(kind, depth)]
        return ["tuple", *(self.value(inner, depth + 1) for inner in kind.inner)]

    def _dict(self, kind: Type, depth: int) -> Recipe:
        key, value = kind.inner
        pairs = []
        for _ in range(self._length(depth)):
            name = self._random.choice(self._names) if key.kind in ("str", "any", "key") else self.value(key, 3)
            pairs.append([name, self.value(value, depth + 1)])
        if depth == 0:
            self._data.append(["dict", *pairs])
        return ["dict", *pairs]

    def _counter(self, kind: Type, depth: int) -> Recipe:
        return ["new", "Counter", [self._list(kind, depth)], {}]

    def _union(self, kind: Type, depth: int) -> Recipe:
        return self.value(self._random.choice(kind.inner), depth)

    def _any(self, kind: Type, depth: int) -> Recipe:
        if depth >= _DEEPEST:
            return self._random.choice((None, 0, 1, True, "a"))
        return self._document(depth)

    def _document(self, depth: int) -> Any:
        """Anything that JSON has."""
        dice = self._random.random()
        if depth < 3 and dice < 0.2:
            made = {
                self._random.choice(self._names): self._document(depth + 1) for _ in range(self._random.randint(0, 3))
            }
            return ["dict", *([key, value] for key, value in made.items())] if depth or dice < 0.1 else ["dict"]
        if depth < 3 and dice < 0.35:
            return ["list", *(self._document(depth + 1) for _ in range(self._random.randint(0, 3)))]
        plain = (None, True, False, True, False, 0, 1, 2, -1, 1.0, 1.5, "", 10)
        return self._random.choice(plain) if dice < 0.75 else self._text_plain()

    def _text_plain(self) -> str:
        return self._random.choice((*self._names, *self._words, *pools.ODD_MORE, *self._literals))

    # --- things of the module

    def _class(self, kind: Type, depth: int) -> Recipe:
        known = self._harvest.classes.get(kind.name)
        if kind.name in ("Search", "Context", "StateView"):
            return self.stage(kind.name)
        if kind.name in pools.OF_LIBRARIES:
            zoned = kind.name == "datetime" and self._random.random() < 0.3
            zone = {"tzinfo": self._class(Type("class", name="timezone"), depth)} if zoned else {}
            return ["new", kind.name, list(self._random.choice(pools.OF_LIBRARIES[kind.name])), zone]
        if known is None or depth >= _DEEPEST:
            return self._document(2)
        if known.members:
            return ["member", known.name, self._random.choice(known.members)]
        args, kwargs = self.arguments(known.init, 0.7)
        return ["new", known.name, args, kwargs]

    def made(self, known: Class) -> tuple[list[Recipe], dict[str, Recipe]]:
        """What an object is made from: limits are small, so that they are met."""
        return self.arguments(known.init, 0.6)

    def stage(self, name: str) -> Recipe:
        """What a gene is given: memories with shared words, and a conversation."""
        texts = [self._sentence().replace("\n", " ") or "x" for _ in range(self._random.randint(0, 12))]
        return ["stage", name, texts, self._random.choice(("", "", "model")), self._random.randint(0, 4)]

    def _fn(self, kind: Type, depth: int) -> Recipe:
        result = kind.inner[0] if kind.inner else Type("any")
        if kind.name == "0" or result.kind == "none":
            way = self._random.choice(("count", "count", "count", "count", "raise", "flaky"))
        else:
            by_result = {"int": "size", "float": "size", "bool": "truth", "str": "text"}
            way = by_result.get(result.kind, "first")
            way = self._random.choice(("raise", "picky")) if self._random.random() < 0.12 else way
        return ["fn", way, None]


def method_weight(method: Function) -> float:
    """How often a method is called in a sequence: what changes something more often than what only looks."""
    return 1.0 if method.parameters else 0.6
