"""Themes: the shipped ones reach their contrast, a bad one is a line, the operator's are read again on change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from o_tui.config import Config, ScreenConfig
from o_tui.paths import shipped
from o_tui.protocol.errors import UsageError
from o_tui.ui import themes
from tests.support.screen import view

SHIPPED = sorted(shipped("themes").glob("*.toml"))
NIGHT = (shipped("themes") / "night.toml").read_text()


def test_there_are_light_dark_and_high_contrast_themes() -> None:
    read = [themes.read(file) for file in SHIPPED]
    assert sum(not theme.dark for theme in read) >= 2
    assert sum(theme.dark for theme in read) >= 2
    assert any(theme.high_contrast for theme in read)
    assert len({theme.title for theme in read}) == len(read) >= 5


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_shipped_themes_are_sound(file: Path) -> None:
    theme = themes.read(file)
    assert themes.check(theme.colors) == []
    assert (themes.luminance(theme.colors.background) < 0.2) == theme.dark
    if theme.high_contrast:
        assert themes.contrast(theme.colors.foreground, theme.colors.background) >= 15


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_what_textual_makes_of_a_theme_reaches_the_contrast_too(file: Path) -> None:
    theme = themes.build(file.stem, themes.read(file))
    values = theme.to_color_system().generate() | theme.variables
    for role in ("foreground", "primary", "success", "warning", "error", "accent", "muted"):
        assert themes.contrast(values[role], values["background"]) >= 4.5, role
    assert themes.contrast(values["block-cursor-foreground"], values["block-cursor-background"]) >= 4.5
    assert themes.contrast(values["input-cursor-foreground"], values["input-cursor-background"]) >= 4.5


def test_contrast_is_wcags() -> None:
    assert themes.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert themes.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title = [", "bad.toml"),
        (NIGHT.replace('muted = "#93a0b4"', 'muted = "grey"'), "muted = 'grey' is not #rrggbb"),
        (NIGHT.replace('muted = "#93a0b4"', 'muted = "#20242c"'), "muted on background has a contrast of"),
        (NIGHT.replace('muted = "#93a0b4"\n', ""), "missing required field `muted`"),
        (NIGHT.replace("[colors]", "[colors]\nglow = '#ffffff'"), "unknown field `glow`"),
        (NIGHT.replace("dark = true", "dark = 'yes'"), "Expected `bool`"),
        ("x" * 100_000, "larger than"),
    ],
)
def test_a_bad_theme_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(UsageError, match=r"bad\.toml"):
        themes.read(tmp_path / "bad.toml")
    found = themes.find([tmp_path])
    assert found.themes == {}
    assert len(found.problems) == 1
    assert words in found.problems[0]
    assert "\n" not in found.problems[0].split(words)[0]


def test_bytes_that_are_no_text_and_odd_names_are_lines_too(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "Bad Name.toml").write_text(NIGHT)
    assert len(themes.find([tmp_path]).problems) == 2


@pytest.mark.parametrize(("dark", "name"), [(True, "night"), (False, "day")])
def test_auto_follows_the_terminal(dark: bool, name: str) -> None:
    assert themes.choose("auto", ["night", "day"], dark) == (name, "")
    assert themes.choose("ghost", ["night", "day"], dark)[0] == name
    assert "ghost" in themes.choose("ghost", ["night", "day"], dark)[1]


async def test_a_theme_that_does_not_exist_is_told_and_the_screen_is_fine() -> None:
    async with view(config=Config(screen=ScreenConfig(theme="ghost")), dark=False) as v:
        assert v.app.theme == "day"
        await v.until(lambda: "no theme 'ghost'" in v.toasts)


async def test_the_operators_theme_is_used_and_read_again_when_it_changes() -> None:
    def prepare(paths) -> None:  # type: ignore[no-untyped-def]
        paths.user_themes.mkdir(parents=True)
        (paths.user_themes / "mine.toml").write_text(NIGHT.replace('"Night"', '"Mine"'))

    async with view(config=Config(screen=ScreenConfig(theme="mine")), prepare=prepare) as v:
        assert v.app.theme == "mine"
        file = v.paths.user_themes / "mine.toml"
        file.write_text(NIGHT.replace("#11151c", "#000011"))
        os.utime(file, ns=(1, 1))
        await v.until(lambda: v.app.theme_variables["background"] == "#000011")
        file.write_text("broken = [")
        await v.until(lambda: "mine.toml" in v.toasts)
        await v.sees("main [OK]")


@pytest.mark.parametrize("name", [file.stem for file in SHIPPED])
async def test_every_theme_draws_every_size(name: str) -> None:
    async with view((80, 24), config=Config(screen=ScreenConfig(theme=name))) as v:
        await v.sees("main [OK]")
        await v.pilot.resize_terminal(200, 60)
        await v.sees("4 Review")
        assert not any(pane.failure for pane in v.app.frame.panes.values())


async def test_a_theme_is_kept_in_the_file_when_there_is_no_guardian() -> None:
    async with view(connected=False) as v:
        v.app.use_theme("day", save=True)
        await v.until(lambda: v.paths.config_file.exists())
        assert 'theme = "day"' in v.paths.config_file.read_text()
