"""Models that LangChain describes badly never get each other's answers; and traps are told once."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from functools import partial, wraps
from logging import getLogger
from pathlib import Path
from typing import Any, ClassVar
from weakref import ref

import httpx
import pytest
from langchain_core.caches import InMemoryCache as LangChainCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.llms import LLM
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tracers import context
from langchain_openai import AzureChatOpenAI, ChatOpenAI, OpenAI
from pydantic import Field, PrivateAttr, SecretStr
from stand_in import StandIn

from llmcache_jupyter import CacheMissError, CacheWarning, InMemoryCache, Query, Session, SessionCache, mode
from llmcache_jupyter.caches import Entry, Key
from llmcache_jupyter.views.report import ReportView
from tests.clients.conftest import MakeChat, Run

ASKED: list[str] = []
"""What reached any of the models below."""


def level(value: int) -> Any:
    class Level(Enum):
        LOW = value

    return Level.LOW


class Persona(BaseChatModel):
    """A model of one's own, of which LangChain's configuration string says nothing."""

    persona: str = "plain"
    settings: dict[str, Any] = Field(default_factory=dict)
    helper: Any = None
    api_key: SecretStr | None = None
    calls: int = 0
    log: list[str] = Field(default_factory=list)
    _voice: str = PrivateAttr(default="")

    @property
    def _llm_type(self) -> str:
        return "own"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        ASKED.append(self.persona)
        self.calls += 1
        self.log.append("asked")
        text = f"{self.persona}{self._voice} {self.settings} {type(self).__name__}"
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])


class Streaming(Persona):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        yield ChatGenerationChunk(message=AIMessageChunk(content="streamed"))


class Text(LLM):
    persona: str = "plain"

    @property
    def _llm_type(self) -> str:
        return "own-text"

    def _call(self, prompt: str, *args: Any, **kwargs: Any) -> str:
        ASKED.append(self.persona)
        return self.persona


class Composer(Text):
    key: str


class Masked(Persona):
    token: str = ""

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(self.token))])


class MaskedClient(ChatOpenAI):
    """One that LangChain can write down."""

    token: str = ""
    _generate = Masked._generate


class Tool:
    def __init__(self, name: str) -> None:
        self.name = name


class Opaque(threading.local):
    """One for each thread, out of sight."""

    def __init__(self, name: str) -> None:
        self.name = name


@pytest.fixture(autouse=True)
def _nothing_asked() -> None:
    ASKED.clear()


@pytest.fixture
def told(cache: SessionCache) -> Callable[[], list[str]]:
    """The warnings so far are the cache's notes: it shows each once, even where warnings are errors."""
    return lambda: list(cache.traps.notes)


