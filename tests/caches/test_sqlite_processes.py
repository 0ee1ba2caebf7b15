"""SQLiteCache in several processes at once, killed ones among them: nothing is lost, and nothing fails."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llmcache_jupyter.caches import Query
from llmcache_jupyter.caches.sqlite import SQLiteCache
from tests.caches.sqlite_workers import EACH, WORKERS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.sqlite"


def run(job: str, path: Path) -> Any:
    return _run("sqlite_workers", job, path)


def _run(module: str, *arguments: Any) -> Any:
    ignored = "ignore::DeprecationWarning:__main__"  # of forks beside threads, which a user may well do
    command = [sys.executable, "-W", ignored, "-m", f"tests.caches.{module}", *map(str, arguments)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    return json.loads(ended.stdout)


def check_sound(path: Path) -> None:
    """The file is whole, its counts are right, and its index knows what it should."""
    connection = sqlite3.connect(path)

    def ask(sql: str) -> Any:
        return connection.execute(sql).fetchone()[0]

    assert ask("PRAGMA integrity_check") == "ok"
    assert ask("SELECT total(entries) FROM llm_strings") == ask("SELECT count(*) FROM entries")
    assert ask("SELECT count(*) FROM entries WHERE llm NOT IN (SELECT id FROM llm_strings)") == 0
    indexed = ask("SELECT value FROM state WHERE name = 'indexed'")
    known = "SELECT rowid FROM search WHERE search MATCH '\"ans\"'"
    there = f"SELECT row FROM entries WHERE row <= {indexed}"
    assert connection.execute(f"{known} EXCEPT {there}").fetchall() == []
    assert connection.execute(f"{there} EXCEPT {known}").fetchall() == []
    connection.close()


class TestKilled:
    def test_what_was_reported_stored_is_there(self, path: Path) -> None:
        reported = run("kill_writers", path)
        assert len(set(reported)) == len(reported) > 500
        with SQLiteCache(path) as cache:
            assert {prompt for prompt, _ in list(cache.keys())} >= set(reported)
            found = cache.entries(Query(text="answer", limit=None))
            assert found.total == len(cache)
            assert all(one.generations for one in found.entries)
        check_sound(path)

    def test_a_file_that_was_being_made_can_be_used(self, path: Path) -> None:
        reported = run("kill_makers", path)
        for file in path.parent.glob("*.sqlite"):
            with SQLiteCache(file) as cache:
                there = {prompt for prompt, _ in list(cache.keys())}
            assert there >= {
                prompt for name, prompt in (line.split(": ") for line in reported) if name == file.name
            }
            assert "after" in there
            check_sound(file)
        assert [found for found in path.parent.iterdir() if found.suffix != ".sqlite"] == []


class TestTogether:
    def test_four_processes_lose_nothing(self, path: Path) -> None:
        assert run("load", path) == [0] * WORKERS
        with SQLiteCache(path) as cache:
            entries = cache.entries(Query(limit=None)).entries
        assert len({one.key for one in entries}) == len(entries) == WORKERS * EACH
        again = [one for one in entries if one.generations[0].text == "Another answer."]
        assert len(again) == WORKERS * EACH / 10
        check_sound(path)

    def test_one_clears_while_others_read(self, path: Path) -> None:
        assert run("clear", path) == [0] * WORKERS
        with SQLiteCache(path) as cache:
            assert (len(cache), cache.models()) == (0, {})
        check_sound(path)

    def test_all_may_make_the_file(self, path: Path) -> None:
        assert set(run("make", path)) == {0}
        check_sound(path.with_name("0.sqlite"))

    def test_a_child_goes_on_after_its_parent(self, path: Path) -> None:
        expected = ["child, early", "child, late", "parent", "parent, after the fork"]
        assert run("outlive", path) == expected
        check_sound(path)

    def test_threads_may_fork_at_once(self, path: Path) -> None:
        assert run("fork_at_once", path) == [0] * 80 + [81]
        check_sound(path)

    def test_an_interrupt_at_whichever_moment_does_no_harm_to_threads_and_children(self, path: Path) -> None:
        found = _run("sqlite_interrupted", path)
        assert {name: wrong for name, (_, wrong) in found.items() if wrong} == {}
        assert min(moments for moments, _ in found.values()) > 10
        check_sound(path)

    @pytest.mark.soak
    def test_whatever_kernels_do_nothing_is_lost(self, path: Path, soak_factor: int) -> None:
        seed = 1 if soak_factor == 1 else random.randrange(1_000_000)
        found = _run("sqlite_kernels", path, seed, 4 * soak_factor)
        assert found["wrong"] == {}, f"seed {seed}"
        assert found["did"]["stored"] > 50
        check_sound(path)
