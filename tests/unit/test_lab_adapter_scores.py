"""The report on adapters: sections of a markdown file, and the crowd test against closed cases."""
from __future__ import annotations

from pathlib import Path

import numpy as np

from models.lab.adapter_scores import CROWD, _nearest, write_section


def test_a_section_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "SCORES.md"
    path.write_text("# Scores\n\ntable\n", encoding="utf-8")
    write_section(path, "## Adapters", "first")
    write_section(path, "## More", "more")
    write_section(path, "## Adapters", "second\n\nlines")
    assert path.read_text(encoding="utf-8") == "# Scores\n\ntable\n\n## Adapters\n\nsecond\n\nlines\n\n## More\n\nmore\n"


def test_scores_of_the_base_keep_what_others_wrote(tmp_path: Path) -> None:
    from models.lab.evaluate import _kept_sections
    path = tmp_path / "SCORES.md"
    assert _kept_sections(path) == ""
    path.write_text("# Scores\n\ntable\n", encoding="utf-8")
    write_section(path, "## Adapters", "first")
    path.write_text("# New scores\n" + _kept_sections(path), encoding="utf-8")
    assert path.read_text(encoding="utf-8") == "# New scores\n\n## Adapters\n\nfirst\n"


def test_the_crowd_finds_the_right_one_and_chance_is_chance() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(100, 40))
    named, alike = _nearest(truth + 0.1 * rng.normal(size=truth.shape), truth)
    assert named == 1.0 and alike > 0.95
    named, alike = _nearest(rng.normal(size=truth.shape), truth)
    assert named < 4 / CROWD + 0.05 and abs(alike) < 0.1
