"""The mode and the cell of a call: they follow the code into tasks and threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any

import pytest

from llmcache_jupyter.errors import InvalidSettingError
from llmcache_jupyter.session.events import Miss
from llmcache_jupyter.session.scope import (
    MODES,
    CellRun,
    Mode,
    check_mode,
    current_run,
    current_scope,
    end_run,
    mode,
    start_run,
)


def scoped_mode() -> Mode | None:
    return current_scope()[0]


@pytest.fixture(autouse=True)
def _no_run() -> Iterator[None]:
    yield
    end_run()


def on_a_thread(function: Any) -> Any:
    """What `function` returns on a thread that carries no context."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


class TestModes:
    def test_there_are_five(self) -> None:
        assert [check_mode(name) for name in MODES] == ["on", "refresh", "readonly", "replay", "off"]

    @pytest.mark.parametrize("name", ["", "ON", "record", "of", None, ["on"]])
    def test_any_other_is_a_mistake(self, name: Any) -> None:
        with pytest.raises(InvalidSettingError, match="use one of on, refresh, readonly, replay, off"):
            check_mode(name)
        with pytest.raises(InvalidSettingError), mode(name):
            pytest.fail("the block was entered")
        assert scoped_mode() is None

    def test_the_innermost_block_counts_and_ends(self) -> None:
        assert scoped_mode() is None
        with mode("refresh"):
            with mode("off"):
                assert scoped_mode() == "off"
            assert scoped_mode() == "refresh"
            with pytest.raises(ZeroDivisionError), mode("replay"):
                _ = 1 / 0
            assert scoped_mode() == "refresh"
        assert scoped_mode() is None

    def test_a_block_goes_before_its_cell(self) -> None:
        start_run(CellRun("c", "[1]", mode="readonly"))
        assert scoped_mode() == "readonly"
        with mode("refresh"):
            assert scoped_mode() == "refresh"
        assert scoped_mode() == "readonly"
        end_run()
        assert scoped_mode() is None

    async def test_it_follows_into_tasks_and_executors_and_not_beside(self) -> None:
        inside, outside = asyncio.Event(), asyncio.Event()

        async def beside() -> Any:
            await inside.wait()
            found = scoped_mode()
            outside.set()
            return found

        task = asyncio.create_task(beside())
        with mode("replay"):
            inside.set()
            await outside.wait()
            assert await asyncio.create_task(_ask()) == "replay"
            assert await asyncio.to_thread(scoped_mode) == "replay"
            left_behind = asyncio.create_task(_ask())
        assert await left_behind == "replay"
        assert await task is None

    def test_it_follows_into_a_thread_that_carries_context(self) -> None:
        with mode("refresh"):
            context = copy_context()
            assert on_a_thread(lambda: context.run(scoped_mode)) == "refresh"
            assert on_a_thread(scoped_mode) is None


async def _ask() -> Any:
    return scoped_mode()


class TestCellRun:
    def test_calls_belong_to_the_cell_that_runs(self) -> None:
        assert current_run() is None
        run = CellRun("c", "[1]")
        start_run(run)
        assert current_run() is run
        assert on_a_thread(current_run) is run
        end_run()
        assert current_run() is None
        assert on_a_thread(current_run) is None

    async def test_a_task_left_behind_still_belongs_to_its_cell(self) -> None:
        first, second, go = CellRun("a", "[1]"), CellRun("b", "[2]"), asyncio.Event()

        async def later() -> Any:
            await go.wait()
            return current_run()

        start_run(first)
        task = asyncio.create_task(later())
        await asyncio.sleep(0)
        end_run()
        start_run(second)
        go.set()
        assert await task is first
        assert current_run() is second

    def test_a_thread_that_carries_context_still_belongs_to_its_cell(self) -> None:
        first = CellRun("a", "[1]")
        start_run(first)
        context = copy_context()
        end_run()
        start_run(CellRun("b", "[2]"))
        assert on_a_thread(lambda: context.run(current_run)) is first

    def test_two_runs_of_a_cell_are_two(self) -> None:
        assert CellRun("a", "[1]") != CellRun("a", "[1]")

    def test_it_remembers_its_latest_thousand_calls(self) -> None:
        run = CellRun("a", "[1]")
        for at in range(1_500):
            run.note(Miss("id", None, "a", float(at), "absent"))
        assert (len(run.events), run.events[0].at, run.counts.misses) == (1_000, 500.0, 1_500)
