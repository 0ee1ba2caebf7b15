"""What a model's parts change of themselves as it answers makes no other model; what others change does."""

from __future__ import annotations

import asyncio
import gc
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import pytest
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from openai import OpenAI
from pydantic import BaseModel, PrivateAttr, SecretStr
from stand_in import StandIn

from llmcache_jupyter import SessionCache
from tests.clients.conftest import MakeChat
from tests.clients.test_parts_of_models import ASKED, Holding, Own, ask


@pytest.fixture(autouse=True)
def _cached(cache: SessionCache) -> Iterator[None]:
    ASKED.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Part:
    def __init__(self, voice: str = "pirate") -> None:
        self.voice = voice

    def say(self) -> str:
        return self.voice


class Counting(Part):
    calls = 0

    def say(self) -> str:
        self.calls += 1
        return self.voice


class Remembering(Part):
    def __init__(self, voice: str = "pirate") -> None:
        super().__init__(voice)
        self.said: dict[str, str] = {}

    def say(self) -> str:
        return self.said.setdefault("Hi", f"{self.voice}")


class Filling(Part):
    def __init__(self, voice: str = "pirate") -> None:
        super().__init__(voice)
        self._weights: Any = None

    @property
    def weights(self) -> Any:
        if self._weights is None:
            self._weights = [self.voice]
        return self._weights

    def say(self) -> str:
        return str(self.weights)


class Caching(Part):
    @cached_property
    def weights(self) -> Any:
        return (self.voice,)

    def say(self) -> str:
        return str(self.weights)


class Declared(BaseModel):
    voice: str = "pirate"
    calls: int = 0
    _last: str = PrivateAttr("")

    def say(self) -> str:
        self.calls += 1
        self._last = f"{self.voice} {self.calls}"
        return self.voice


class Outer(Part):
    """It has a part of its own that changes."""

    def __init__(self, voice: str = "pirate") -> None:
        super().__init__(voice)
        self.inner = [Counting(voice)]

    def say(self) -> str:
        return self.inner[0].say()


KINDS = [Counting, Remembering, Filling, Caching, Declared, Outer]
Make = Callable[..., Any]


@pytest.mark.parametrize("kind", KINDS)
class TestAPartThatChangesItself:
    def test_it_is_the_same_model(self, kind: Make) -> None:
        model = Holding(part=kind())
        for _ in range(3):
            ask(model)
            model.invoke("Ho")
        assert ASKED == ["Hi", "Ho"]

    def test_made_again_it_is_the_same_model(self, kind: Make) -> None:
        part = kind()
        for prompt in ("Hi", "Ho"):
            Holding(part=part).invoke(prompt)
            Holding(part=kind()).invoke(prompt)
        assert ASKED == ["Hi", "Ho"]

    def test_what_others_change_counts(self, kind: Make) -> None:
        """And with it what the part had made of what was there before."""
        model = Holding(part=kind())
        ask(model)
        model.part.voice = "judge"
        ask(model)
        assert len(ASKED) == 2
        assert "judge" in ask(Holding(part=kind(voice="judge")))

    def test_what_is_set_before_the_first_call_counts(self, kind: Make) -> None:
        assert ask(Holding(part=kind())) != ask(Holding(part=kind(voice="judge")))


class Slowly(Counting):
    def say(self) -> str:
        self.calls += 1
        time.sleep(0.01)
        self.calls += 1
        return self.voice


def test_a_part_that_counts_the_calls_of_a_batch() -> None:
    model = Holding(part=Slowly())
    for _ in range(3):
        model.batch([f"{number}" for number in range(8)])
    assert len(ASKED) == 8


class Failing(Counting):
    is_broken = True

    def say(self) -> str:
        if self.is_broken:
            raise ConnectionError
        return f"{super().say()} {self.calls}"


def test_nothing_is_kept_of_an_async_call_that_failed() -> None:
    class Failing(Own):
        def held(self) -> Any:
            raise failures[-1]

    class Failure(Exception):
        pass

    async def ask_in_vain() -> None:
        failures.append(Failure())
        await asyncio.gather(asyncio.create_task(model.ainvoke("Hi")), return_exceptions=True)

    failures: list[Failure] = []
    model = Failing()
    asyncio.run(ask_in_vain())
    seen = weakref.ref(failures.pop())
    gc.collect()
    assert seen() is None


def test_what_is_changed_after_a_call_failed_in_another_thread_counts() -> None:
    model = Holding(part=Failing())
    with ThreadPoolExecutor(1) as pool, pytest.raises(ConnectionError):
        pool.submit(ask, model).result()
    model.part.is_broken = False
    assert ask(model) == "pirate 1"
    model.part.calls = 70
    assert ask(model) == "pirate 71"


class Asking:
    """A client of one's own around a library's."""

    def __init__(self, url: str) -> None:
        self.api = OpenAI(api_key="unused", base_url=url)

    def say(self) -> str:
        messages: Any = [{"role": "user", "content": "Hi"}]
        answer = self.api.chat.completions.create(model="stand-in", messages=messages)
        return str(answer.choices[0].message.content)


def test_a_library_s_client_in_a_part_is_itself(server: StandIn) -> None:
    model, other = (Holding(part=Asking(server.base_url)) for _ in range(2))
    for prompt in ("a", "b") * 3:
        model.invoke(prompt)
    assert (ASKED, server.requests) == (["a", "b"], 2)
    other.invoke("a")
    assert server.requests == 3


class TestOfWhoseMakingItIs:
    def test_a_count_that_the_user_sets(self) -> None:
        ask(model := Holding(part=Counting()))
        model.part.calls = 7
        ask(model)
        assert len(ASKED) == 2

    def test_what_the_users_cell_makes_the_part_do(self) -> None:
        class Settable(Part):
            def become(self, voice: str) -> None:
                self.voice = voice

        ask(model := Holding(part=Settable()))
        model.part.become("judge")
        assert ask(model) == "judge"

    def test_a_kept_value_that_the_user_sets(self) -> None:
        one, other = Holding(part=Caching()), Holding(part=Caching())
        vars(other.part)["weights"] = "set"
        assert ask(one) != ask(other)
        vars(one.part)["weights"] = "set later"
        assert ask(one) == "set later"

    def test_an_installed_memory_of_what_was_said_counts(self) -> None:
        from langchain_core.chat_history import InMemoryChatMessageHistory

        class Talking(Own):
            memory: Any

            def held(self) -> Any:
                self.memory.add_user_message("Hi")
                return len(self.memory.messages)

        model = Talking(memory=InMemoryChatMessageHistory())
        assert [ask(model), ask(model)] == ["1", "2"]


def test_a_chain_as_a_part(make_chat: MakeChat) -> None:
    class Chained(Own):
        chain: Any

        def held(self) -> Any:
            return self.chain.invoke({"word": "Hi"})

    def make() -> Any:
        prompt = ChatPromptTemplate.from_messages([("system", "Be short."), ("user", "{word}")])
        return Chained(chain=prompt | make_chat() | StrOutputParser())

    model = make()
    for asked in (model, model, make()):
        ask(asked)
    assert len(ASKED) == 1


@pytest.mark.parametrize("name", ["part", "_part"])
def test_a_part_of_a_client(server: StandIn, name: str) -> None:
    class Speaking(ChatOpenAI):
        part: Any = None
        _part: Any = PrivateAttr(None)

        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            getattr(self, name).say()
            return super()._generate(*args, **kwargs)

    model = Speaking(model="stand-in", api_key=SecretStr("unused"), base_url=server.base_url)
    setattr(model, name, Counting())
    for _ in range(3):
        ask(model)
    assert server.requests == 1