class TestModelsOfOnesOwn:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ({"persona": "pirate"}, {"persona": "judge"}),
            ({"settings": {"depth": [1]}}, {"settings": {"depth": [2]}}),
            ({"settings": {"a": 1, "b": 2}}, {"settings": {"b": 2, "a": 1}}),
            ({"helper": Tool("a")}, {"helper": Tool("b")}),
            ({"helper": Opaque("a")}, {"helper": Opaque("b")}),
            ({"helper": lambda: 1}, {"helper": lambda: 2}),
            ({"helper": len}, {"helper": sum}),
            ({"helper": 1}, {"helper": True}),
            ({"helper": level(1)}, {"helper": level(2)}),
            ({"helper": "1"}, {"helper": 1}),
            ({"helper": {1}}, {"helper": [1]}),
            ({"helper": Text(persona="x")}, {"helper": Text(persona="y")}),
            ({"helper": iter("ab")}, {"helper": iter("ab")}),
        ],
    )
    def test_fields_tell_them_apart(self, cache: SessionCache, one: Any, other: Any) -> None:
        first, second = Persona(**one), Persona(**other)
        first.invoke("Hi")
        second.invoke("Hi")
        assert len(ASKED) == 2
        first.invoke("Hi")
        second.invoke("Hi")
        assert len(ASKED) == 2

    @pytest.mark.parametrize(
        "make",
        [
            lambda: Persona(persona="pirate", settings={"b": 1, "a": [True, None]}),
            lambda: Persona(helper=Tool("a")),
            lambda: Persona(helper=lambda: 1),
            lambda: Persona(helper={"b", "a", "c"}),
            lambda: Text(persona="pirate"),
        ],
    )
    def test_the_same_made_again_is_a_hit(self, cache: SessionCache, make: Callable[[], Any]) -> None:
        for _ in range(3):
            make().invoke("Hi")
        assert len(ASKED) == 1

    def test_the_arguments_of_a_text_model_count(self, cache: SessionCache) -> None:
        for temperature in (0, 1, 0):
            Text().bind(temperature=temperature).invoke("Hi")
        Text().invoke("Hi", helper=Tool("a"))
        Text().invoke("Hi", helper=Tool("b"))
        assert len(ASKED) == 4

    def test_a_key_makes_no_difference_and_reaches_no_store(self, cache: SessionCache) -> None:
        Persona(api_key=SecretStr("sk-one-12345678")).invoke("Hi")
        Persona(api_key=SecretStr("sk-two-12345678"), settings={}).invoke("Hi")
        assert len(ASKED) == 1
        assert "12345678" not in str(list(cache.backend.keys()))

    def test_what_gets_a_token_makes_no_difference(self, cache: SessionCache) -> None:
        message = {"role": "assistant", "content": "Hello."}
        answer = {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}

        def answered(_request: httpx.Request) -> httpx.Response:
            ASKED.append("")
            return httpx.Response(200, json=answer)

        client = httpx.Client(transport=httpx.MockTransport(answered))

        def make(**how: Any) -> Any:
            how |= {"azure_endpoint": "http://azure", "azure_deployment": "d", "api_version": "2025-01-01"}
            return AzureChatOpenAI(http_client=client, **how)

        class Credential:
            def token(self) -> str:
                return "a token"

        one = make(azure_ad_token_provider=lambda: "a token")
        for model in (one, make(azure_ad_token_provider=Credential().token), make(api_key="unused")):
            model.invoke("Hi")
        one.azure_ad_token_provider = Credential().token
        one.invoke("Hi")
        assert len(ASKED) == 1
        assert "token" not in str(list(cache.backend.keys()))

    def test_credentials_of_ones_own_class_tell_them_apart(self, cache: SessionCache) -> None:
        class Guarded(Persona):
            credentials: Any = None

        for who in (Tool("a"), Tool("b")):
            Guarded(credentials=who).invoke("Hi")
        assert len(ASKED) == 2

    def test_what_is_only_named_like_a_secret_tells_them_apart(self, cache: SessionCache) -> None:
        words = ["secret_word", "key", "password", "token", "cookie", "authorization", "session_token"]
        for word in words:
            for value in ("apple", "pear"):
                Persona(settings={word: value}).invoke("Hi")
        assert len(ASKED) == 2 * len(words)
        assert "apple" not in str(list(cache.backend.keys()))
        for value in ("x7f3", "x7f4"):
            Persona(settings={"client_secret": value}).invoke("Hi")
        assert len(ASKED) == 2 * len(words) + 1

    def test_a_field_that_is_only_named_like_a_secret_tells_them_apart(self, cache: SessionCache) -> None:
        for key in ("C major", "A minor", "atonal", "tonal"):
            Composer(key=key).invoke("Hi")
            Text().invoke("Hi", key=key)
        assert len(ASKED) == 8

    @pytest.mark.parametrize(
        "make", [Masked, partial(MaskedClient, api_key=SecretStr("x"))], ids=["described", "written"]
    )
    def test_a_token_of_a_text_tells_them_apart(self, make: Any, cache: SessionCache) -> None:
        for token in ("cat", "dog", "day1", "day2", "a 2nd sentence", "another 2nd sentence"):
            assert make(token=token).invoke("Hi").content == token

    @pytest.mark.parametrize(
        "make", [Masked, partial(MaskedClient, api_key=SecretStr("x"))], ids=["described", "written"]
    )
    def test_a_token_that_a_machine_made_up_does_not(self, make: Any, cache: SessionCache) -> None:
        one, other = (f"hf_{'aB3dE5' * 4}{number}" for number in range(2))
        assert make(token=one).invoke("Hi").content == make(token=other).invoke("Hi").content == one
        assert one not in str(list(cache.backend.keys()))

    def test_a_private_attribute_tells_them_apart(self, cache: SessionCache) -> None:
        one, other = Persona(), Persona()
        one._voice = "loud"
        assert one.invoke("Hi").content != other.invoke("Hi").content

    def test_a_field_that_changes_later_is_another_model(self, cache: SessionCache) -> None:
        model = Persona()
        model.invoke("Hi")
        model.persona = "pirate"
        assert "pirate" in str(model.invoke("Hi").content)
        model.settings["depth"] = 2
        assert "depth" in str(model.invoke("Hi").content)
        model.settings.clear()
        model.persona = "plain"
        assert str(model.invoke("Hi").content).startswith("plain {}")
        assert len(ASKED) == 3

    def test_what_a_call_itself_changes_is_no_configuration(self, cache: SessionCache) -> None:
        model = Persona()
        for prompt in ("Hi", "Ho", "Hi", "Ho"):
            model.invoke(prompt)
        assert len(ASKED) == 2
        Persona().invoke("Ho")
        assert len(ASKED) == 2

    def test_one_that_is_changed_while_it_answers_is_stored_as_what_it_was(
        self, cache: SessionCache, run: Run
    ) -> None:
        class Slow(Persona):
            async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
                answer = self._generate([])
                self.__dict__["persona"] = "pirate"  # as another cell may, meanwhile
                await asyncio.sleep(0)
                return answer

        async def ask(model: Slow) -> Any:
            return await model.ainvoke("Hi")

        model = Slow()
        assert "plain" in run(ask(model)).content
        assert "plain" in run(ask(Slow())).content
        assert "pirate" in run(ask(Slow(persona="pirate"))).content

    def test_async_batches_and_threads_share_a_key_with_invoke(self, cache: SessionCache, run: Run) -> None:
        async def ask() -> None:
            await Text(persona="a").ainvoke("Hi")
            await Persona(persona="a").ainvoke("Hi")
            await Persona(persona="a").abatch(["Hi"] * 5)

        Text(persona="a").invoke("Hi")
        Persona(persona="a").invoke("Hi")
        run(ask())
        Text(persona="a").batch(["Hi"] * 5)
        Persona(persona="a").batch(["Hi"] * 5)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: Persona(persona="a").invoke("Hi"), range(8)))
        assert ASKED == ["a", "a"]
        Persona(persona="b").batch(["Hi", "Ho"])
        assert ASKED[2:] == ["b", "b"]

    def test_one_class_of_that_name_or_another(self, cache: SessionCache) -> None:
        class Other(Text):
            pass

        Other.__name__ = Other.__qualname__ = "Text"
        Text().invoke("Hi")
        Other().invoke("Hi")
        assert len(ASKED) == 2

    def test_it_is_told_once(self, cache: SessionCache, told: Callable[[], list[str]]) -> None:
        for persona in ("a", "b"):
            Persona(persona=persona).invoke("Hi")
        (text,) = told()
        assert text.startswith("Persona: LangChain's configuration string says nothing")

    def test_an_object_without_data_is_told(self, cache: SessionCache, told: Callable[[], list[str]]) -> None:
        Persona(helper=Opaque("a")).invoke("Hi")
        (text,) = told()
        assert "in this kernel alone" in text

    def test_a_model_that_cannot_be_looked_at_is_a_miss(self, cache: SessionCache) -> None:
        class Hidden(Persona):
            @property
            def __dict__(self) -> Any:  # type: ignore[override]
                raise RuntimeError("no")

        class Refusing(Tool):
            def __getattribute__(self, name: str) -> Any:
                raise RuntimeError("no")

        for _ in range(2):
            Persona(helper=Refusing.__new__(Refusing)).invoke("Hi")
        assert len(ASKED) == 2


