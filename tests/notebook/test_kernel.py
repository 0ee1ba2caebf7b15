"""Every row of the magics' table in a real kernel, with LangChain's real client against a server."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from stand_in import StandIn

from tests.notebook.kernel import Kernel

FRANCE = "The capital of France?"


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with StandIn(port=0, answers=lambda prompt: f"re: {prompt}") as server:
        yield server


@pytest.fixture(scope="module")
def _kernel(server: StandIn) -> Iterator[Kernel]:
    kernel = Kernel()
    try:
        before = kernel.run("%load_ext llmcache_jupyter\n%llmcache on --maxsize 500\nimport asyncio, sys")
        assert before.text == "LLM cache on · at most 500 entries\n"
        assert kernel.value("'langchain_core' in sys.modules") == "False"
        kernel.run(
            "import langchain_core.globals as langchain\n"
            "from langchain_openai import ChatOpenAI\n"
            f"model = ChatOpenAI(model='gpt', base_url={server.base_url!r}, api_key='unused')\n"
            f"other = ChatOpenAI(model='cedar', base_url={server.base_url!r}, api_key='unused')\n"
            "def ask(prompt): return model.invoke(prompt).content\n"
            "async def aask(prompt): return (await model.ainvoke(prompt)).content"
        )
        yield kernel
    finally:
        kernel.stop()


@pytest.fixture
def kernel(_kernel: Kernel, server: StandIn) -> Kernel:
    """The cache is on, empty and has its defaults; the server has counted no request."""
    _kernel.run("%load_ext llmcache_jupyter")
    _kernel.run("%llmcache on --maxsize none --policy fifo --ttl none --mode on\n%llmcache clear")
    server.reset()
    return _kernel


def test_on_before_langchain_takes_effect_when_it_is_imported(kernel: Kernel, server: StandIn) -> None:
    assert kernel.value("type(langchain.get_llm_cache()).__name__") == "'SessionCache'"
    assert kernel.value(f"ask({FRANCE!r}), ask({FRANCE!r})") == f"('re: {FRANCE}', 're: {FRANCE}')"
    assert server.requests == 1


def test_status_is_a_card_with_a_text_twin(kernel: Kernel) -> None:
    kernel.run(f"ask({FRANCE!r}); ask({FRANCE!r})")
    (shown,) = kernel.run("%llmcache").shown
    assert set(shown) == {"text/html", "text/plain"}
    assert re.match(r"LLM cache on\n  entries +1\n  hits +\d+\n  misses +\d+\n", shown["text/plain"])
    assert "<dt>entries</dt><dd>1</dd>" in shown["text/html"]


def test_on_and_off(kernel: Kernel, server: StandIn) -> None:
    kernel.run("ask('a'); ask('b'); ask('c')")
    assert kernel.run("%llmcache on --maxsize 2 --policy lru --ttl 1h --mode readonly").text == (
        "LLM cache on · mode readonly · entries live 60 min · lru · at most 2 entries"
        " · 2 entries kept · the oldest dropped\n"
    )
    assert kernel.run("%llmcache off").text == "LLM cache off · 2 entries kept\n"
    assert kernel.value("langchain.get_llm_cache() is None") == "True"
    kernel.run("ask('c')")
    assert server.requests == 4
    kernel.run("%llmcache on --mode on\nask('c')")
    assert server.requests == 4


def test_clear_and_delete(kernel: Kernel) -> None:
    kernel.run("ask('a'); ask('b'); ask('c'); other.invoke('d')")
    assert kernel.run("%llmcache clear --model cedar").text == "1 entry cleared\n"
    assert kernel.run("%llmcache clear --older-than 7d").text == "0 entries cleared\n"
    kernel.run("ids = %llmcache entries\nids = list(ids['id'])")
    first = kernel.value("ids[0]").strip("'")
    assert kernel.run(f"%llmcache delete {first[:8]}").text == "1 entry deleted\n"
    assert kernel.run("%llmcache clear").text == "2 entries cleared\n"


def test_frames_are_returned_and_shown_once(kernel: Kernel) -> None:
    kernel.run("ask('a'); other.invoke('b')", cell_id="cell")
    silent = kernel.run(
        "by_model = %llmcache stats\nframe = %llmcache entries a --model gpt --sort hits --full"
    )
    assert (silent.text, silent.shown) == ("", [])
    assert kernel.value("len(frame), frame['answer'][0], by_model['stored'].sum() > 1") == (
        "(1, 're: a', np.True_)"
    )
    for line in ("entries", "stats"):
        (shown,) = kernel.run(f"%llmcache {line}").shown
        assert "<table" in shown["text/html"]
        assert "gpt" in shown["text/plain"]


def test_lookup(kernel: Kernel) -> None:
    kernel.run('ask("What\'s up?")')
    (shown,) = kernel.run("%llmcache lookup What's up?").shown
    for text in shown["text/plain"], shown["text/html"]:
        assert "Hit: 1 entry" in text
        assert "unused" not in text  # the API key
    assert "re: What's up?" in shown["text/plain"]
    (shown,) = kernel.run("%llmcache lookup {model} $model?").shown
    assert shown["text/plain"].startswith("Miss: nothing is cached for “{model} $model?”")


def test_last(kernel: Kernel) -> None:
    kernel.run("ask('a')")
    kernel.run("ask('a'); model.batch(['b', 'c', 'd']); None", cell_id="cell")
    (shown,) = kernel.run("%llmcache last").shown
    assert re.match(
        r"Cell \[\d+\]: 1 hit · 3 misses · 3 stored · saved \S+ m?s, \d+ tokens\n", shown["text/plain"]
    )
    assert len(re.findall(r"\b[0-9a-f]{12}\b", shown["text/plain"])) == 4
    assert shown["text/html"].count("<tr>") == 5


def test_panel(kernel: Kernel) -> None:
    kernel.run("ask('a')")
    (shown,) = kernel.run("%llmcache panel --static").shown
    assert "re: a" in shown["text/html"]
    assert "re: a" in shown["text/plain"]
    shown_together = kernel.run("%llmcache panel").shown
    assert any("application/vnd.jupyter.widget-view+json" in shown for shown in shown_together)
    assert any("re: a" in shown.get("text/html", "") for shown in shown_together)


def test_help(kernel: Kernel) -> None:
    assert "%llmcache lookup What is" in kernel.run("%llmcache help").text


def test_a_cell_s_mode_with_top_level_await(kernel: Kernel, server: StandIn) -> None:
    kernel.run("ask('a'); ask('b')")
    ran = kernel.run(
        "%%llmcache refresh\nawait asyncio.gather(aask('a'), aask('b'), asyncio.to_thread(ask, 'c'))"
    )
    assert ran.shown[0]["text/plain"] == "['re: a', 're: b', 're: c']"
    assert ran.text == "llmcache refresh: 3 misses · 3 stored\n"
    assert server.requests == 5
    assert kernel.value("await aask('a')") == "'re: a'"
    assert server.requests == 5


def test_a_cell_s_mode_in_the_threads_of_batch(kernel: Kernel, server: StandIn) -> None:
    kernel.run("ask('a'); ask('b')")
    ran = kernel.run("%%llmcache refresh\nmodel.batch(['a', 'b', 'c']); None", cell_id="cell")
    assert ran.text == "llmcache refresh: 3 misses · 3 stored\n"
    assert server.requests == 5


def test_a_cell_s_mode_is_gone_after_an_exception(kernel: Kernel, server: StandIn) -> None:
    for body in ("await asyncio.sleep(0); 1 / 0", "1 / 0"):
        assert kernel.run(f"%%llmcache off\n{body}").error == "ZeroDivisionError"
        assert kernel.run(f"ask({body!r}); ask({body!r}); None").error is None
    assert server.requests == 2


def test_replay_shows_the_user_s_line(kernel: Kernel, server: StandIn) -> None:
    ran = kernel.run("%%llmcache replay\nx = 1\nask('never asked')")
    assert (ran.error, server.requests) == ("CacheMissError", 0)
    assert "line 3" in ran.traceback
    assert "langchain" not in ran.traceback.replace("LangChain", "")
    assert ran.traceback.count("\n") < 8


def test_a_background_task_belongs_to_its_cell(kernel: Kernel, server: StandIn) -> None:
    kernel.run("async def later():\n    await go.wait()\n    return await asyncio.to_thread(ask, 'a')")
    kernel.run("%%llmcache off\ngo = asyncio.Event(); task = asyncio.create_task(later())", cell_id="began")
    assert kernel.value("go.set(); await task") == "'re: a'"
    kernel.run("ask('a')")
    assert server.requests == 2  # the task's answer was not stored
    assert kernel.run("%llmcache last").shown[0]["text/plain"].startswith("Cell [")


def test_entries_name_their_cell_by_its_number(kernel: Kernel) -> None:
    kernel.run("ask('a')", cell_id="0123-4567")
    number = kernel.value("In.__len__() - 2")
    assert kernel.run("%llmcache entries").shown[0]["text/plain"].count(f"[{number}]") == 1


def test_completion(kernel: Kernel) -> None:
    kernel.run("ask('a')")
    assert "lookup" in kernel.complete("%llmcache ")
    assert kernel.complete("x = 1\n%llmcache on --po") == ["--policy"]
    assert kernel.complete("%llmcache entries --model ") == ["gpt"]
    (entry,) = kernel.complete("%llmcache delete ")
    assert re.fullmatch("[0-9a-f]{12}", entry)
    assert kernel.complete("%%llmcache ref") == ["refresh"]


def test_mistakes_are_one_line(kernel: Kernel) -> None:
    for line in (
        "on --maxsize 0", "on --maxsize many", "entires", "delete ''", "clear --older-than soon",
        "entries --sort size", "entries --model nobody", "lookup", "refresh",
    ):  # fmt: skip
        kernel.run("ask('a')")
        ran = kernel.run(f"%llmcache {line}")
        assert ran.text.startswith("UsageError: "), line
        assert (ran.text.count("\n"), ran.shown, ran.traceback) == (1, [], ""), line


def test_settings(kernel: Kernel) -> None:
    assert "LLMCacheMagics.autostart" in kernel.run("%config LLMCacheMagics").text
    kernel.run("%config LLMCacheMagics.report = 'cell'\nask('a')")
    assert kernel.run("ask('a'); None").text.startswith("llmcache: 1 hit · saved")
    kernel.run("%config LLMCacheMagics.report = 'never'")


def test_unloading_brings_back_what_was_there(kernel: Kernel, server: StandIn) -> None:
    kernel.run("%llmcache off\nfrom langchain_core.caches import InMemoryCache")
    kernel.run("theirs = InMemoryCache(); langchain.set_llm_cache(theirs)\n%llmcache on\n%llmcache on")
    kernel.run("%unload_ext llmcache_jupyter")
    assert kernel.value("langchain.get_llm_cache() is theirs") == "True"
    assert kernel.run("%llmcache").error is None
    assert "not found" in kernel.run("%llmcache").text
    kernel.run("langchain.set_llm_cache(None)\n%load_ext llmcache_jupyter")
    assert kernel.run("%llmcache").shown[0]["text/plain"].startswith("LLM cache off")
