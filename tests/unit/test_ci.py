"""CI may not leave a browser test out, whatever the reason."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = "import pytest\n\n@pytest.mark.browser\ndef test_page():\n    pytest.skip('No Chromium found.')\n"


@pytest.mark.parametrize("ci,code,words", [("true", 1, "test_page was skipped in CI"), ("", 0, "1 skipped")])
def test_a_skipped_browser_test_fails_in_ci_and_is_named_elsewhere(tmp_path: Path, ci: str, code: int, words: str) -> None:
    (tmp_path / "test_page.py").write_text(LEFT_OUT)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path),
               "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"CI": ci, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == code and words in done.stdout and "No Chromium found." in done.stdout, done.stdout
    assert "test_page.py::test_page" in done.stdout
