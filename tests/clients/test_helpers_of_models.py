"""Models of a notebook's own whose code uses what other cells define: a change there is another model."""

from __future__ import annotations

import gc
import linecache
import sys
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any
from weakref import ref

import pytest

from llmcache_jupyter import SessionCache
from llmcache_jupyter.session.identity.function_code import code_of_function

MODEL = """
from langchain_core.language_models.llms import LLM

class Mine(LLM):
    @property
    def _llm_type(self):
        return "mine"

    def _call(self, prompt, *args, **kwargs):
        ASKED.append(prompt)
        return f"ANSWER"

mine = Mine()
"""


class Notebook:
    """Cells that define things in `__main__`, and a model whose answer is an expression of them."""

    def __init__(self, *cells: str, answer: str) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__", "ASKED": []}
        self.run(*cells, MODEL.replace("ANSWER", answer))

    def run(self, *cells: str) -> None:
        for cell in cells:
            exec(compile(cell, f"<cell {cell}>", "exec", dont_inherit=True), self.names)

    def ask(self) -> str:
        return str(self.names["mine"].invoke("Hi"))

    @property
    def asked(self) -> int:
        return len(self.names["ASKED"])


@pytest.fixture(autouse=True)
def _cached(cache: SessionCache) -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


DECORATED = """
from functools import wraps
def ends(function):
    def ended(): return function() + {0!r}
    return wraps(function)(ended)
@ends
def say(): return "a"
"""
MADE = """
from pydantic import BaseModel, Field, PrivateAttr
class Say(BaseModel):
    made: int = Field(default_factory={})
    _kept: int = PrivateAttr({})
    told: int = Field(0, description={!r})
"""
CHANGES = {
    "a function": ("def say(): return 1", "def say(): return 2", "{say()}"),
    "one that it calls": (
        "def deep(): return 1\ndef say(): return deep()", "def deep(): return 2", "{say()}",
    ),
    "one that is wrapped": (
        "from functools import cache\n@cache\ndef say(): return 1", "@cache\ndef say(): return 2", "{say()}",
    ),
    "one that is decorated": (
        DECORATED.format("!"), DECORATED.format("?"), "{say()}",
    ),
    "one that was made": (
        "def make(n):\n    def made(): return n\n    return made\nsay = make(1)", "say = make(2)", "{say()}",
    ),
    "in a comprehension": ("def say(): return 1", "def say(): return 2", "{[say() for _ in 'a']}"),
    "a class": (
        "class Say:\n    def it(self): return 1", "class Say:\n    def it(self): return 2", "{Say().it()}",
    ),
    "only how far a line is moved in": (
        "def say():\n    for n in (1, 2):\n        last = n\n        return last",
        "def say():\n    for n in (1, 2):\n        last = n\n    return last",
        "{say()}",
    ),
    "a number": ("LEVEL = 1", "LEVEL = 2", "{LEVEL}"),
    "a key of music": ("KEY = 'C major'", "KEY = 'A minor'", "{KEY}"),
    "a text": ("SYSTEM = 'Be short.'", "SYSTEM = 'Be long.'", "{SYSTEM}"),
    "a token of a text": ("token = 'cat'", "token = 'dog'", "{token}"),
    "a token with a figure": ("TOKEN = 'day1'", "TOKEN = 'day2'", "{TOKEN}"),
    "a token of a function around it": (
        "def make(token):\n    def made(): return token\n    return made\nsay = make('cat')",
        "say = make('dog')",
        "{say()}",
    ),
    "a frozen set": ("WORDS = frozenset({'a', 'b'})", "WORDS = frozenset({'a', 'c'})", "{sorted(WORDS)}"),
    "a frozen set in a tuple": (
        "WORDS = (1, frozenset({'a'}))", "WORDS = (1, frozenset({'b'}))", "{WORDS}",
    ),
    "a tuple that holds a list": ("WORDS = ('a', [])", "WORDS = ('b', [])", "{WORDS}"),
    "a tuple with names": (
        "from collections import namedtuple\nPair = namedtuple('Pair', 'a')\nIT = Pair(1)",
        "IT = Pair(2)",
        "{IT}",
    ),
    "a frozen dataclass": (
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Say:\n    it: int\nIT = Say(1)",
        "IT = Say(2)",
        "{IT.it}",
    ),
    "a tuple": ("WORDS = ('a', 1)", "WORDS = ('a', 2)", "{WORDS}"),
    "a constant that a function reads": (
        "LEVEL = 1\ndef say(): return LEVEL", "LEVEL = 2", "{say()}",
    ),
    "a function that a class's method calls": (
        "def deep(): return 1\nclass Say:\n    def it(self): return deep()",
        "def deep(): return 2",
        "{Say().it()}",
    ),
    "a class's attribute": (
        "class Say:\n    it = 1", "Say.it = 2", "{Say.it}",
    ),
    "a method that is replaced": (
        "class Say:\n    def it(self): return 1", "Say.it = lambda self: 2", "{Say().it()}",
    ),
    "an inherited attribute": (
        "class Base:\n    it = 1\nclass Say(Base): pass", "Base.it = 2", "{Say.it}",
    ),
    "an enumeration": (
        "from enum import Enum\nclass Say(Enum):\n    IT = 1",
        "class Say(Enum):\n    IT = 2",
        "{Say.IT.value}",
    ),
    "what a function with arguments filled in calls": (
        "from functools import partial\ndef deep(): return 1\ndef it(): return deep()\nsay = partial(it)",
        "def deep(): return 2",
        "{say()}",
    ),
    "which of an enumeration it is": (
        "from enum import Enum\nclass Say(Enum):\n    A = 1\n    B = 2\nIT = Say.A",
        "IT = Say.B",
        "{IT.value}",
    ),
    "a method of an object": (
        "class Say:\n    def it(self): return 1\nsay = Say().it",
        "class Say:\n    def it(self): return 2\nsay = Say().it",
        "{say()}",
    ),
    "which installed function it is": ("say = max", "say = min", "{say(1, 2)}"),
    "which installed class it is": ("Say = int", "Say = float", "{Say(1)}"),
    "a path": (
        "from pathlib import Path\nFILE = Path('a')", "FILE = Path('b')", "{FILE}",
    ),
    "a pattern": ("import re\nIT = re.compile('a')", "IT = re.compile('b')", "{IT.pattern}"),
    "a class's documentation": (
        "class Say:\n    'Be short.'", "class Say:\n    'Be long.'", "{Say.__doc__}",
    ),
    "what a field is made of": (
        MADE.format("lambda: 1", 1, ""), MADE.format("lambda: 2", 1, ""), "{Say().made}",
    ),
    "what a private attribute is": (
        MADE.format("lambda: 1", 1, ""), MADE.format("lambda: 1", 2, ""), "{Say()._kept}",
    ),
    "a field's description": (
        MADE.format("lambda: 1", 1, "Of one."),
        MADE.format("lambda: 1", 1, "Of all."),
        "{Say.model_fields['told'].description}",
    ),
    "arguments that were filled in": (
        "from functools import partial\nsay = partial(str, 1)", "say = partial(str, 2)", "{say()}",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after", "answer"), CHANGES.values(), ids=CHANGES)
class TestAChange:
    def test_it_is_another_model(self, before: str, after: str, answer: str) -> None:
        notebook = Notebook(before, answer=answer)
        first = notebook.ask()
        assert (notebook.ask(), notebook.asked) == (first, 1)
        notebook.run(after)
        second = notebook.ask()
        assert (second != first, notebook.asked) == (True, 2)
        notebook.run(before)
        assert (notebook.ask(), notebook.asked) == (first, 2)

    def test_the_same_cells_in_another_kernel_are_the_same_model(
        self, before: str, after: str, answer: str
    ) -> None:
        first = Notebook(before, answer=answer).ask()
        again = Notebook(before, answer=answer)
        assert (again.ask(), again.asked) == (first, 0)
        other = Notebook(before, after, answer=answer)
        assert (other.ask() != first, other.asked) == (True, 1)


CHECKED = """
from typing import Annotated
from pydantic import AfterValidator, BaseModel
def checked(value): return value
class Say(BaseModel):
    it: Annotated[int, AfterValidator(checked)]
"""
KEPT: dict[str, tuple[str, Callable[[Notebook], None], str]] = {
    "a count of its own": (
        "COUNT = 0\ndef say():\n    global COUNT\n    COUNT += 1\n    return 1", lambda _: None, "{say()}",
    ),
    "a list that it fills": (
        "SEEN = []\ndef say():\n    SEEN.append(1)\n    return 1", lambda _: None, "{say()}",
    ),
    "what a class counts": (
        "class Say:\n    count = 0\n    def it(self):\n        Say.count += 1\n        return 1",
        lambda _: None,
        "{Say().it()}",
    ),
    "layout": (
        "def say(a=1,  b=2):\n        # of both\n\n        return  (a+b)",
        lambda notebook: notebook.run("def say(a=1, b=2):\n    return (a + b)"),
        "{say()}",
    ),
    "a token that a machine made up": (
        "TOKEN = 'hf_a1B2c3D4e5F6'",
        lambda notebook: notebook.run("TOKEN = 'hf_Z9y8X7w6v5'"),
        "{bool(TOKEN)}",
    ),
    "a list in a tuple that it fills": (
        "SEEN = ('a', [])\ndef say():\n    SEEN[1].append(1)\n    return 1", lambda _: None, "{say()}",
    ),
    "a key": ("API_KEY = 'sk-1'", lambda notebook: notebook.run("API_KEY = 'sk-2'"), "{bool(API_KEY)}"),
    "an object": ("CLIENT = object()", lambda notebook: notebook.run("CLIENT = object()"), "{bool(CLIENT)}"),
    "a module": ("import math", lambda notebook: notebook.run("import math"), "{math.pi}"),
    "functions that call each other": (
        "def a(n): return n and b(n - 1)\ndef b(n): return n and a(n - 1)", lambda _: None, "{a(3)}",
    ),
    "the class itself": ("", lambda _: None, "{Mine.__name__}"),
    "a field that is checked": (
        CHECKED, lambda notebook: notebook.run(CHECKED), "{Say(it=1).it}",
    ),
    "a tuple of classes": (
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass A:\n    it: int\nKINDS = (A, int)",
        lambda _: None,
        "{len(KINDS)}",
    ),
    "what is not there yet": ("def say(n=1): return n or missing", lambda _: None, "{say()}"),
}  # fmt: skip


@pytest.mark.parametrize(("cell", "change", "answer"), KEPT.values(), ids=KEPT)
def test_what_makes_no_other_model(cell: str, change: Callable[[Notebook], None], answer: str) -> None:
    notebook = Notebook(cell, answer=answer)
    first = notebook.ask()
    change(notebook)
    assert (notebook.ask(), notebook.asked) == (first, 1)
    again = Notebook(cell, answer=answer)
    assert (again.ask(), again.asked) == (first, 0)


def test_the_layout_of_a_cell_whose_source_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = (
        "def say(a=1,\n        b=2):\n    # of both\n\n    return (a +\n      b)\n",
        "def say(a=1, b=2):\n    return (a + b)\n",
    )
    for cell in cells:
        lines = cell.splitlines(keepends=True)
        monkeypatch.setitem(linecache.cache, f"<cell {cell}>", (len(cell), None, lines, f"<cell {cell}>"))
    one, other = (Notebook(cell, answer="{say()}") for cell in cells)
    assert (one.ask(), one.asked, other.ask(), other.asked) == ("3", 1, "3", 0)


def test_the_source_is_read_alike_by_every_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """An f-string is one word before Python 3.12, and several since."""
    source = """def say(a, w=3):  # a comment
    return f"{a!r:>{w}} {f'{w} b'}" + rf'''{a}
      ä {w}'''
"""
    lines = source.splitlines(keepends=True)
    monkeypatch.setitem(linecache.cache, "<cell>", (len(source), None, lines, "<cell>"))
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, "<cell>", "exec"), names)
    assert code_of_function(names["say"]) == (
        "def say ( a , w = 3 ) : ; { return f\"{a!r:>{w}} {f'{w} b'}\" + rf'''{a}\n      ä {w}''' ; }"
    )


INSTALLED = """
from functools import wraps
VERSION = 1
def retried(function):
    @wraps(function)
    def tried(): return VERSION and function()
    return tried
"""


def test_what_an_installed_decorator_reads_is_no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = ModuleType("retries")
    installed.__file__ = pytest.__file__
    exec(compile(INSTALLED, pytest.__file__, "exec"), vars(installed))
    monkeypatch.setitem(sys.modules, "retries", installed)
    notebook = Notebook("from retries import retried\n@retried\ndef say(): return 1", answer="{say()}")
    assert notebook.ask() == "1"
    vars(installed)["VERSION"] = 2
    assert (notebook.ask(), notebook.asked) == ("1", 1)


def test_code_that_is_patched_in_place() -> None:
    """As `%autoreload` does."""
    notebook = Notebook("def say(): return 1", answer="{say()}")
    assert notebook.ask() == "1"
    notebook.names["say"].__code__ = (lambda: 2).__code__
    assert notebook.ask() == "2"


def test_the_names_of_before_are_not_kept_alive() -> None:
    notebook = Notebook("def say(): return 1", answer="{say()}")
    notebook.ask()
    gone = ref(notebook.names["Mine"])
    notebook.names.clear()
    gc.collect()
    assert gone() is None
