"""Settings: one tree of structs with a sentence under each field; the settings screen and `o-tui config` show it.

Order of force: flags, environment (`O_TUI_BRAIN__MODEL`), `config.toml`, defaults.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from o_tui.paths import open_foreign, shipped
from o_tui.protocol.errors import NotFoundError, RefusedError, UsageError, did_you_mean

Meta = msgspec.Meta


class HealthConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When an instance counts as dead."""

    heartbeat_s: Annotated[float, Meta(gt=0, le=60, description="Seconds between heartbeats of an instance.")] = 1.0
    death_s: Annotated[float, Meta(gt=0, le=600, description="Seconds of silence after which it is killed.")] = 5.0
    max_restarts: Annotated[int, Meta(ge=0, description="Restarts allowed within the period below.")] = 10
    max_seconds: Annotated[float, Meta(gt=0, description="The period, in seconds (OTP's restart intensity).")] = 60.0


class VaultConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When checkpoints are taken, and how many stay."""

    interval_s: Annotated[float, Meta(gt=0, description="Seconds between checkpoints.")] = 300.0
    operations: Annotated[int, Meta(gt=0, description="Operations after which one is taken at once.")] = 10_000
    keep: Annotated[int, Meta(ge=1, description="Unpinned checkpoints that are kept.")] = 50


class BrainConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which model answers."""

    provider: Annotated[
        Literal["offline", "openai", "anthropic", "ollama"],
        Meta(description="offline: no model. openai: any OpenAI-compatible endpoint."),
    ] = "offline"
    model: Annotated[str, Meta(description="The model's name at the provider.")] = ""
    base_url: Annotated[str, Meta(description="The endpoint; empty: the provider's own.")] = ""
    timeout_s: Annotated[float, Meta(gt=0, description="Seconds without a byte after which a call fails.")] = 60.0
    embedding_model: Annotated[
        str,
        Meta(description="A model there that embeds memories; empty: words alone find them."),
    ] = ""
    onboarded: Annotated[bool, Meta(description="The first questions have been answered or skipped.")] = False


class EvolutionConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a change is tried."""

    pairs: Annotated[
        int, Meta(ge=1, le=10_000, description="Paired requests after which a trial has shown nothing.")
    ] = 800
    canary_pairs: Annotated[
        int,
        Meta(ge=0, le=10_000, description="Requests compared in each step of a canary (10, 50, 100 %); 0: no canary."),
    ] = 50
    request_s: Annotated[float, Meta(gt=0, description="Seconds after which a shadow's request is stopped.")] = 5.0
    budget_requests: Annotated[
        int, Meta(ge=0, description="Requests that one evolution may give to shadows; 0: no limit.")
    ] = 50_000
    budget_cpu_s: Annotated[float, Meta(ge=0, description="CPU seconds of one evolution; 0: no limit.")] = 1_800.0
    budget_tokens: Annotated[int, Meta(ge=0, description="Tokens of the model for one evolution; 0: no limit.")] = (
        200_000
    )
    budget_money: Annotated[
        float, Meta(ge=0, description="Money for the model for one evolution, by the price below; 0: no limit.")
    ] = 0.0
    budget_wall_s: Annotated[float, Meta(ge=0, description="Seconds that one evolution may take; 0: no limit.")] = (
        14_400.0
    )
    price: Annotated[float, Meta(ge=0, description="What a million tokens of your model cost; 0: unknown.")] = 0.0
    intents_per_day: Annotated[
        int, Meta(ge=0, le=1_000, description="Evolutions a day that begin without being asked for; 0: none.")
    ] = 4
    red_team_cpu_s: Annotated[
        float,
        Meta(ge=0, description="CPU seconds a day, while the agent is idle, for inputs that break its genes; 0: none."),
    ] = 300.0
    red_team_tokens: Annotated[
        int,
        Meta(
            ge=0,
            description="Tokens a day for inputs that your model writes to break genes, while idle; 0: it writes none.",
        ),
    ] = 0


class ScreenConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the screen looks and behaves."""

    theme: Annotated[str, Meta(description="A theme's name; auto: by the terminal's background.")] = "auto"
    quit: Annotated[Literal["ask", "stop", "detach"], Meta(description="What Ctrl+Q does with the guardian.")] = "ask"
    ascii: Annotated[bool, Meta(description="Draw with ASCII characters only.")] = False
    profile: Annotated[
        Literal["auto", "local", "remote"], Meta(description="remote: fewer frames and no animation, for SSH.")
    ] = "auto"
    keys: Annotated[dict[str, str], Meta(description="Action id -> keys, comma separated.")] = {}


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings."""

    health: HealthConfig = HealthConfig()
    vault: VaultConfig = VaultConfig()
    brain: BrainConfig = BrainConfig()
    evolution: EvolutionConfig = EvolutionConfig()
    screen: ScreenConfig = ScreenConfig()


SECTIONS: dict[str, type[msgspec.Struct]] = {field.name: field.type for field in msgspec.structs.fields(Config)}
FILE_LIMIT_BYTES = 1024 * 1024
_PREFIX = "O_TUI_"
_EXPECTED = re.compile(r"Expected `(\w+)`((?: [<>]=? [\d.]+)?)")
_WANTED = {"float": "a number", "int": "a whole number", "bool": "true or false", "str": "a text", "object": "a table"}


_MEND = "mend the file, or move it away: the defaults are good"


def _text(file: Path) -> str:
    """What is in the file; nothing where there is none. Raises UsageError where it cannot be read, or is no text."""
    try:
        with open_foreign(file) as opened:  # a pipe in its place is not waited for
            read = opened.read(FILE_LIMIT_BYTES + 1)
        if len(read) > FILE_LIMIT_BYTES:
            raise UsageError(f"{file} has more than {FILE_LIMIT_BYTES >> 20} MiB", hint=_MEND)
        return read.decode("utf-8-sig")  # some editors write a byte order mark
    except NotFoundError:
        return ""
    except RefusedError as error:
        raise UsageError(str(error), hint=_MEND) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: {error}", hint=_MEND) from error


def _parsed(text: str, file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{file}: {error}", hint=_MEND) from error


def load(file: Path, environment: Mapping[str, str] | None = None) -> Config:
    """Reads the settings.

    Raises:
        UsageError: The file is not TOML, a key is unknown (the nearest right one is named), or a value is wrong.
    """
    tree = _parsed(_text(file), file)
    convert(tree, str(file))  # by itself first: what is wrong in the environment is not the file's fault
    for name, text in (os.environ if environment is None else environment).items():
        section, separator, key = name.removeprefix(_PREFIX).lower().partition("__")
        if name.startswith(_PREFIX) and separator:
            convert({section: {key: text}}, name)
            tree.setdefault(section, {})[key] = text
    return convert(tree, str(file))


def convert(tree: dict[str, Any], source: str) -> Config:
    """Checks a tree of settings; raises UsageError that names `source` and the key."""
    _check_names(tree, list(SECTIONS), source, "")
    for section, values in tree.items():
        if not isinstance(values, dict):
            raise UsageError(f"{source}: {section} is a section: write [{section}]")
        _check_names(values, [field.name for field in msgspec.structs.fields(SECTIONS[section])], source, section + ".")
    try:
        return msgspec.convert(tree, Config, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"{source}: {_in_words(str(error))}") from error


def _in_words(said: str) -> str:
    """ "Expected `float`, got `str` - at `$.brain.timeout_s`" -> "brain.timeout_s: a number is wanted"."""
    what, _, where = said.partition(" - at `$.")
    key = where.rstrip("`")
    section, _, name = key.partition(".")
    expected = _EXPECTED.match(what)
    if not key or section not in SECTIONS:
        return said
    if expected:
        return f"{key}: {_WANTED.get(expected[1], expected[1])}{expected[2]} is wanted"
    rows = (row for row in describe() if (row["section"], row["name"]) == (section, name))
    choices: list[str] = next((row["choices"] for row in rows), [])
    return f"{key}: one of {', '.join(choices)} is wanted" if choices else f"{key}: {what[:1].lower()}{what[1:]}"


def _check_names(found: Mapping[str, Any], known: list[str], source: str, prefix: str) -> None:
    for name in found:
        if name not in known:
            hint = did_you_mean(name, known, prefix=prefix)
            raise UsageError(f"{source}: unknown setting {prefix}{name}", hint=hint)


def _actions() -> list[str]:
    """Ids of the view's actions, read from its source: a guardian must not import a screen to know its keys."""
    source = "".join(path.read_text("utf-8") for path in shipped("ui").rglob("*.py"))
    return sorted(set(re.findall(r'\bAction\(\s*"(\w+\.[\w.]+)"', source)))


