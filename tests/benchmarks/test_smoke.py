"""`python -m benchmarks --quick`: every comparison runs and is printed; figures are for `make bench`."""

from __future__ import annotations

import sys

import pytest

from benchmarks.report import Row, Target
from benchmarks.run import main

ROWS = [
    "update, up to 10 entries", "hit, 10 entries", "miss, 10 entries",
    "update, up to 20 entries", "hit, 20 entries", "miss, 20 entries",
    "update at maxsize=10", "update at maxsize=20",
    "an entry of 10",
    "hit, a short question", "hit, a chat's third turn",
    "hit", "hit, read before", "an answer stored", "an entry",
    "hit with a store, a short question", "hit with a store, a chat's third turn",
    "hit on a server", "hit on a server, read before", "an answer stored on a server",
    "hit, 4 processes read",
    "fill 4, an entry", "open, 8 entries", "a page, 8 entries", "the first page, by answer, 8 entries",
    "a search, 8 entries",
    "open the panel", "search", "why, 8 in memory", "why, 8 in a file",
    "import llmcache_jupyter", "%load_ext llmcache_jupyter", "%llmcache on",
]  # fmt: skip


def test_every_row_is_printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain_community", None)  # only `make bench` installs it
    main(["--quick"])
    lines = capsys.readouterr().out.splitlines()
    assert [name for name in ROWS if not any(line.startswith(f"{name}  ") for line in lines)] == []
    assert lines[-1].startswith(("Over their target: ", "All targets are met"))


@pytest.mark.parametrize(
    ("target", "ratio", "is_over"),
    [
        (Target(1.1), 1.1, False),
        (Target(1.1), 1.11, True),
        (Target(5, faster=True), 0.2, False),
        (Target(5, faster=True), 0.21, True),
        (None, 9.0, False),
    ],
)
def test_a_missed_target_is_told(target: Target | None, ratio: float, is_over: bool) -> None:
    row = Row("a", ratio, 1.0, ratio, target)
    assert row.is_over is is_over
    assert row.line.endswith("over") is is_over


def test_figures_have_units() -> None:
    assert Row("a", 1.5e-6, 2.0, 0.25, Target(3, faster=True)).line.split() == [
        "a", "1.5", "us", "2", "s", "4.0", "x", ">=", "3", "x", "ok",
    ]  # fmt: skip
    assert Row("a", 1234.0, unit="B").line.split() == ["a", "1.23", "kB"]
