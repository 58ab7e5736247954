"""Which cases are tried, in which order: cheap ones of each unit first, then more of them, large ones, and races."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest

from o_tui.evolution.attacks import Ways
from o_tui.evolution.probe import boundaries, mutate
from o_tui.evolution.probe.case import Call, Case, Recipe
from o_tui.evolution.probe.harvest import AMONG_EACH_OTHER, Class, Function, Harvest, Parameter
from o_tui.evolution.probe.recipes import Maker, method_weight
from o_tui.evolution.probe.types import Type

LARGE = (6_000, 12_000)
"""Elements of a large input, small and twice as large: how time grows is seen between the two."""
CALLS = (1_500, 3_000)
"""Calls of an object in a large case."""
_DEPTH = 3_000
"""More than the interpreter lets functions call themselves."""
_SPARED = 4
"""Of what has not been changed, and reaches nothing that has, only one in so many cases is tried."""
_BEFORE = 10
_TWICE = 60
"""Calls before two at once, and cases of them, that are taken from what went somewhere."""
_NEAR = 160
_MANY_CALLS_AT = 2
"""Many calls of one object are timed late: they cost most, and it is seldom they that show something."""
_RACES_AT = 3
"""What was changed under a lock only is tried at once late: it takes as long as many others."""
_AT_ONCE = 32
_ROUNDS = 40
_PAIRS = 5
_LARGE_FUNCTIONS = 12


class Corpus:
    """What went somewhere new, and which ways of changing a case lead there."""

    def __init__(self) -> None:
        self.cases: list[Case] = []
        self._ways = Ways(mutate.WAYS)
        self._taken: dict[int, str] = {}

    def near(self, known: Sequence[Case], harvest: Harvest, random_: random.Random) -> Case:
        """A neighbour of one of them, the newest more often."""
        chosen = known[-1 - int(len(known) * random_.random() ** 1.5)]
        way = self._ways.choose(random_)
        case = mutate.mutated(chosen, random_.choice(known), way, harvest, random_)
        self._taken[id(case)] = way
        return case

    def learn(self, planned: Case, case: Case, new: bool) -> None:
        """Whether a case went somewhere new, as it was run."""
        if new:
            self.cases.append(case)
        if way := self._taken.pop(id(planned), ""):
            self._ways.learn(way, new)


@dataclass(frozen=True, slots=True)
class Batch:
    """Cases for one process of the reference's; `given`: they are run as they are, and not grown first."""

    cases: list[Case]
    given: bool = False

    @property
    def is_large(self) -> bool:
        """Whether they are timed."""
        return bool(self.cases) and self.cases[0].kind == "large"


def batches(harvest: Harvest, seed: int, corpus: Corpus) -> Iterator[Batch]:
    """Cases in batches, the kinds by turns; `corpus` grows meanwhile."""
    yield Batch(boundaries.cases(harvest), given=True)
    yield Batch(_round(harvest, seed, 0, calls=40, sequences=40))
    races, large = _races(harvest, seed, corpus), _large(harvest, seed)
    many = _large_objects(harvest, seed)
    for number in range(1, _ROUNDS):
        if harvest.unguarded or number >= _RACES_AT:
            yield Batch(list(islice(races, _AT_ONCE)))
        yield Batch(next(large, []))
        yield Batch(_round(harvest, seed, number, calls=40, sequences=60))
        if number > 1:
            yield Batch(_near(harvest, seed, number, corpus), given=True)
        if number >= _MANY_CALLS_AT:
            yield Batch(next(many, []))