def _check_theme(name: str, file: Path) -> None:
    known = {path.stem for folder in (shipped("themes"), file.parent / "themes") for path in folder.glob("*.toml")}
    if name not in ("", "auto") and name not in known:
        hint = did_you_mean(name, ["auto", *sorted(known)])
        raise UsageError(f"there is no theme {name!r}", hint=hint)


def describe() -> list[dict[str, Any]]:
    """Every setting with its section, name, default and sentence: what the settings screen is made from."""
    rows: list[dict[str, Any]] = []
    for section, struct in SECTIONS.items():
        for info, typed in zip(msgspec.structs.fields(struct), msgspec.inspect.type_info(struct).fields, strict=True):  # type: ignore[attr-defined]
            kind = typed.type
            text = ""
            if isinstance(kind, msgspec.inspect.Metadata):
                text = (kind.extra_json_schema or {}).get("description", "")
                kind = kind.type
            default = info.default_factory() if info.default is msgspec.NODEFAULT else info.default
            choices = list(kind.values) if isinstance(kind, msgspec.inspect.LiteralType) else []
            rows.append({"section": section, "name": info.name, "default": default, "text": text, "choices": choices})
    return rows


def set_value(file: Path, key: str, value: Any) -> Config:
    """Changes one setting (`brain.model`); see `set_values`."""
    return set_values(file, {key: value})


def set_values(file: Path, values: Mapping[str, Any]) -> Config:
    """Changes settings in the file, all or none, comments and layout kept; returns all settings.

    Raises:
        UsageError: There is no such setting, a value is wrong, or the file cannot be read; it is unchanged.
        OSError: It cannot be written; it is unchanged.
    """
    import tomlkit  # here, because only this function needs it

    text = _text(file)
    tree = _parsed(text, file)
    try:
        document = tomlkit.parse(text)
    except tomlkit.exceptions.ParseError as error:
        raise UsageError(f"{file}: {error}", hint=_MEND) from error
    for key, value in values.items():
        section, _, name = key.partition(".")
        _check_names({section: {}}, list(SECTIONS), str(file), "")
        known = [field.name for field in msgspec.structs.fields(SECTIONS[section])]
        _check_names({name: 0}, known, str(file), section + ".")
        if not isinstance(tree.get(section, {}), dict):
            raise UsageError(f"{file}: {section} is a section: write [{section}]", hint=_MEND)
        document.setdefault(section, tomlkit.table())[name] = value
    config = convert(tomllib.loads(tomlkit.dumps(document)), str(file))
    if "screen.keys" in values:
        for identity in config.screen.keys:
            _check_names({identity: ""}, _actions(), str(file), "")
    if "screen.theme" in values:
        _check_theme(config.screen.theme, file)
    for key in values:  # what is written is the converted value, so that "12" becomes a number
        section, _, name = key.partition(".")
        document[section][name] = msgspec.to_builtins(getattr(getattr(config, section), name))
    _write(file, tomlkit.dumps(document))
    return config


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = file.resolve()  # it may be a link to where the operator keeps all such files: that stays one
    temporary = file.with_suffix(".tmp")
    try:
        with open(temporary, "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())  # a file that took the old one's place must not be empty after a loss of power
        temporary.replace(file)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