def make_ending(end: Any) -> type[LLM]:
    class Ending(LLM):
        calls: ClassVar[int] = 0
        style: ClassVar[Any] = ""

        @property
        def _llm_type(self) -> str:
            return "ending"

        def _call(self, prompt: str, *args: Any, **kwargs: Any) -> str:
            ASKED.append(prompt)
            type(self).calls += 1
            return f"{prompt}{end}{type(self).style}"

    return Ending


def make_ending_by_default(end: Any) -> type[LLM]:
    class Ending(make_ending("")):  # type: ignore[misc]
        def _call(self, prompt: str, *args: Any, end: Any = end, **kwargs: Any) -> str:
            return f"{super()._call(prompt)}{end}"

    return Ending


def make_ending_by_decorator(end: Any) -> type[LLM]:
    def ending(function: Callable[..., str]) -> Callable[..., str]:
        @wraps(function)
        def ended(*args: Any, **kwargs: Any) -> str:
            return f"{function(*args, **kwargs)}{end}"

        return ended

    class Ending(make_ending("")):  # type: ignore[misc]
        _call = ending(make_ending("")._call)

    return Ending


MakeEnding = Callable[[Any], type[LLM]]


class TestOneClassStatement:
    @pytest.fixture(params=[make_ending, make_ending_by_default, make_ending_by_decorator])
    def make(self, request: pytest.FixtureRequest) -> MakeEnding:
        make: MakeEnding = request.param
        return make

    @pytest.mark.parametrize(
        ("one", "other"), [("!", "?"), (["!"], ["?"]), (Text, Persona), (Tool("a"), Tool("b"))]
    )
    def test_what_its_methods_keep_tells_classes_apart(
        self, cache: SessionCache, make: MakeEnding, one: Any, other: Any
    ) -> None:
        first, second = make(one), make(other)
        for _ in range(2):
            assert first().invoke("Hi") == f"Hi{one}"
            assert second().invoke("Hi") == f"Hi{other}"
        assert len(ASKED) == 2

    def test_made_again_it_is_a_hit(self, cache: SessionCache, make: MakeEnding) -> None:
        for kept in ["!", Tool, threading, threading.Lock, getLogger("a"), len, None]:
            ASKED.clear()
            for _ in range(3):
                make(kept)().invoke(f"Hi {kept}")
            assert len(ASKED) == 1

    def test_an_object_without_data_is_of_this_kernel_alone(
        self, cache: SessionCache, make: MakeEnding, told: Callable[[], list[str]]
    ) -> None:
        first, second = make(Opaque("a")), make(Opaque("b"))
        for _ in range(2):
            assert first().invoke("Hi") != second().invoke("Hi")
        assert len(ASKED) == 2
        assert "in this kernel alone" in told()[0]

    def test_a_key_reaches_no_store(self, cache: SessionCache) -> None:
        def make(api_key: str) -> type[LLM]:
            class Keyed(Text):
                def _call(self, prompt: str, *args: Any, **kwargs: Any) -> str:
                    ASKED.append(prompt)
                    return prompt if api_key else ""

            return Keyed

        for api_key in ("sk-one", "sk-two"):
            make(api_key)().invoke("Hi")
        assert len(ASKED) == 1

    def test_classes_that_know_each_other(self, cache: SessionCache) -> None:
        for _ in range(2):
            first, second = make_ending(""), make_ending("")
            first.style, second.style = second, first  # type: ignore[attr-defined]
            first().invoke("Hi")
        assert len(ASKED) == 1