def _near(harvest: Harvest, seed: int, number: int, corpus: Corpus) -> list[Case]:
    """Neighbours of what went somewhere new; what did so last, and each unit, as often as the others."""
    random_ = random.Random(f"{seed}/near/{number}")
    units: dict[str, list[Case]] = {}
    for case in corpus.cases:
        units.setdefault(case.target or case.calls[0].name, []).append(case)
    cases = []
    if any(harvest.is_suspect(name) for name in units):
        units = {name: known for name, known in units.items() if harvest.is_suspect(name)}
    for known in units.values():
        for _ in range(max(20, _NEAR // len(units))):
            cases.append(corpus.near(known, harvest, random_))
    return cases


def _round(harvest: Harvest, seed: int, number: int, *, calls: int, sequences: int) -> list[Case]:
    cases = []
    more = _more(harvest)
    for index in range(max(calls * more, sequences)):
        for function in harvest.functions.values():
            many = calls * more if harvest.is_suspect(function.name) else calls // _SPARED
            if index < many:
                maker = _maker(harvest, seed, number, index, function.name)
                cases.append(_of_function(function, maker, index))
        for known in harvest.public_classes():
            if index < sequences and (index % _SPARED == 0 or harvest.is_suspect(known.name)):
                lively = random.Random(f"{seed}/{number}/{index}/{known.name}/ways")
                cases.append(_sequence(known, _maker(harvest, seed, number, index, known.name), index, harvest, lively))
    return cases


def _more(harvest: Harvest) -> int:
    """How many times as many cases a suspect has: what the others are spared is its own."""
    every = [*harvest.functions, *(known.name for known in harvest.public_classes())]
    return max(1, min(4, len(every) // max(1, sum(map(harvest.is_suspect, every)))))


def _maker(harvest: Harvest, *seeds: object) -> Maker:
    return Maker(harvest, random.Random("/".join(map(str, seeds))))


def _of_function(function: Function, maker: Maker, index: int) -> Case:
    """One call; every fifth case three of them, so that what is kept between calls is seen."""
    calls = []
    for _ in range(3 if index % 5 == 4 else 1):
        args, kwargs = maker.arguments(function.parameters)
        calls.append(Call(function.name, args, kwargs))
    if index % 10 == 9:
        calls.append(calls[0])  # the same again
    return Case("calls", calls, scribble=index % 4 == 3)


def _sequence(known: Class, maker: Maker, index: int, harvest: Harvest, lively: random.Random) -> Case:
    args, kwargs = maker.made(known)
    callable_ = list(known.methods)
    # a few methods only: what belongs together meets more often
    chosen = lively.sample(callable_, min(len(callable_), lively.randint(2, 6))) if index % 3 else callable_
    changed = [method for method in callable_ if f"{known.name}.{method.name}" in harvest.suspects]
    some = lively.sample(changed, min(2, len(changed)))
    chosen = [*chosen, *(method for method in some if method not in chosen)]
    weights = [method_weight(method) * (2 if method in changed else 1) for method in chosen]
    calls = _related(callable_, maker, lively) if index % 4 == 2 else []
    sparse = lively.choice((0.1, 0.4, 0.8))
    for _ in range(lively.choice((3, 6, 12, 24, 40)) if known.methods else 0):
        method = lively.choices(chosen, weights)[0]
        given, named = maker.arguments(method.parameters, sparse)
        if method.name in AMONG_EACH_OTHER and lively.random() < 0.5:
            own = {name: mutate.alike(recipe, lively) for name, recipe in kwargs.items()}
            given, named = [["new", known.name, [mutate.alike(recipe, lively) for recipe in args], own]], {}
        calls.append(Call(method.name, given, named))
    looks = [Call(method.name) for method in callable_ if not any(p.required for p in method.parameters)]
    if known.name and looks:
        calls += lively.sample(looks, min(3, len(looks)))
    return Case("calls", calls, known.name, Call("", args, kwargs), scribble=index % 4 == 3)


_LINKS = ("list", "tuple*", "set", "iterable")


def _related(methods: Sequence[Function], maker: Maker, lively: random.Random) -> list[Call]:
    """Things that hang together: a method that takes a name, and others' names, is given a chain of them, or a star."""
    able = [(method, *found) for method in methods if (found := _named_and_linked(method))]
    if not able:
        return []
    method, named, linked = lively.choice(able)
    names, shape = maker.names(lively.randint(3, 5)), lively.choice(("chain", "chain", "star", "two"))
    calls = []
    for place, name in enumerate(names):
        before = {"chain": names[max(0, place - 1) : place], "star": names[: min(1, place)]}
        some = before.get(shape, names[max(0, place - 2) : place])
        given = {p.name: maker.parameter(p) for p in method.parameters if p.required}
        given[named.name] = name
        if linked.type.kind in _LINKS:
            given[linked.name] = ["list" if linked.type.kind == "iterable" else linked.type.kind.rstrip("*"), *some]
        elif some:
            given[linked.name] = some[-1]
        calls.append(Call(method.name, [], given))
    return calls


def _named_and_linked(method: Function) -> tuple[Parameter, Parameter] | None:
    texts = [p for p in method.parameters if p.type.kind in ("str", "key")]
    links = [p for p in method.parameters if p.type.kind in _LINKS and p.type.inner[:1] and _is_text(p.type.inner[0])]
    others = [p for p in method.parameters if p not in texts[:1] and _is_text(p.type)]
    return (texts[0], [*links, *others][0]) if texts and (links or others) else None


def _is_text(kind: Type) -> bool:
    return kind.kind in ("str", "key") or (kind.kind == "union" and any(map(_is_text, kind.inner)))


# --- at once


def _races(harvest: Harvest, seed: int, corpus: Corpus) -> Iterator[Case]:
    if not harvest.threaded:
        return
    for known in harvest.public_classes():
        if not harvest.is_suspect(known.name):
            continue
        for both in zip_longest(_twice(known, harvest, corpus), _pairs(known, harvest, seed, corpus)):
            yield from (case for case in both if case is not None)
    for function in harvest.functions.values():
        maker = _maker(harvest, seed, "race", function.name)
        call = _call(function, maker)
        yield Case("race", [call, call])


def _pairs(known: Class, harvest: Harvest, seed: int, corpus: Corpus) -> Iterator[Case]:
    """Each two methods at once, a method with itself first; of a new object, or of one that was made before."""
    methods = [method for method in known.methods if method.flavour == ""]
    changed = {method for method in methods if f"{known.name}.{method.name}" in harvest.suspects} or set(methods)
    pairs = [(a, b) for a in methods for b in methods if a in changed or b in changed]
    pairs.sort(key=lambda pair: pair[0] is not pair[1])
    needed = any(p.required for p in known.init)
    for number, (one, other) in enumerate(pairs):
        for attempt in range(3):
            maker = _maker(harvest, seed, "race", number, attempt, known.name)
            made = [case.new for case in corpus.cases if case.target == known.name]
            new = Call("", *maker.made(known)) if needed or attempt else Call("")
            new = made[(number + attempt) % len(made)] if made and (needed or attempt) else new
            before = [_call(method, maker) for method in methods[: 6 * (attempt % 2)]]
            first = _call(one, maker)
            second = first if one is other and attempt < 2 else _call(other, maker)
            yield Case("race", [*before, first, second], known.name, new)


def _twice(known: Class, harvest: Harvest, corpus: Corpus) -> Iterator[Case]:
    """The same call twice at once, where it is known to get somewhere: who looks before he takes is seen by it."""
    flavours = {method.name: method.flavour for method in known.methods}
    made = 0
    for case in reversed([case for case in corpus.cases if case.target == known.name and not case.scribble]):
        for place, call in enumerate(case.calls[:_BEFORE]):
            changed = f"{known.name}.{call.name}" in harvest.suspects or not harvest.suspects
            if changed and flavours.get(call.name) == "" and made < _TWICE:
                made += 1
                yield Case("race", [*case.calls[:place], call, call], known.name, case.new)


def _call(method: Function, maker: Maker) -> Call:
    args, kwargs = maker.arguments(method.parameters, 0.3)
    return Call(method.name, args, kwargs)


# --- large


def _large(harvest: Harvest, seed: int) -> Iterator[list[Case]]:
    """Pairs, the second one twice as large as the first."""
    every = list(harvest.functions.values())
    random.Random(seed).shuffle(every)
    every.sort(key=lambda function: not harvest.is_suspect(function.name))
    for function in every[:_LARGE_FUNCTIONS]:
        cases = []
        for shape in _SHAPES:
            pair = [_large_call(function, harvest, seed, size, shape) for size in LARGE]
            cases += [Case("large", [call]) for call in pair if call is not None]
        if cases:
            yield cases


def _large_objects(harvest: Harvest, seed: int) -> Iterator[list[Case]]:
    every = []
    for known in sorted(harvest.public_classes(), key=lambda known: not harvest.is_suspect(known.name)):
        methods = [method for method in known.methods if method.parameters and method.flavour == ""]
        pairs = [(one, other) for one in methods for other in methods]
        random.Random(seed).shuffle(pairs)
        pairs.sort(key=lambda pair: not any(f"{known.name}.{each.name}" in harvest.suspects for each in pair))
        every.append([(known, pair) for pair in pairs[:_PAIRS]])
    for place in range(_PAIRS):  # of each class one by turns
        for known, pair in (pairs[place] for pairs in every if place < len(pairs)):
            yield [_many_calls(known, pair, harvest, seed, size) for size in CALLS]


_SHAPES = ("many", "same", "long", "nested")
"""Many different elements; many equal ones; few long texts that begin alike; brackets within brackets."""


def _large_call(function: Function, harvest: Harvest, seed: int, size: int, shape: str) -> Call | None:
    maker = _maker(harvest, seed, "large", function.name, shape)
    args: list[Recipe] = []
    kwargs: dict[str, Recipe] = {}
    grown = False
    for parameter in function.parameters:
        if not parameter.required and parameter.type.kind not in ("list", "str", "dict", "iterable"):
            continue
        recipe = _grow(parameter.type, maker, size, shape)
        if recipe is not None:
            grown = True
        elif parameter.required:
            numbers = {"int": 50, "float": 10.0}
            recipe = numbers.get(parameter.type.kind)
            recipe = maker.parameter(parameter) if recipe is None else recipe
        else:
            continue
        if parameter.required and not kwargs:
            args.append(recipe)
        else:
            kwargs[parameter.name] = recipe
    return Call(function.name, args, kwargs) if grown else None


def _grow(kind: Type, maker: Maker, size: int, shape: str) -> Recipe:
    """A large value of a type; None: it has no size."""
    kind = next((inner for inner in kind.inner if inner.kind != "none"), kind) if kind.kind == "union" else kind
    if shape == "nested" and kind.kind in ("list", "dict", "any") and _holds_any(kind):
        return ["deep", _DEPTH, "dict" if kind.kind == "dict" else "list"]
    if kind.kind == "str":
        text = {"same": "a", "nested": "(", "many": "ab c. d\n", "long": "word " * 4}[shape]
        return ["repeat", size // len(text) + 1, text]
    if kind.kind in ("list", "iterable", "iter", "tuple*", "set"):
        inner = kind.inner[0] if kind.inner else Type("int")
        if shape == "long" and inner.kind == "str":
            return ["many", 20, ["repeat", size * 4, "a"]]
        if shape == "many" and inner.kind in ("int", "any", "float", "str", "key"):
            return ["range", size, inner.kind]
        elements = [maker.value(inner, 1) for _ in range(1 if shape == "same" else 12)]
        return ["many", size // 4, *elements]
    if kind.kind == "dict" and kind.inner[0].kind in ("str", "key", "any", "int"):
        return ["ranged", size // 4, kind.inner[0].kind, maker.value(kind.inner[1], 2)]
    return None


def _holds_any(kind: Type) -> bool:
    return kind.kind == "any" or (bool(kind.inner) and kind.inner[-1].kind == "any")


def _many_calls(known: Class, methods: Sequence[Function], harvest: Harvest, seed: int, size: int) -> Case:
    """Two methods in turn, again and again, each time with other names: what the object keeps grows."""
    maker = _maker(harvest, seed, "large", known.name, *(method.name for method in methods))
    args: list[Recipe] = []
    kwargs: dict[str, Recipe] = {}
    if any(parameter.required for parameter in known.init):
        args, kwargs = maker.made(known)
    turns = [_call(method, maker) for method in methods]
    return Case("large", [Call("*", [size]), *turns], known.name, Call("", args, kwargs))


def units(harvest: Harvest) -> Sequence[str]:
    """What is probed, by name."""
    return [*harvest.functions, *(known.name for known in harvest.public_classes())]
