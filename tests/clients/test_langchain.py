"""LangChain's global cache while a session is active, and its acceptance of our classes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.caches import BaseCache as LangChainBaseCache
from langchain_core.caches import InMemoryCache as LangChainInMemoryCache
from langchain_core.globals import get_llm_cache, set_llm_cache
from langchain_core.language_models.fake_chat_models import FakeListChatModel

from llmcache_jupyter import InMemoryCache, SessionCache
from llmcache_jupyter.clients.langchain import LangChainClient


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    earlier = get_llm_cache()
    set_llm_cache(None)
    yield
    set_llm_cache(earlier)


def fresh(source: str) -> str:
    """What a new interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def current() -> Any:
    return get_llm_cache()


class TestAcceptance:
    @pytest.mark.parametrize("cache", [InMemoryCache(), SessionCache()], ids=["memory", "session"])
    def test_langchain_takes_our_caches(self, cache: Any) -> None:
        assert isinstance(cache, LangChainBaseCache)
        model = FakeListChatModel(responses=["one", "two"], cache=cache)
        assert [model.invoke("Hi").content for _ in range(2)] == ["one", "one"]

    def test_whichever_is_imported_first(self) -> None:
        check = "print(isinstance(llmcache_jupyter.InMemoryCache(), langchain_core.caches.BaseCache))"
        for order in ("langchain_core.caches, llmcache_jupyter", "llmcache_jupyter, langchain_core.caches"):
            assert fresh(f"import {order}; {check}") == "True"

    def test_importing_the_package_imports_no_langchain(self) -> None:
        source = (
            "import sys, llmcache_jupyter as llmcache\n"
            "llmcache.on(); llmcache.SessionCache(); llmcache.off()\n"
            "print([name for name in sys.modules if name.startswith(('langchain', 'pandas', 'ipywidgets'))])"
        )
        assert fresh(source) == "[]"

    def test_it_all_works_where_no_langchain_is(self) -> None:
        source = """
import sys
sys.modules.update({"langchain_core": None, "langchain_core.caches": None, "langchain_core.globals": None})
import llmcache_jupyter as llmcache
llmcache.on(maxsize=2)
cache = llmcache.default_session().cache
cache.update("p", "m", [llmcache.Generation("Hi")])
print(cache.lookup("p", "m"), len(llmcache.default_session().entries().entries))
llmcache.off()
"""
        assert fresh(source) == "[Generation(text='Hi', generation_info=None)] 1"


class TestAttach:
    def test_the_earlier_cache_comes_back(self) -> None:
        for earlier in (None, LangChainInMemoryCache()):
            set_llm_cache(earlier)
            client, cache = LangChainClient(), SessionCache()
            client.attach(cache)
            assert current() is cache
            client.detach()
            assert current() is earlier
            client.detach()
            assert current() is earlier

    def test_also_when_attached_twice(self) -> None:
        earlier = LangChainInMemoryCache()
        set_llm_cache(earlier)
        client, cache = LangChainClient(), SessionCache()
        client.attach(cache)
        client.attach(cache)
        client.detach()
        assert current() is earlier

    def test_a_cache_that_others_set_meanwhile_stays(self) -> None:
        others: list[Any] = [LangChainInMemoryCache(), None]
        for other in others:
            client, cache = LangChainClient(), SessionCache()
            client.attach(cache)
            assert client.displaced is None
            set_llm_cache(other)
            assert client.displaced == ("None" if other is None else "InMemoryCache()")
            client.detach()
            assert current() is other
            assert client.displaced is None

    def test_attached_again_it_takes_the_place_back(self) -> None:
        other = LangChainInMemoryCache()
        client, cache = LangChainClient(), SessionCache()
        client.attach(cache)
        set_llm_cache(other)
        client.attach(cache)
        assert current() is cache
        client.detach()
        assert current() is other

    def test_two_sessions_one_after_the_other(self) -> None:
        (one, first), (two, second) = [(LangChainClient(), SessionCache()) for _ in range(2)]
        one.attach(first)
        two.attach(second)
        assert one.displaced == "SessionCache()"
        two.detach()
        assert current() is first
        one.detach()
        assert current() is None

    def test_two_sessions_crossed(self) -> None:
        (one, first), (two, second) = [(LangChainClient(), SessionCache()) for _ in range(2)]
        one.attach(first)
        two.attach(second)
        one.detach()
        assert current() is second


PRELUDE = """
import sys
import llmcache_jupyter as llmcache
from llmcache_jupyter.clients.langchain import LangChainClient
before = list(sys.meta_path)
client, cache = LangChainClient(), llmcache.SessionCache()
"""


class TestBeforeLangChainIsImported:
    def test_it_takes_effect_at_the_import(self) -> None:
        source = """
client.attach(cache)
client.attach(cache)
print(any(name.startswith("langchain") for name in sys.modules), client.displaced)
import langchain_core.tracers.context
from langchain_core.globals import get_llm_cache
print(get_llm_cache() is cache, client.displaced, [f for f in sys.meta_path if f not in before])
client.detach()
print(get_llm_cache())
"""
        assert fresh(PRELUDE + source).splitlines() == ["False None", "True None []", "None"]

    def test_detached_before_there_is_nothing_left(self) -> None:
        source = """
client.attach(cache)
client.detach()
print(sys.meta_path == before, any(name.startswith("langchain") for name in sys.modules))
from langchain_core.globals import get_llm_cache
print(get_llm_cache())
"""
        assert fresh(PRELUDE + source).splitlines() == ["True False", "None"]

    def test_a_look_for_langchain_first_changes_nothing(self) -> None:
        source = """
import importlib.util
client.attach(cache)
importlib.util.find_spec("langchain_core.globals")
importlib.util.find_spec("langchain_core.caches")
from langchain_core.globals import get_llm_cache
import langchain_core.caches
print(get_llm_cache() is cache, isinstance(cache, langchain_core.caches.BaseCache))
"""
        assert fresh(PRELUDE + source) == "True True"

    def test_a_model_uses_it(self) -> None:
        source = """
client.attach(cache)
from langchain_core.language_models.fake_chat_models import FakeListChatModel
model = FakeListChatModel(responses=["one", "two"])
print(model.invoke("Hi").content, model.invoke("Hi").content)
client.detach()
print(model.invoke("Hi").content)
"""
        assert fresh(PRELUDE + source).splitlines() == ["one one", "two"]


def test_code_that_belongs_to_no_module_may_ask() -> None:
    world: dict[str, Any] = {"cache": SessionCache()}
    exec("def get_prompts():\n    return cache.lookup('p', 'l')", world)
    assert world["get_prompts"]() is None