class TestAPatchedClass:
    def test_a_method(self, cache: SessionCache) -> None:
        cls = make_ending("!")
        model, before = cls(), cls._call
        assert model.invoke("Hi") == "Hi!"
        cls._call = lambda *_, **__: "patched"  # type: ignore[method-assign]
        assert [model.invoke("Hi"), cls().invoke("Hi")] == ["patched"] * 2
        cls._call = before  # type: ignore[method-assign]
        cls.calls = 0  # type: ignore[attr-defined]
        assert model.invoke("Hi") == "Hi!"
        assert len(ASKED) == 1

    def test_an_attribute(self, cache: SessionCache) -> None:
        cls = make_ending("!")
        model = cls()
        for style in ("", "x", "y"):
            cls.style = style  # type: ignore[attr-defined]
            assert [model.invoke("Hi"), cls().invoke("Hi")] == [f"Hi!{style}"] * 2

    def test_what_its_calls_count_is_no_code(self, cache: SessionCache) -> None:
        model = make_ending("!")()
        for prompt in ("Hi", "Ho", "Hi", "Ho"):
            model.invoke(prompt)
        assert len(ASKED) == 2

    def test_the_class_of_before_is_not_kept_alive(self, cache: SessionCache) -> None:
        cls = make_ending("!")
        cls().invoke("Hi")
        gone = ref(cls)
        del cls
        gc.collect()
        assert gone() is None


SCRIPT = """
import sys
sys.path[:0] = [{root!r}]
from langchain_core.globals import set_llm_cache
from langchain_core.language_models.llms import LLM
from langchain_openai import ChatOpenAI
from llmcache_jupyter import SessionCache
cache = SessionCache()
set_llm_cache(cache)
class Mine(LLM):
    persona: str = {default!r}
    words: frozenset = frozenset("abcdef")
    @property
    def _llm_type(self): return "mine"
    def _call(self, prompt, stop=None, run_manager=None, **kwargs):
        {code}
        return prompt if prompt in {{"a", "b", "c"}} else "other"
import warnings; warnings.simplefilter("ignore")
Mine(persona="pirate").invoke("Hi")
(key,) = cache.backend.keys()
print(key)
"""


