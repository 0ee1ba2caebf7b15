"""`%load_ext` and `%unload_ext`: what they bring, and that nothing of it stays."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from langchain_core.caches import InMemoryCache as LangChainCache
from langchain_core.globals import get_llm_cache, set_llm_cache

from llmcache_jupyter import load_ipython_extension, unload_ipython_extension
from llmcache_jupyter.notebook.magics import load, unload
from llmcache_jupyter.session.scope import current_run
from llmcache_jupyter.session.session import Session, default_session
from tests.notebook.conftest import Notebook


def traces(shell: InteractiveShell) -> dict[str, Any]:
    """Everything in a shell where an extension can leave something."""
    transformers = shell.input_transformer_manager
    return {
        "line magics": set(shell.magics_manager.magics["line"]),
        "cell magics": set(shell.magics_manager.magics["cell"]),
        "registry": set(shell.magics_manager.registry),
        "configurables": list(shell.configurables),
        "transforms": [
            list(transformers.cleanup_transforms),
            list(transformers.line_transforms),
            list(transformers.token_transformers),
        ],
        "matchers": list(shell.Completer.custom_matchers),
        "events": {name: list(callbacks) for name, callbacks in shell.events.callbacks.items()},
        "names": set(shell.user_ns),
    }


def test_nothing_stays(shell: InteractiveShell, session: Session) -> None:
    before = traces(shell)
    load(shell, session)
    assert traces(shell) != before
    unload(shell)
    assert traces(shell) == before


def test_twice_is_once(shell: InteractiveShell, session: Session) -> None:
    load(shell, session)
    once = traces(shell)
    load(shell, session)
    load(shell)
    assert traces(shell) == once
    unload(shell)
    unload(shell)
    assert "llmcache" not in traces(shell)["line magics"]


def test_it_can_be_loaded_again(filled: Notebook) -> None:
    unload(filled.shell)
    assert "not found" in filled.run("%llmcache").printed
    load(filled.shell, filled.session)
    assert repr(filled.run("%llmcache").value).startswith("LLM cache off\n  entries       3")
    assert "3 entries kept" in filled.run("%llmcache on").printed
    assert filled.run("%%llmcache off\n1").value == 1


def test_loading_again_tells_that_the_cache_is_off(filled: Notebook) -> None:
    """As `%reload_ext` does."""
    unload(filled.shell)
    with capture_output() as told:
        load(filled.shell, filled.session)
    assert told.stdout == (
        "The LLM cache is off since it was unloaded: `%llmcache on` goes on with its entries.\n"
    )
    unload(filled.shell)
    with capture_output() as told:
        load(filled.shell, filled.session)
    assert told.stdout == ""


def test_unloading_brings_back_what_was_there(notebook: Notebook) -> None:
    earlier: Any = get_llm_cache()
    theirs = LangChainCache()
    set_llm_cache(theirs)
    try:
        notebook.run("%llmcache on\n%llmcache on")
        ours: Any = get_llm_cache()
        assert ours is notebook.session.cache
        unload(notebook.shell)
        assert get_llm_cache() is theirs
        assert not notebook.session.active
    finally:
        set_llm_cache(earlier)


def test_calls_in_the_cell_that_loads(shell: InteractiveShell, session: Session) -> None:
    shell.user_ns.update(load=lambda: load(shell, session), unload=lambda: unload(shell), run=current_run)
    shell.run_cell("load(); inside = run()\nunload(); after = run()", store_history=True, cell_id="cell")
    assert (shell.user_ns["inside"].id, shell.user_ns["inside"].label) == ("cell", "[1]")
    assert shell.user_ns["after"] is None
    shell.run_cell("load()", store_history=True)
    assert current_run() is None


class TestConfiguration:
    def test_it_holds_from_the_start(self, shell: InteractiveShell, session: Session) -> None:
        ours = shell.config.LLMCacheMagics
        ours.maxsize, ours.policy, ours.ttl, ours.mode = 500, "lru", "1h", "readonly"
        load(shell, session)
        status = session.status()
        assert (status.active, status.maxsize, status.policy, status.ttl, status.mode) == (
            False, 500, "lru", 3600, "readonly",
        )  # fmt: skip

    def test_what_is_not_configured_stays(self, shell: InteractiveShell, session: Session) -> None:
        session.configure(maxsize=7, policy="lru")
        shell.config.LLMCacheMagics.ttl = 60
        load(shell, session)
        assert (session.status().maxsize, session.status().policy, session.status().ttl) == (7, "lru", 60)

    def test_autostart(self, shell: InteractiveShell, session: Session, capsys: Any) -> None:
        shell.config.LLMCacheMagics.autostart = True
        load(shell, session)
        assert session.active
        assert capsys.readouterr().out == ""
        unload(shell)
        assert not session.active

    @pytest.mark.parametrize(("name", "value"), [("maxsize", 0), ("ttl", "soon"), ("mode", "fast")])
    def test_a_mistake_is_one_line_and_loads_nothing(
        self, shell: InteractiveShell, session: Session, name: str, value: object
    ) -> None:
        before = traces(shell)
        shell.config.LLMCacheMagics[name] = value
        with pytest.raises(UsageError, match=name) as caught:
            load(shell, session)
        assert "\n" not in str(caught.value)
        assert traces(shell) == before
        del shell.config.LLMCacheMagics[name]
        load(shell, session)


def test_the_package_is_the_extension(shell: InteractiveShell) -> None:
    load_ipython_extension(shell)
    assert shell.run_cell("%llmcache").result.status == default_session().status()
    unload_ipython_extension(shell)
    assert shell.run_cell("%llmcache").error_in_exec is not None


def test_loading_imports_nothing_heavy() -> None:
    code = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell()
before = set(sys.modules)
shell.run_line_magic("load_ext", "llmcache_jupyter")
shell.run_line_magic("llmcache", "on --maxsize 5")
shell.run_line_magic("llmcache", "")
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(loaded & set("pandas numpy ipywidgets anywidget langchain langchain_core pydantic".split())))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "LLM cache on · at most 5 entries\n\n"
