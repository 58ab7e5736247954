"""Themes: TOML files, checked for contrast, made into Textual's themes. A bad one is a line, never a broken screen."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from textual.theme import Theme

from o_tui.protocol.errors import UsageError

DARK, LIGHT = "night", "day"
"""What `auto` chooses, by the terminal's background."""
TEXT_CONTRAST, DISABLED_CONTRAST = 4.5, 3.0
TEXT_ROLES = ("foreground", "muted", "primary", "secondary", "accent", "success", "warning", "error", "you", "agent")
GROUNDS = ("background", "surface", "panel")
_HEX = re.compile(r"#[0-9a-fA-F]{6}\Z")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}\Z")
_LIMIT_BYTES = 64 * 1024


class Colors(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The colours of a theme, each `#rrggbb`. Text roles are checked against the three grounds."""

    background: str
    surface: str
    panel: str
    foreground: str
    muted: str
    disabled: str
    primary: str
    secondary: str
    accent: str
    success: str
    warning: str
    error: str
    you: str
    agent: str
    border: str
    border_focus: str
    cursor: str
    selection: str
    added: str
    removed: str
    code: str


class ThemeFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of `themes/`."""

    title: str
    dark: bool
    colors: Colors
    high_contrast: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What a look into the theme folders brought."""

    themes: dict[str, Theme] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def luminance(color: str) -> float:
    """Relative luminance (WCAG 2) of `#rrggbb`, 0 to 1."""
    parts = [int(color[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Contrast ratio (WCAG 2) of two colours, 1 to 21."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def mix(one: str, other: str, share: float) -> str:
    """A colour between two, with a share (0 to 1) of the other."""
    pairs = [(int(one[index : index + 2], 16), int(other[index : index + 2], 16)) for index in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def check(colors: Colors) -> list[str]:
    """What is wrong with some colours: a spelling, or a contrast that is too low. Empty: nothing."""
    values = msgspec.structs.asdict(colors)
    wrong = [f"{name} = {value!r} is not #rrggbb" for name, value in values.items() if not _HEX.match(value)]
    if wrong:
        return wrong
    pairs = [(role, ground, TEXT_CONTRAST) for role in TEXT_ROLES for ground in GROUNDS]
    pairs += [("disabled", ground, DISABLED_CONTRAST) for ground in GROUNDS]
    pairs += [("foreground", ground, TEXT_CONTRAST) for ground in ("cursor", "selection", "added", "removed", "code")]
    pairs += [("background", "border_focus", 3.0)]
    for text, ground, least in pairs:
        ratio = contrast(values[text], values[ground])
        if ratio < least:
            wrong.append(f"{text} on {ground} has a contrast of {ratio:.1f}, needed {least}")
    return wrong


def read(file: Path) -> ThemeFile:
    """Reads and checks one file.

    Raises:
        UsageError: It is not TOML, a key is missing or unknown, a colour is wrong, or a contrast is too low.
    """
    if not _NAME.match(file.stem):
        raise UsageError(f"{file.name}: a theme's file name is lower-case letters, digits and -")
    try:
        raw = file.read_bytes()
        if len(raw) > _LIMIT_BYTES:
            raise UsageError(f"{file.name}: larger than {_LIMIT_BYTES} bytes")
        theme = msgspec.convert(tomllib.loads(raw.decode()), ThemeFile)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise UsageError(f"{file.name}: {error}") from error
    problems = check(theme.colors)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UsageError(f"{file.name}: {problems[0]}{more}")
    return theme


def build(name: str, theme: ThemeFile) -> Theme:
    """Textual's theme for a file that has been checked."""
    colors = theme.colors
    return Theme(
        name=name,
        primary=colors.primary,
        secondary=colors.secondary,
        accent=colors.accent,
        success=colors.success,
        warning=colors.warning,
        error=colors.error,
        foreground=colors.foreground,
        background=colors.background,
        surface=colors.surface,
        panel=colors.panel,
        boost=colors.surface,
        dark=theme.dark,
        variables=variables(colors),
    )


def variables(colors: Colors) -> dict[str, str]:
    """Roles that are ours, and those of Textual that would else be mixed from others."""
    return {
        "muted": colors.muted,
        "disabled": colors.disabled,
        "you": colors.you,
        "agent": colors.agent,
        "cursor-row": colors.cursor,
        "selection": colors.selection,
        "added": colors.added,
        "removed": colors.removed,
        "added-word": mix(colors.added, colors.success, 0.25),
        "removed-word": mix(colors.removed, colors.error, 0.25),
        "match": mix(colors.background, colors.warning, 0.4),
        "code": colors.code,
        "border": colors.border_focus,
        "border-blurred": colors.border,
        "text": colors.foreground,
        "text-muted": colors.muted,
        "text-disabled": colors.disabled,
        "text-primary": colors.primary,
        "text-secondary": colors.secondary,
        "text-accent": colors.accent,
        "text-success": colors.success,
        "text-warning": colors.warning,
        "text-error": colors.error,
        "block-cursor-background": colors.cursor,
        "block-cursor-foreground": colors.foreground,
        "block-cursor-text-style": "bold",
        "block-cursor-blurred-background": colors.panel,
        "block-cursor-blurred-foreground": colors.foreground,
        "block-hover-background": colors.panel,
        "input-cursor-background": colors.foreground,
        "input-cursor-foreground": colors.background,
        "input-selection-background": colors.selection,
        "input-selection-foreground": colors.foreground,
        "screen-selection-background": colors.selection,
        "screen-selection-foreground": colors.foreground,
        "scrollbar": colors.border,
        "scrollbar-hover": colors.muted,
        "scrollbar-active": colors.border_focus,
        "scrollbar-background": colors.background,
        "scrollbar-background-hover": colors.background,
        "scrollbar-background-active": colors.background,
        "scrollbar-corner-color": colors.background,
        "footer-background": colors.panel,
        "footer-key-foreground": colors.primary,
        "link-color": colors.primary,
        "link-background-hover": colors.selection,
        "link-color-hover": colors.foreground,
    }


def find(folders: list[Path]) -> Found:
    """All themes of some folders; a later folder's file replaces an earlier one's of the same name."""
    found = Found()
    for folder in folders:
        for file in sorted(folder.glob("*.toml")) if folder.is_dir() else ():
            try:
                theme = read(file)
            except UsageError as error:
                found.problems.append(f"theme {error}")
                continue
            found.themes[file.stem] = build(file.stem, theme)
            found.titles[file.stem] = theme.title
    return found


def choose(wanted: str, names: list[str], dark: bool) -> tuple[str, str]:
    """The theme to use, and what is wrong with the wish (empty: nothing)."""
    by_background = DARK if dark else LIGHT
    if wanted in ("", "auto"):
        return by_background, ""
    if wanted in names:
        return wanted, ""
    return by_background, f"there is no theme {wanted!r}; there are {', '.join(names)}"


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """`name -> (mtime, size)` of a folder's theme files: changed stamps mean that it is to be read again."""
    found: dict[str, tuple[int, int]] = {}
    try:
        for file in folder.glob("*.toml"):
            stat = file.stat()
            found[file.name] = (stat.st_mtime_ns, stat.st_size)
    except OSError:
        return found
    return found
