"""Which cell a call belongs to, and the mode of a single cell."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from llmcache_jupyter.notebook.cells import cell_mode
from llmcache_jupyter.notebook.magics import LLMCacheMagics
from llmcache_jupyter.session.events import Event, Hit, Miss
from llmcache_jupyter.session.scope import Mode, current_run, current_scope
from tests.notebook.conftest import Notebook


def scoped_mode() -> Mode | None:
    return current_scope()[0]


@pytest.fixture
def on(notebook: Notebook) -> Notebook:
    """Cache on; the model has answered "known"."""
    notebook.run("%llmcache on")
    notebook.model()
    notebook.run("ask('known')")
    notebook.shell.user_ns["scoped_mode"] = scoped_mode
    return notebook


def asked(notebook: Notebook) -> int:
    return int(notebook.shell.user_ns["ask"].asked)


class TestMode:
    def test_refresh_asks_and_stores(self, on: Notebook) -> None:
        ran = on.run("%%llmcache refresh\nask('known')")
        assert ran.value == "re: known"
        assert asked(on) == 2
        assert ran.printed.endswith("llmcache refresh: 1 miss · 1 stored\n")

    def test_a_plan_holds_for_the_next_run_of_that_cell_and_prints_nothing(self, on: Notebook) -> None:
        configurables: list[Any] = on.shell.configurables
        (magics,) = [one for one in configurables if isinstance(one, LLMCacheMagics)]
        magics.cells.plan("a", "refresh")
        on.run("ask('known')", cell_id="b")
        assert asked(on) == 1
        assert "llmcache" not in on.run("ask('known')", cell_id="a").printed
        assert asked(on) == 2
        on.run("ask('known')", cell_id="a")
        assert asked(on) == 2

    def test_readonly_stores_nothing(self, on: Notebook) -> None:
        ran = on.run("%%llmcache readonly\nask('known'); ask('new'); None")
        assert ran.printed.startswith("llmcache readonly: 1 hit · 1 miss · saved")
        assert len(on.run("%llmcache entries").value) == 1

    def test_replay_stops_before_the_model(self, on: Notebook) -> None:
        assert on.run("%%llmcache replay\nask('known')").value == "re: known"
        assert on.run("%%llmcache replay  # no key\nask('known')").value == "re: known"
        ran = on.run("%%llmcache replay\nx = 1\nask('new')")
        assert type(ran.error).__name__ == "CacheMissError"
        assert asked(on) == 1
        assert "line 3" in ran.printed
        assert "ask('new')" in ran.printed
        assert "session/cache.py" not in ran.printed
        assert ran.printed.endswith("llmcache replay: 1 miss\n")

    def test_off_goes_past_the_cache(self, on: Notebook) -> None:
        ran = on.run("%%llmcache off\nask('known'); None")
        assert asked(on) == 2
        assert ran.printed == "llmcache off: 1 call past the cache\n"

    def test_on_in_another_mode(self, on: Notebook) -> None:
        on.run("%llmcache on --mode off")
        assert on.run("%%llmcache on\nask('known'); None").printed.startswith("llmcache on: 1 hit · saved")
        assert on.session.mode == "off"

    @pytest.mark.parametrize("end", ["", "1 / 0", "ask('new')", "raise KeyboardInterrupt", "while"])
    def test_it_is_gone_in_the_next_cell(self, on: Notebook, end: str) -> None:
        on.run(f"%%llmcache replay\nscoped_mode()\n{end}")
        assert on.run("scoped_mode()").value is None
        assert current_run() is None

    def test_a_cell_without_calls(self, on: Notebook) -> None:
        assert on.run("%%llmcache refresh\n").printed == "llmcache refresh: no model calls\n"
        assert on.run("%%llmcache refresh\nx = 1").printed == "llmcache refresh: no model calls\n"


class TestMistakes:
    @pytest.mark.parametrize(
        ("first_line", "told"),
        [
            ("refrsh", "There is no mode 'refrsh'. Did you mean 'refresh'?"),
            ("--verbose", "`%%llmcache on|refresh|readonly|replay|off`"),
            ("", "`%%llmcache on|refresh|readonly|replay|off`"),
            ("refresh now", "There is no mode 'refresh now'. Did you mean 'refresh'?"),
        ],
    )
    def test_the_body_does_not_run(self, on: Notebook, first_line: str, told: str) -> None:
        assert told in on.fails(f"%%llmcache {first_line}\nran = True")
        assert "ran" not in on.shell.user_ns

    def test_before_on(self, notebook: Notebook) -> None:
        told = notebook.fails("%%llmcache refresh\nran = True")
        assert told == "The LLM cache is off: run `%llmcache on` first."
        assert "ran" not in notebook.shell.user_ns
        assert notebook.run("%%llmcache off\n1 + 1").value == 2


class TestCell:
    def test_top_level_await(self, on: Notebook) -> None:
        on.shell.user_ns["gather"] = asyncio.gather
        ran = on.run("%%llmcache refresh\nawait gather(ask.ask('known'), ask.ask('a'), ask.ask('b'))")
        assert ran.value == ["re: known", "re: a", "re: b"]
        assert ran.printed.endswith("llmcache refresh: 3 misses · 3 stored\n")
        assert on.run("await ask.ask('known'); scoped_mode()").value is None

    def test_line_numbers_are_the_cell_s(self, on: Notebook) -> None:
        ran = on.run("%%llmcache refresh\n\nx = 1\n1 / 0")
        assert isinstance(ran.error, ZeroDivisionError)
        assert ran.error.__traceback__ is not None
        assert ran.error.__traceback__.tb_next is not None
        assert ran.error.__traceback__.tb_next.tb_lineno == 4

    def test_another_cell_magic_takes_the_rest(self, on: Notebook) -> None:
        ran = on.run("%%llmcache refresh\n\n%%capture captured\nprint(ask('known'), scoped_mode())")
        assert on.shell.user_ns["captured"].stdout == "re: known refresh\n"
        assert ran.printed == "llmcache refresh: 1 miss · 1 stored\n"
        assert "Wall time" in on.run("%%llmcache refresh\n%%time\nask('known')").printed

    def test_below_another_cell_magic(self, on: Notebook) -> None:
        on.run("%%capture captured\n%%llmcache refresh\nprint(scoped_mode())")
        assert on.shell.user_ns["captured"].stdout == "refresh\nllmcache refresh: no model calls\n"
        ran = on.run("%%time\n%%llmcache refresh\nprint(scoped_mode())")
        assert ran.printed.startswith("refresh\n")
        assert on.run("scoped_mode()").value is None

    def test_magics_and_shell_lines_in_the_body(self, on: Notebook) -> None:
        on.run("%%llmcache refresh\nlisted = %llmcache entries\nwhere = %pwd")
        assert len(on.shell.user_ns["listed"]) == 1

    def test_a_future_import_may_stay_the_first_statement(self, on: Notebook) -> None:
        code = "%%llmcache refresh\n# a comment\nfrom __future__ import annotations\ndef f(a: Nothing): ...\n"
        assert on.run(code + "scoped_mode()").value == "refresh"

    def test_code_that_calls_the_cell_magic(self, on: Notebook) -> None:
        code = "get_ipython().run_cell_magic('llmcache', 'off', 'inner = scoped_mode(); ask(\"known\")')"
        ran = on.run(f"%%llmcache refresh\n{code}\nafter = scoped_mode()")
        assert (on.shell.user_ns["inner"], on.shell.user_ns["after"]) == ("off", "refresh")
        assert "llmcache off: 1 call past the cache\n" in ran.printed
        assert on.fails(code.replace("off", "of")).startswith("There is no mode 'of'.")

    def test_a_notebook_that_is_run_by_a_cell(self, on: Notebook, tmp_path: Any) -> None:
        inner = tmp_path / "inner.ipy"
        inner.write_text("ask('known')\nfirst = scoped_mode()\n")
        on.run(f"%%llmcache refresh\n%run {inner}\nafter = scoped_mode()")
        assert (on.shell.user_ns["first"], on.shell.user_ns["after"]) == ("refresh", "refresh")
        silent = "get_ipython().run_cell('%%llmcache off\\nfirst = scoped_mode()', silent=True)"
        on.run(f"{silent}\nafter = scoped_mode()")
        assert (on.shell.user_ns["first"], on.shell.user_ns["after"]) == ("off", None)

    def test_text_that_is_no_first_line_stays(self) -> None:
        for lines in (["x = 1\n", "%%llmcache refresh\n"], ["%%llmcache?\n"], ["%%llmcached refresh\n"], []):
            assert cell_mode(lines) == lines

    def test_a_terminal_waits_for_the_body(self, on: Notebook) -> None:
        complete = on.shell.input_transformer_manager.check_complete
        assert complete("%%llmcache refresh\n")[0] == "incomplete"
        assert complete("%%llmcache refresh\nask('known')\n\n")[0] == "complete"


class TestBelonging:
    @pytest.fixture
    def events(self, on: Notebook) -> list[Event]:
        seen: list[Event] = []
        on.session.subscribe(seen.append)
        return seen

    def cells(self, events: list[Event]) -> list[str | None]:
        return [event.cell for event in events if isinstance(event, Hit | Miss)]

    def test_the_front_end_s_id_or_the_execution_count(self, on: Notebook, events: list[Event]) -> None:
        on.run("ask('known')")
        on.run("ask('known')", cell_id="cell-id")
        assert self.cells(events) == ["[3]", "cell-id"]
        assert on.session.cell_label("cell-id") == "[4]"

    def test_a_cell_run_by_a_cell_belongs_to_it(self, on: Notebook, events: list[Event]) -> None:
        on.run("%%capture\nask('known')", cell_id="outer")
        on.run(
            "get_ipython().run_cell('ask(\"known\")'); get_ipython().run_cell(''); ask('known')",
            cell_id="two",
        )
        assert self.cells(events) == ["outer", "two", "two"]
        assert on.run("%llmcache last").value.headline.startswith("Cell [4]: 2 hits")

    def test_calls_left_behind_belong_to_the_cell_that_began_them(
        self, on: Notebook, events: list[Event]
    ) -> None:
        on.shell.user_ns.update(asyncio=asyncio, go=asyncio.Event())
        on.run("async def later(): await go.wait(); return await ask.ask('known')")
        on.run("%%llmcache off\ntask = asyncio.create_task(later()); await asyncio.sleep(0)", cell_id="began")
        assert on.run("go.set(); await task", cell_id="waits").value == "re: known"
        assert self.cells(events) == ["began"]
        assert asked(on) == 2  # and in that cell's mode

    def test_a_bare_thread_belongs_to_the_cell_that_runs(self, on: Notebook, events: list[Event]) -> None:
        on.shell.user_ns.update(threading=threading, go=threading.Event())
        on.run("t = threading.Thread(target=lambda: (go.wait(), ask('known'))); t.start()", cell_id="began")
        on.run("go.set(); t.join()", cell_id="runs")
        assert self.cells(events) == ["runs"]

    def test_calls_between_cells_belong_to_none(self, on: Notebook, events: list[Event]) -> None:
        on.shell.user_ns["ask"]("known")
        assert self.cells(events) == [None]
        assert repr(on.run("%llmcache last").value).startswith("Calls outside of cells: 1 hit")

    def test_a_report_counts_every_call(self, on: Notebook) -> None:
        ran = on.run("%%llmcache on\nfor number in range(1500): ask(str(number))")
        assert ran.printed == "llmcache on: 1\u202f500 misses · 1\u202f500 stored\n"