def key_of_a_script(tmp_path: Path, seed: int, module: str = "", **parts: str) -> str:
    """The key that a model of a class in `__main__`, or in a module of that name, has in a new Python."""
    script = tmp_path / f"{module or f'script{seed}'}.py"
    parts = {"code": "pass", "default": "plain", **parts}
    script.write_text(SCRIPT.format(root=str(Path(__file__).parents[2]), **parts))
    environment = {
        **os.environ,
        "PYTHONHASHSEED": str(seed),
        "LANGSMITH_TRACING": "false",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    arguments = ["-c", f"import {module}"] if module else [str(script)]
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


class TestAfterARestart:
    def test_the_same_class_has_the_same_key(self, tmp_path: Path) -> None:
        before = key_of_a_script(tmp_path, 1)
        assert key_of_a_script(tmp_path, 2) == before
        assert key_of_a_script(tmp_path, 3, code="pass  # a comment") == before

    def test_so_has_the_same_class_in_a_module_beside_the_notebook(self, tmp_path: Path) -> None:
        before = key_of_a_script(tmp_path, 1, module="beside")
        assert key_of_a_script(tmp_path, 2, module="beside", code="pass  # a comment") == before
        assert key_of_a_script(tmp_path, 3, module="beside", code="prompt = 'x'") != before

    def test_other_code_has_another(self, tmp_path: Path) -> None:
        keys = {
            key_of_a_script(tmp_path, 1),
            key_of_a_script(tmp_path, 1, code="prompt = 'x'"),
            key_of_a_script(tmp_path, 1, default="other"),
        }
        assert len(keys) == 3


class TestTheCompletionClass:
    def test_the_address_tells_two_apart(self, cache: SessionCache, server: StandIn) -> None:
        with StandIn(port=0) as second:
            for at in (server, second):
                OpenAI(base_url=at.base_url, model="stand-in", api_key=SecretStr("unused")).invoke("Hi")
            assert (server.requests, second.requests) == (1, 1)
            OpenAI(base_url=second.base_url, model="stand-in", api_key=SecretStr("else")).invoke("Hi")
            assert second.requests == 1

    def test_async_and_batch(self, cache: SessionCache, server: StandIn, run: Run) -> None:
        def make(temperature: float) -> OpenAI:
            return OpenAI(
                base_url=server.base_url, model="s", api_key=SecretStr("unused"), temperature=temperature
            )

        async def ask() -> None:
            model = make(0)
            await model.ainvoke("Hi")
            await model.root_async_client.close() if hasattr(model, "root_async_client") else None

        make(0).batch(["Hi", "Hi"])
        requests = server.requests
        run(ask())
        assert server.requests == requests
        make(1).invoke("Hi")
        assert server.requests == requests + 1


class TestAChangedField:
    def test_the_key_follows(
        self, make_chat: MakeChat, server: StandIn, cache: SessionCache, told: Callable[[], list[str]]
    ) -> None:
        chat = make_chat(temperature=0)
        chat.invoke("Hi")
        chat.temperature = 1
        chat.invoke("Hi")
        assert server.requests == 2
        chat.invoke("Hi")
        make_chat(temperature=1).invoke("Hi")
        chat.temperature = 0
        chat.invoke("Hi")
        assert server.requests == 2
        (text,) = told()
        assert text.startswith("ChatOpenAI (stand-in): `temperature` changed after the model's first call")

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_while_the_store_is_asked(
        self, make_chat: MakeChat, server: StandIn, cache: SessionCache, asynchronous: bool, run: Run
    ) -> None:
        chat = make_chat(temperature=0)

        class Slow(InMemoryCache):
            def find(self, key: Key) -> Entry | None:
                chat.temperature = 1
                return super().find(key)

            async def afind(self, key: Key) -> Entry | None:
                await asyncio.sleep(0)
                return self.find(key)

        cache.backend = Slow()
        run(chat.ainvoke("Hi")) if asynchronous else chat.invoke("Hi")
        assert server.log[-1]["temperature"] == 1
        cache.backend, kept = InMemoryCache(), cache.backend
        for entry in kept.entries(Query(limit=None)).entries:
            cache.backend.put(entry)
        make_chat(temperature=1).invoke("Hi")
        assert server.requests == 1
        make_chat(temperature=0).invoke("Hi")
        assert server.requests == 2

    def test_in_place(self, make_chat: MakeChat, server: StandIn, cache: SessionCache) -> None:
        chat = make_chat(model_kwargs={"user": "a"}, extra_body={"deep": {"x": [1]}})
        chat.invoke("Hi")
        chat.model_kwargs["user"] = "b"
        chat.invoke("Hi")
        assert chat.extra_body is not None
        chat.extra_body["deep"]["x"].append(2)
        chat.invoke("Hi")
        assert server.requests == 3

    def test_in_a_copy(self, make_chat: MakeChat, server: StandIn, cache: SessionCache) -> None:
        chat = make_chat(temperature=0)
        chat.invoke("Hi")
        chat.model_copy(update={"temperature": 1}).invoke("Hi")
        assert server.requests == 2
        make_chat(temperature=1).invoke("Hi")
        assert server.requests == 2

    def test_before_the_cache_was_on(self, make_chat: MakeChat, server: StandIn) -> None:
        chat = make_chat(temperature=0)
        chat.invoke("Hi")
        chat.temperature = 1
        session = Session()
        session.activate()
        try:
            chat.invoke("Hi")
            make_chat(temperature=0).invoke("Hi")
            assert server.requests == 3
        finally:
            session.deactivate()

    def test_async(self, make_chat: MakeChat, server: StandIn, cache: SessionCache, run: Run) -> None:
        chat = make_chat(temperature=0)

        async def ask() -> None:
            await chat.ainvoke("Hi")

        run(ask())
        chat.temperature = 1
        run(ask())
        run(ask())
        assert server.requests == 2

    def test_what_no_answer_depends_on_may_change(
        self, make_chat: MakeChat, server: StandIn, cache: SessionCache, told: Callable[[], list[str]]
    ) -> None:
        chat = make_chat()
        chat.invoke("Hi")
        chat.tags, chat.metadata, chat.callbacks = ["a"], {"b": 1}, [BaseCallbackHandler()]
        chat.verbose = True
        chat.invoke("Hi")
        assert server.requests == 1
        assert told() == []

    def test_a_subclass_with_a_private_attribute(self, server: StandIn, cache: SessionCache) -> None:
        class Mine(ChatOpenAI):
            _voice: str = PrivateAttr(default="")

        one, other = (
            Mine(base_url=server.base_url, model="stand-in", api_key=SecretStr("unused")) for _ in range(2)
        )
        one._voice = "loud"
        one.invoke("Hi")
        other.invoke("Hi")
        assert server.requests == 2
        other._voice = "loud"
        other.invoke("Hi")
        assert server.requests == 2


@pytest.fixture
def session() -> Iterator[Session]:
    session = Session()
    session.activate()
    yield session
    session.deactivate()


class TestWhatIsTold:
    def test_an_address_in_a_configuration(
        self, chat: ChatOpenAI, cache: SessionCache, server: StandIn, told: Callable[[], list[str]]
    ) -> None:
        keys = []
        for _ in range(3):
            Persona().bind(helper=Opaque("a")).invoke("Hi")
            keys = list(cache.backend.keys())
        assert len(ASKED) == len(keys) == 3  # no object has the address of an earlier one
        assert sum("memory address" in text for text in told()) == 1

    def test_an_address_that_is_no_part_of_the_key(
        self, cache: SessionCache, server: StandIn, told: Callable[[], list[str]]
    ) -> None:
        class Speaking(ChatOpenAI):
            voices: list[Any]

        for _ in range(2):
            voices = [Tool("pirate")]
            key = SecretStr("unused")
            Speaking(voices=voices, model="stand-in", api_key=key, base_url=server.base_url).invoke("Hi")
        assert server.requests == 1
        assert told() == []

    def test_an_address_in_a_prompt(
        self, chat: ChatOpenAI, cache: SessionCache, told: Callable[[], list[str]]
    ) -> None:
        for _ in range(2):
            chat.invoke(f"What is {object()}?")
        (text,) = told()
        assert "a call's prompt holds the memory address" in text

    def test_a_credential_in_a_configuration_is_not_stored(
        self, make_chat: MakeChat, cache: SessionCache, server: StandIn, told: Callable[[], list[str]]
    ) -> None:
        secret = "Bearer 8fK3s02jXdkQ91"
        for _ in range(2):
            make_chat(default_headers={"X-More": secret}).invoke("Hi")
            make_chat().bind(extra_headers={"Authorization": secret}).invoke("Hi")
        assert server.requests == 2
        assert "8fK3s02jXdkQ91" not in str(list(cache.backend.keys()))
        (text,) = told()
        assert "holds what looks like a credential" in text
        assert "8fK3s02jXdkQ91" not in text

    def test_what_only_might_be_one_still_tells_calls_apart(
        self, make_chat: MakeChat, cache: SessionCache, server: StandIn
    ) -> None:
        for text in ("Basic arithmetic", "Basic algebra"):
            tool = {"type": "function", "function": {"name": "f", "description": text}}
            make_chat().bind_tools([tool]).invoke("Hi")
        assert server.requests == 2

    def test_a_credential_in_a_prompt(
        self, chat: ChatOpenAI, cache: SessionCache, told: Callable[[], list[str]]
    ) -> None:
        chat.invoke("My key is sk-proj-8fK3s02jXdkQ91xw")
        (text,) = told()
        assert "a prompt holds what looks like a credential" in text
        assert "8fK3s" not in text

    def test_why_tells_of_what_the_call_holds(self, chat: ChatOpenAI, session: Session) -> None:
        chat.invoke("My key is sk-proj-8fK3s02jXdkQ91xw")
        assert len(session.why().notes) == 1
        chat.invoke("Hi")
        assert session.why().notes == ()

    def test_warnings_as_errors_break_no_call(self, chat: ChatOpenAI, cache: SessionCache) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert chat.invoke(f"What is {object()}?").content

    def test_it_is_a_warning(self, chat: ChatOpenAI, cache: SessionCache) -> None:
        with pytest.warns(CacheWarning, match="memory address"):
            chat.invoke(f"What is {object()}?")


class TestCallsThatReachNoCache:
    def test_cache_false(self, make_chat: MakeChat, session: Session, run: Run) -> None:
        chat = make_chat(cache=False)

        async def ask() -> None:
            await chat.ainvoke("Hi")

        chat.invoke("Hi")
        run(ask())
        chat.batch(["Hi", "Ho"])
        (note,) = session.status().notes
        assert "`cache=False`" in note

    def test_a_text_model_with_cache_false(self, session: Session) -> None:
        Text(cache=False).invoke("Hi")
        assert any("`cache=False`" in note for note in session.status().notes)

    def test_stream(self, chat: ChatOpenAI, session: Session) -> None:
        assert [chunk.content for chunk in chat.stream("Hi")]
        (note,) = session.status().notes
        assert "`.stream`" in note

    def test_why_explains_it_though_it_is_no_miss(self, chat: ChatOpenAI, session: Session) -> None:
        chat.invoke("Ho")
        list(chat.stream("Hi"))
        for what in (None, "Hi"):
            assert session.why(what).reason == (
                "The call did not reach the cache. LangChain caches no `.stream` or `.astream`: use "
                "`.invoke` or `.ainvoke` to have it answered from there."
            )
        assert session.status().counts.misses == 1

    def test_astream(self, session: Session, run: Run) -> None:
        async def ask() -> None:
            async for _ in Streaming().astream("Hi"):
                pass

        run(ask())
        (note,) = session.status().notes
        assert "`.stream`" in note

    def test_replay_raises_before_they_are_sent(
        self, make_chat: MakeChat, session: Session, server: StandIn, run: Run
    ) -> None:
        async def astream() -> None:
            async for _ in make_chat().astream("Hi"):
                pass

        async def ainvoke() -> None:
            await make_chat(cache=False).ainvoke("Hi")

        ways: dict[str, list[Callable[[], Any]]] = {
            "`.stream`": [
                lambda: list(make_chat().stream("Hi")),
                lambda: list(
                    (make_chat() | StrOutputParser()).stream([("system", "Be brief"), ("user", "Hi")])
                ),
                lambda: list(Streaming().stream("Hi")),
                lambda: run(astream()),
            ],
            "`cache=False`": [
                lambda: make_chat(cache=False).invoke("Hi"),
                lambda: make_chat(cache=False).batch(["Ho", "Hi"]),
                lambda: Text(cache=False).invoke("Hi"),
                lambda: run(ainvoke()),
            ],
        }
        with mode("replay"):
            for why, calls in ways.items():
                for call in calls:
                    with pytest.raises(CacheMissError, match=why) as raised:
                        call()
                    assert raised.value.prompt in ("Hi", "Ho")
                    assert f"cache: '{raised.value.prompt}'. Nothing was sent." in str(raised.value)
        assert (server.requests, ASKED) == (0, [])
        assert session.status().notes == ()

    def test_a_cache_of_its_own(self, make_chat: MakeChat, session: Session, server: StandIn) -> None:
        chat = make_chat(cache=LangChainCache())
        for _ in range(2):
            chat.invoke("Hi")
        assert server.requests == 1
        (note,) = session.status().notes
        assert "cache of its own" in note
        with mode("replay"), pytest.raises(CacheMissError, match="of its own"):
            chat.invoke("Ho")
        assert server.requests == 1

    def test_our_cache_as_its_own_is_ours(
        self, make_chat: MakeChat, session: Session, server: StandIn
    ) -> None:
        for cache in (session.cache, True, None):
            make_chat(cache=cache).invoke("Hi")
        with mode("replay"):
            make_chat(cache=session.cache).invoke("Hi")
        assert server.requests == 1
        assert session.status().notes == ()

    def test_a_session_after_another_one(self, chat: ChatOpenAI, session: Session, server: StandIn) -> None:
        second = Session()
        second.activate()
        chat.invoke("Hi")
        with mode("replay"):
            chat.invoke("Hi")
        second.deactivate()
        assert server.requests == 1

    @pytest.mark.parametrize("other", [LangChainCache(), None])
    def test_replay_beside_another_global_cache(
        self, chat: ChatOpenAI, session: Session, server: StandIn, run: Run, other: LangChainCache | None
    ) -> None:
        set_llm_cache(other)
        session.mode = "replay"
        for call in (lambda: chat.invoke("Hi"), lambda: Text().invoke("Hi"), lambda: run(chat.ainvoke("Hi"))):
            with pytest.raises(CacheMissError, match="run `%llmcache on`"):
                call()
        assert (server.requests, ASKED) == (0, [])
        session.mode = "on"
        chat.invoke("Hi")
        assert server.requests == 1

    def test_replay_names_the_model_and_what_to_do(self, chat: ChatOpenAI, session: Session) -> None:
        session.mode = "replay"
        with pytest.raises(
            CacheMissError, match=r"ChatOpenAI \(stand-in\).*use `\.invoke`.*%%llmcache off"
        ) as told:
            list(chat.stream("Why? " * 100))
        assert (told.value.model, told.value.prompt) == ("stand-in", "Why? " * 100)
        assert len(str(told.value)) < 600

    def test_replay_counts_them_as_misses_and_explains_them(
        self, make_chat: MakeChat, session: Session
    ) -> None:
        session.mode = "replay"
        with pytest.raises(CacheMissError):
            make_chat(cache=False).invoke("Hi")
        assert session.status().counts.misses == 1
        assert "could not reach the cache" in repr(ReportView(session.last_run()))
        why = session.why("Hi")
        assert why.call is not None
        assert why.call.model == "stand-in"
        assert why.reason == (
            "The call did not reach the cache. It has `cache=False`: leave that out to have it answered from "
            "there."
        )

    def test_off_lets_them_through_in_replay(
        self, make_chat: MakeChat, session: Session, server: StandIn
    ) -> None:
        session.mode = "replay"
        with mode("off"):
            assert list(make_chat().stream("Hi"))
            make_chat(cache=False).invoke("Hi")
        assert server.requests == 2

    def test_cached_calls_tell_nothing(self, chat: ChatOpenAI, session: Session) -> None:
        chat.invoke("Hi")
        list(Persona().stream("Hi"))  # it cannot stream, so LangChain invokes it
        assert not any("stream" in note for note in session.status().notes)

    def test_a_streaming_model_that_is_invoked_is_cached(
        self, make_chat: MakeChat, session: Session, server: StandIn
    ) -> None:
        chat = make_chat(streaming=True)
        for _ in range(2):
            chat.invoke("Hi")
        assert server.requests == 1
        assert session.status().notes == ()

    def test_switching_off_leaves_nothing(self, chat: ChatOpenAI) -> None:
        before = list(context._configure_hooks)
        session = Session()
        for _ in range(2):
            session.activate()
        assert len(context._configure_hooks) == len(before) + 1
        session.deactivate()
        assert context._configure_hooks == before
        list(chat.stream("Hi"))
        assert session.status().notes == ()
