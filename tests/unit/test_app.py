"""What the app does around its tabs, without a browser."""
from __future__ import annotations

from types import SimpleNamespace

import pytest

from models.errors import BadInput
from studio import app
from studio.settings import Settings
from studio.tab import Tab


def test_opening_a_tab_prefetches_what_it_names_in_order() -> None:
    fetched: list[tuple[str, str]] = []
    ctx = SimpleNamespace(engine=SimpleNamespace(prefetch=lambda kind, id: fetched.append((kind, id))))
    app.prefetch(Tab("x", "X", 0, lambda ctx: None, warms=lambda ctx: [("base", "b"), ("adapter", "a")]), ctx).join(10)
    app.prefetch(Tab("y", "Y", 0, lambda ctx: None), ctx).join(10)
    assert fetched == [("base", "b"), ("adapter", "a")]


def test_unused_models_are_swept_only_where_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    swept: list[float] = []

    def sweep(older_than_s: float) -> None:
        swept.append(older_than_s)
        if len(swept) == 2:
            raise StopIteration
    monkeypatch.setattr(app.time, "sleep", lambda seconds: None)
    app._keep_house(SimpleNamespace(sweep=sweep), None)
    with pytest.raises(StopIteration):
        app._keep_house(SimpleNamespace(sweep=sweep), 5.0)
    assert swept == [300.0, 300.0]


def test_keep_alive_is_read_and_checked() -> None:
    assert Settings.from_args(["--keep-alive-min", "5"], {}).keep_alive_min == 5.0
    assert Settings.from_args([], {}).keep_alive_min is None
    with pytest.raises(BadInput, match="0.0 minutes"):
        Settings.from_args(["--keep-alive-min", "0"], {})
