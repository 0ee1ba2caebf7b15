"""`%llmcache on --store` in a shell, and in real kernels that are killed or share a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from stand_in import StandIn
from traitlets.config import Config

from llmcache_jupyter import CacheWarning, InMemoryCache, Session
from llmcache_jupyter.notebook.magics import load
from tests.caches.redis_server import RedisServer
from tests.notebook.conftest import Notebook
from tests.notebook.kernel import Kernel


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TestMagic:
    def test_a_file(self, notebook: Notebook) -> None:
        assert notebook.run("%llmcache on --store notes.sqlite").printed == (
            "LLM cache on · store notes.sqlite · no maximum · restored 0 entries from notes.sqlite\n"
        )
        ask = notebook.model()
        notebook.run("ask('one'); ask('two')")
        assert notebook.run("%llmcache on --store none").printed == (
            "LLM cache on · no maximum · 2 entries kept\n"
        )
        notebook.run("%llmcache clear")
        notebook.run('%llmcache on --maxsize 500 --store "notes.sqlite"')
        notebook.run("ask('one'); ask('two')")
        assert ask.asked == 2
        assert "store notes.sqlite" in repr(notebook.run("%llmcache").value)

    def test_a_bare_store_is_a_file_beside_the_notebook(self, notebook: Notebook, folder: Path) -> None:
        notebook.run("%llmcache on --store --maxsize 5")
        assert (folder / ".llmcache.sqlite").exists()
        assert notebook.run("%llmcache on").printed.startswith("LLM cache on · store .llmcache.sqlite")

    def test_a_variable(self, notebook: Notebook) -> None:
        notebook.shell.user_ns["my_cache"] = mine = InMemoryCache()
        notebook.run("%llmcache on --store my_cache")
        notebook.model()
        notebook.run("ask('one')")
        assert len(mine) == 1

    @pytest.mark.parametrize("name", ["$lesson.sqlite", "{lesson}.sqlite", "$lesson.name.sqlite"])
    def test_a_name_with_a_variable_in_it(self, notebook: Notebook, folder: Path, name: str) -> None:
        notebook.shell.user_ns["lesson"] = "one"
        notebook.run(f"%llmcache on --store {name}")
        assert (folder / name.replace("$lesson", "one").replace("{lesson}", "one")).exists()

    def test_a_maximum_that_a_server_does_not_have_is_told(self, notebook: Notebook, folder: Path) -> None:
        redis = RedisServer(folder)
        try:
            told = notebook.run(f"%llmcache on --store {redis.url} --maxsize 5").printed.splitlines()
            assert told[1:] == [
                "  ! The store has no maximum: `--maxsize` holds for what this kernel has in memory."
            ]
            assert len(notebook.run(f"%llmcache on --store {redis.url}").printed.splitlines()) == 1
        finally:
            redis.stop()

    def test_names_that_no_file_can_have(self, notebook: Notebook) -> None:
        with pytest.warns(CacheWarning, match="cannot be opened"):
            assert notebook.run(f"%llmcache on --store {300 * 'x'}.sqlite").printed.startswith("LLM cache on")

    @pytest.mark.parametrize("store", ["", "http://x", "redis:h:6379", "redis://127.0.0.1:1/0?namespace="])
    def test_a_setting_that_cannot_be(self, shell: InteractiveShell, session: Session, store: str) -> None:
        shell.config.LLMCacheMagics.store = store
        with pytest.raises(UsageError, match=r"store: .*Correct it in ipython_config\.py"):
            load(shell, session)
        shell.config.LLMCacheMagics.store = None
        load(shell, session)

    def test_a_setting_that_cannot_be_is_not_taken(self, notebook: Notebook) -> None:
        notebook.run("%config LLMCacheMagics.store = 'http://x'")
        assert notebook.run("%config LLMCacheMagics.store").value is None

    def test_mistakes(self, notebook: Notebook, folder: Path) -> None:
        assert notebook.fails("%llmcache on --store my_cache") == (
            "There is neither a variable nor a file 'my_cache': for a new file write "
            "`%llmcache on --store my_cache.sqlite`."
        )
        notebook.shell.user_ns["my_cache"] = 3
        assert "not int" in notebook.fails("%llmcache on --store my_cache")
        assert "no store at http:// addresses" in notebook.fails("%llmcache on --store http://x")
        assert not notebook.session.active
        assert list(folder.iterdir()) == []

    def test_a_shared_store_is_cleared_on_demand(self, notebook: Notebook) -> None:
        notebook.shell.user_ns["team"] = team = InMemoryCache()
        team.shared = True
        notebook.run("%llmcache on --store team")
        notebook.model()
        notebook.run("ask('one')")
        assert "Everyone who uses" in notebook.fails("%llmcache clear")
        assert notebook.run("%llmcache clear --shared").printed == "1 entry cleared\n"

    def test_the_setting_and_the_session_are_one(self, notebook: Notebook, folder: Path) -> None:
        notebook.run("%config LLMCacheMagics.store = 'notes.sqlite'")
        assert not (folder / "notes.sqlite").exists()
        notebook.run("%llmcache on")
        assert (folder / "notes.sqlite").exists()
        notebook.run("%llmcache on --store other.sqlite")
        assert notebook.run("%config LLMCacheMagics.store").value == "other.sqlite"
        notebook.run("%config LLMCacheMagics.store = None")
        assert notebook.session.status().store is None

    def test_the_setting_holds_for_the_next_on(self, notebook: Notebook) -> None:
        notebook.run("%llmcache on --store notes.sqlite")
        notebook.run("%llmcache off")
        notebook.run("%config LLMCacheMagics.store = None")
        assert notebook.run("%config LLMCacheMagics.store").value is None
        notebook.run("%config LLMCacheMagics.store = 'notes.sqlite'")
        assert notebook.run("%llmcache on").printed.startswith("LLM cache on · store notes.sqlite")

    def test_a_config_file_names_it(self, notebook: Notebook, folder: Path) -> None:
        notebook.run("%unload_ext llmcache_jupyter")
        notebook.shell.config.merge(Config({"LLMCacheMagics": {"store": "notes.sqlite", "autostart": True}}))
        from llmcache_jupyter.notebook.magics import load, unload

        unload(notebook.shell)
        load(notebook.shell, notebook.session)
        assert (folder / "notes.sqlite").exists()


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with StandIn(port=0, answers=lambda prompt: f"re: {prompt}") as server:
        yield server


def started(folder: Path, server: StandIn) -> Kernel:
    kernel = Kernel()
    kernel.run(
        f"import os; os.chdir({str(folder)!r})\n%load_ext llmcache_jupyter\nimport asyncio\n"
        "from langchain_openai import ChatOpenAI\n"
        f"model = ChatOpenAI(model='gpt', base_url={server.base_url!r}, api_key='unused')\n"
        "def ask(prompt): return model.invoke(prompt).content"
    )
    return kernel


class TestKernels:
    def test_a_killed_kernel_serves_its_answers_when_it_is_back(self, folder: Path, server: StandIn) -> None:
        server.reset()
        first = started(folder, server)
        try:
            first.run("%llmcache on --store notes.sqlite")
            assert first.value("[ask(str(n)) for n in range(20)][-1]") == "'re: 19'"
        finally:
            first.kill()
        second = started(folder, server)
        try:
            said = second.run("%llmcache on --store notes.sqlite").text
            assert said.endswith("restored 20 entries from notes.sqlite\n")
            assert second.value("[ask(str(n)) for n in range(20)][-1]") == "'re: 19'"
            assert server.requests == 20
        finally:
            second.stop()

    @pytest.fixture(params=["file", "server"])
    def store(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
        if request.param == "file":
            yield "notes.sqlite"
        else:
            redis = RedisServer(tmp_path)
            yield f"{redis.url}?namespace=team"
            redis.stop()

    def test_two_share_a_store_under_load(self, folder: Path, server: StandIn, store: str) -> None:
        server.reset()
        kernels = [started(folder, server), started(folder, server)]
        load = (
            "async def load(name):\n"
            "    own = model.abatch([f'{name} {n}' for n in range(60)])\n"
            "    shared = model.abatch([f'shared {n}' for n in range(60)])\n"
            "    return [m.content for answers in await asyncio.gather(own, shared) for m in answers]\n"
        )
        try:
            for kernel in kernels:
                kernel.run(f"%llmcache on --store {store}")
                kernel.run(load)
            asked = [
                kernel.send(f"print(len(set(await load({name!r}))))")
                for kernel, name in zip(kernels, "ab", strict=True)
            ]
            for kernel, message in zip(kernels, asked, strict=True):
                shown = kernel.finish(message)
                assert (shown.text, shown.error) == ("120\n", None)
            for kernel in kernels:
                assert (
                    kernel.value("get_ipython().run_line_magic('llmcache', 'status').status.entries") == "180"
                )
            before = server.requests
            again = kernels[0].run("print(len(set(await load('b'))))")
            assert (again.text, server.requests) == ("120\n", before)
            assert kernels[0].run("%llmcache clear --shared").text == "180 entries cleared\n"
            kernels[1].run("ask('a 1')")
            assert server.requests == before + 1
        finally:
            for kernel in kernels:
                kernel.stop()
