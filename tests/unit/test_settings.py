"""Settings from flags and environment."""
from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import BadInput
from studio.settings import EVERY_INTERFACE, LOOPBACK, Settings, default_cache_dir, has_screen, parser


def test_defaults_are_private_and_silent_without_a_screen() -> None:
    settings = Settings.from_args([], {"CI": "true"})
    assert (settings.host, settings.port, settings.base) == (LOOPBACK, 7860, "embedded")
    assert not (settings.share or settings.listen or settings.open_browser) and settings.budget_bytes is None


def test_every_flag_is_understood(tmp_path: Path) -> None:
    argv = ["--share", "--listen", "--port", "7999", "--base", "sd_unet", "--cache-dir", str(tmp_path), "--budget-gb", "1.5"]
    settings = Settings.from_args(argv, {})
    assert settings == Settings(EVERY_INTERFACE, 7999, True, True, "sd_unet", tmp_path, 1.5, False, password=settings.password)
    assert settings.budget_bytes == 3 * 2 ** 29


def test_flags_win_over_the_environment() -> None:
    env = {"ONESTROKE_PORT": "7001", "ONESTROKE_BASE": "other", "ONESTROKE_BUDGET_GB": "3", "ONESTROKE_CACHE_DIR": "somewhere"}
    settings = Settings.from_args(["--port", "7002"], env)
    assert (settings.port, settings.base, settings.budget_gb, settings.cache_dir) == (7002, "other", 3.0, Path("somewhere"))


def test_an_unknown_flag_is_refused_with_the_list() -> None:
    with pytest.raises(BadInput) as error:
        Settings.from_args(["--prot", "1"], {})
    assert "--prot" in str(error.value)
    assert all(flag in error.value.cure for flag in parser({}).known_flags())


@pytest.mark.parametrize("argv", [["--port", "0"], ["--port", "70000"], ["--port", "x"], ["--budget-gb", "0"], ["--budget-gb", "nan"],
                                  ["--budget-gb", "-1"], ["--por", "7860"], ["stray"]])
def test_bad_values_are_refused_by_a_sentence(argv: list[str]) -> None:
    with pytest.raises(BadInput):
        Settings.from_args(argv, {})


def test_a_bad_number_in_the_environment_is_refused_too() -> None:
    with pytest.raises(BadInput):
        Settings.from_args([], {"ONESTROKE_PORT": "many"})


@pytest.mark.parametrize("argv", [["--no-browser"], ["--listen"], ["--share"]])
def test_no_window_opens_on_a_server(argv: list[str]) -> None:
    with_screen = {"DISPLAY": ":0"}
    assert Settings.from_args([], with_screen).open_browser
    assert not Settings.from_args(argv, with_screen).open_browser


def test_a_screen_is_never_assumed_in_ci() -> None:
    assert not has_screen({"CI": "true", "DISPLAY": ":0"})


def test_the_cache_follows_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert default_cache_dir({"XDG_CACHE_HOME": "caches"}) == Path("caches/onestroke")
    assert default_cache_dir({}) == Path("~/.cache/onestroke")
    monkeypatch.setattr("sys.platform", "win32")
    assert default_cache_dir({"LOCALAPPDATA": "local"}) == Path("local/onestroke")
    monkeypatch.setattr("sys.platform", "darwin")
    assert default_cache_dir({}) == Path("~/Library/Caches/onestroke")


def test_settings_are_frozen_and_printable() -> None:
    settings = Settings(cache_dir=Path("here"))
    with pytest.raises(AttributeError):
        settings.port = 1
    assert settings.to_dict()["cache_dir"] == "here"


def test_ones_own_models_lie_in_the_cache_unless_another_place_is_named(tmp_path: Path) -> None:
    assert Settings.from_args(["--cache-dir", str(tmp_path)], {}).own_models == tmp_path / "models"
    env = {"ONESTROKE_MODELS_DIR": "env"}
    assert Settings.from_args([], env).own_models == Path("env")
    assert Settings.from_args(["--models-dir", "flag"], env).own_models == Path("flag")
