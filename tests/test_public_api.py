"""The package's public face, written out: a change here is a change for every user."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import llmcache_jupyter

NAMES = [
    "aclear", "adelete", "aentries", "aload", "alookup", "asave", "clear", "default_session", "delete",
    "entries", "last", "load", "lookup", "mode", "off", "on", "panel", "save", "stats", "status", "why",
    "BaseCache", "Entry", "EntryCache", "Generation", "InMemoryCache", "Page", "Query",
    "RedisCache", "SQLiteCache", "TieredCache",
    "BackendError", "CacheInactiveError", "CacheMissError", "CacheWarning", "DecodingError", "EncodingError",
    "EntryNotFoundError", "InvalidSettingError", "LLMCacheError", "StoreError",
    "SessionCache", "Session",
    "load_ipython_extension", "unload_ipython_extension",
]  # fmt: skip

PARAMETERS = {
    "on": "*, maxsize, policy, ttl, mode, store, load=None",
    "off": "",
    "status": "",
    "why": "what=None",
    "stats": "",
    "entries": "text=None, *, model=None, sort='stored', ascending=False, limit=50, full=False",
    "aentries": "text=None, *, model=None, sort='stored', ascending=False, limit=50, full=False",
    "save": "path, *, model=None, used=False, cell=None, add=False",
    "asave": "path, *, model=None, used=False, cell=None, add=False",
    "load": "path",
    "aload": "path",
    "lookup": "prompt, *, model=None",
    "alookup": "prompt, *, model=None",
    "delete": "*ids",
    "adelete": "*ids",
    "clear": "*, model=None, older_than=None, shared=False",
    "aclear": "*, model=None, older_than=None, shared=False",
    "last": "",
    "panel": "",
    "mode": "name",
    "default_session": "",
    "load_ipython_extension": "shell",
    "unload_ipython_extension": "shell",
    "InMemoryCache": "*, maxsize=None, policy='fifo', ttl=None, clock",
    "RedisCache": "url, *, namespace=None, ttl=None, timeout=None, clock",
    "SQLiteCache": "path, *, maxsize=None, policy='fifo', ttl=None, clock",
    "TieredCache": "fast, slow, *, on_failure=None, on_recovery=None, timer, background=True",
    "SessionCache": "backend=None, *, mode='on', clock, timer",
    "Session": "*, clock",
    "Generation": "text, generation_info=None",
}


def parameters(name: str) -> str:
    """The parameters as they are written, without annotations and without defaults that are objects."""
    written = []
    keyword_only = False
    for parameter in inspect.signature(getattr(llmcache_jupyter, name)).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            written.append("*")
        star = "*" if parameter.kind is parameter.VAR_POSITIONAL else ""
        plain = isinstance(parameter.default, str | int | bool | None)
        default = f"={parameter.default!r}" if plain and parameter.default is not parameter.empty else ""
        written.append(star + parameter.name + default)
    return ", ".join(written)


def test_the_names() -> None:
    assert llmcache_jupyter.__all__ == NAMES
    assert set(NAMES) < set(dir(llmcache_jupyter))
    assert llmcache_jupyter.__version__


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_there_and_documented(name: str) -> None:
    assert (getattr(llmcache_jupyter, name).__doc__ or "").strip()


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_parameters(name: str) -> None:
    assert parameters(name) == PARAMETERS[name]


def test_every_function_s_parameters_are_written_out() -> None:
    functions = {name for name in NAMES if inspect.isfunction(getattr(llmcache_jupyter, name))}
    assert functions <= set(PARAMETERS)


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        llmcache_jupyter.nothing  # noqa: B018


def test_importing_is_cheap() -> None:
    """Neither the heavy libraries nor the package's own rooms are loaded until a name is used."""
    code = """
import sys
before = set(sys.modules)
import llmcache_jupyter
new = set(sys.modules) - before
heavy = set("pandas numpy IPython ipywidgets anywidget traitlets langchain langchain_core pydantic".split())
print(*heavy & new, *(name for name in new if name.startswith("llmcache_jupyter.session")))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


def test_star_import() -> None:
    namespace: dict[str, object] = {}
    exec("from llmcache_jupyter import *", namespace)
    assert set(NAMES) <= set(namespace)
