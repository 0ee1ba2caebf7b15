"""Forks beside threads, as ProcessPoolExecutor makes them in a cell: the children can ask, too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_child_waits_for_no_thread_of_its_parent() -> None:
    ignored = "ignore::DeprecationWarning:__main__"  # of forks beside threads, which a user may well do
    command = [sys.executable, "-W", ignored, "-m", "tests.session.fork_at_work", "40"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(ended.stdout) == [0] * 40
