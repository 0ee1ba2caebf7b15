"""What a notebook's calls through LangChain's real client can rely on, whatever goes wrong."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import httpx
import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatResult, Generation
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI, OpenAI
from openai import InternalServerError
from pydantic import ConfigDict, SecretStr
from stand_in import StandIn

from llmcache_jupyter import CacheMissError, CacheWarning, InMemoryCache, SessionCache
from llmcache_jupyter.clients.langchain_model import sent_by_client
from llmcache_jupyter.session.events import Event, Failed, Hit, Miss, Stored
from llmcache_jupyter.session.scope import mode
from tests.clients.conftest import MakeChat, Run
from tests.fakes import FailingCache

Use = Callable[[SessionCache], SessionCache]
Ask = Callable[[], Any]
FRANCE = "What is the capital of France?"


class TestHits:
    def test_a_repeated_call_reaches_the_server_once(
        self, chat: ChatOpenAI, server: StandIn, cache: SessionCache
    ) -> None:
        first = chat.invoke(FRANCE)
        again = chat.invoke(FRANCE)
        assert (first.content, again.content) == ("Paris.", "Paris.")
        assert server.requests == 1
        assert again.usage_metadata == {**(first.usage_metadata or {}), "total_cost": 0}
        assert again.response_metadata == first.response_metadata
        assert again.additional_kwargs == first.additional_kwargs

    def test_async_and_sync_share_answers(
        self, chat: ChatOpenAI, server: StandIn, cache: SessionCache, run: Run
    ) -> None:
        async def ask() -> Any:
            return await chat.ainvoke(FRANCE), await chat.ainvoke("What is 2 plus 2?")

        run(ask())
        assert chat.invoke(FRANCE).content == "Paris."
        assert chat.invoke("What is 2 plus 2?").content == "4."
        run(ask())
        assert server.requests == 2

    def test_a_stop_word_a_temperature_or_a_model_is_another_call(
        self, make_chat: MakeChat, server: StandIn, cache: SessionCache
    ) -> None:
        calls: list[Callable[[], Any]] = [
            lambda: make_chat().invoke(FRANCE),
            lambda: make_chat().invoke(FRANCE, stop=["s"]),
            lambda: make_chat(temperature=0.5).invoke(FRANCE),
            lambda: make_chat(temperature=0).invoke(FRANCE),
            lambda: make_chat(model="stand-in-2").invoke(FRANCE),
            lambda: make_chat(model_kwargs={"user": "a"}).invoke(FRANCE),
            lambda: make_chat(seed=1).invoke(FRANCE),
            lambda: make_chat().bind(seed=2).invoke(FRANCE),
            lambda: make_chat().invoke([("system", "Be brief."), ("human", FRANCE)]),
            lambda: make_chat().invoke([HumanMessage(FRANCE, name="ada")]),
            lambda: make_chat().invoke([("ai", FRANCE)]),
            lambda: make_chat().bind_tools([{"type": "function", "function": {"name": "f"}}]).invoke(FRANCE),
        ]
        for number, call in enumerate(calls, 1):
            call()
            assert server.requests == number
        for call in calls:
            call()
        assert server.requests == len(calls)

    def test_another_order_of_a_schemas_properties_is_another_call(
        self, make_chat: MakeChat, server: StandIn, cache: SessionCache
    ) -> None:
        """A model that reasons before it answers gives another answer."""

        def options(*names: str) -> dict[str, Any]:
            schema = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
            return {"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}

        for sent_as in ("model_kwargs", "extra_body"):
            server.reset()
            for orders in (("answer", "reason"), ("reason", "answer")) * 2:
                make_chat(**{sent_as: options(*orders)}).invoke(FRANCE)
            chat = make_chat(**{sent_as: options("a", "b")})
            chat.invoke(FRANCE)
            setattr(chat, sent_as, options("b", "a"))
            chat.invoke(FRANCE)
            assert server.requests == 4
        make_chat(extra_body={"x": {"a": 1, "b": 2}}).invoke(FRANCE)
        make_chat(extra_body={"x": {"b": 2, "a": 1}}).invoke(FRANCE)
        assert server.requests == 5

    def test_another_address_from_the_environment_is_another_call(
        self, server: StandIn, cache: SessionCache, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def ask(make: type[ChatOpenAI] | type[OpenAI]) -> None:
            make(model="stand-in", max_retries=0, api_key=SecretStr("unused")).invoke(FRANCE)

        with StandIn(port=0) as second:
            for make in (ChatOpenAI, OpenAI):
                for service in (server, second, server, second):
                    monkeypatch.setenv("OPENAI_BASE_URL", service.base_url)
                    ask(make)
            assert (server.requests, second.requests) == (2, 2)
        monkeypatch.delenv("OPENAI_BASE_URL")
        base_url, key = server.base_url, SecretStr("unused")
        ChatOpenAI(model="stand-in", max_retries=0, api_key=key, base_url=base_url).invoke(FRANCE)
        assert server.requests == 2
        assert cache.traps.notes == ()

    def test_what_a_client_of_ones_own_adds_is_part_of_the_call(
        self, make_chat: MakeChat, server: StandIn, cache: SessionCache
    ) -> None:
        def ask(**headers: str) -> None:
            with httpx.Client(headers=headers) as client:
                make_chat(http_client=client).invoke(FRANCE)

        for _ in range(2):
            ask()
            ask(tenant="a")
            ask(tenant="b")
        assert server.requests == 3
        ask(tenant="b", authorization="Bearer abc", **{"user-agent": "mine"})
        assert server.requests == 3
        with httpx.Client(params={"route": "b"}) as client:
            assert sent_by_client(make_chat(http_client=client)) == {"client_params": {"route": "b"}}

    def test_no_client_is_made_to_look_at_it(self) -> None:
        class Lazy(GenericFakeChatModel):
            @property
            def client(self) -> Any:
                raise RuntimeError("no event loop runs")

            async_client = client

        assert sent_by_client(Lazy(messages=iter(()))) == {}

    def test_batch_and_abatch(self, chat: ChatOpenAI, server: StandIn, cache: SessionCache, run: Run) -> None:
        questions: list[Any] = [f"What is {number} plus 1?" for number in range(12)]
        expected = [f"{number + 1}." for number in range(12)]
        assert [answer.content for answer in chat.batch(questions)] == expected
        assert [answer.content for answer in chat.batch(questions)] == expected
        assert [answer.content for answer in run(chat.abatch(questions))] == expected
        assert server.requests == 12
        assert cache.statistics.total().hits == 24

    def test_chains(self, chat: ChatOpenAI, server: StandIn, cache: SessionCache, run: Run) -> None:
        prompt = ChatPromptTemplate([("system", "Be brief."), ("human", "The capital of {country}?")])
        chain = prompt | chat | StrOutputParser()
        assert [chain.invoke({"country": "Italy"}) for _ in range(3)] == ["Rome."] * 3
        assert run(chain.ainvoke({"country": "Italy"})) == "Rome."
        assert server.requests == 1
        assert chain.invoke({"country": "Spain"}) == "Madrid."

    def test_gather(self, chat: ChatOpenAI, server: StandIn, cache: SessionCache, run: Run) -> None:
        questions = [f"What is {number} plus 1?" for number in range(20)]

        async def ask_all() -> list[Any]:
            return [answer.content for answer in await asyncio.gather(*map(chat.ainvoke, questions))]

        expected = [f"{number + 1}." for number in range(20)]
        assert run(ask_all()) == run(ask_all()) == expected
        assert server.requests == 20
        assert all(entry.took is not None for entry in cache.backend.entries().entries)

    def test_equal_calls_at_once_are_each_answered(
        self, chat: ChatOpenAI, server: StandIn, cache: SessionCache, run: Run
    ) -> None:
        async def ask_all() -> list[Any]:
            return [
                answer.content for answer in await asyncio.gather(*(chat.ainvoke(FRANCE) for _ in range(5)))
            ]

        assert run(ask_all()) == ["Paris."] * 5
        counts = cache.statistics.total()
        assert counts.hits + counts.misses == 5
        assert counts.stored == server.requests
        assert len(cache.backend) == 1

    def test_a_cancelled_call_stores_nothing(
        self, chat: ChatOpenAI, server: StandIn, cache: SessionCache, run: Run
    ) -> None:
        arrived = threading.Event()
        release = threading.Event()

        def hold(_prompt: str) -> None:
            arrived.set()
            release.wait(10)

        async def ask_and_leave() -> None:
            asking = asyncio.create_task(chat.ainvoke(FRANCE))
            await asyncio.to_thread(arrived.wait, 10)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

        server.answers = hold
        try:
            run(ask_and_leave())
        finally:
            release.set()
            server.answers = {}
        assert len(cache.backend) == 0
        assert chat.invoke(FRANCE).content == "Paris."
        assert len(cache.backend) == 1

    def test_a_failing_call_stores_nothing(
        self, chat: ChatOpenAI, server: StandIn, cache: SessionCache, events: list[Event]
    ) -> None:
        for _ in range(2):
            with pytest.raises(InternalServerError):
                chat.invoke("Now please fail.")
        assert len(cache.backend) == 0
        assert [type(event) for event in events] == [Miss, Miss]
        assert len(server.log) == 2

    def test_streams_pass_by(self, chat: ChatOpenAI, server: StandIn, cache: SessionCache) -> None:
        """LangChain neither asks nor tells its cache when it streams."""
        chat.invoke(FRANCE)
        assert "".join(str(chunk.content) for chunk in chat.stream(FRANCE)) == "Paris."
        assert (server.requests, cache.statistics.total().hits) == (2, 0)


class TestOptingOut:
    def test_a_model_may_refuse_the_cache(
        self, make_chat: MakeChat, server: StandIn, cache: SessionCache, events: list[Event]
    ) -> None:
        chat = make_chat(cache=False)
        chat.invoke(FRANCE)
        chat.invoke(FRANCE)
        assert (server.requests, events, len(cache.backend)) == (2, [], 0)

    def test_a_model_may_have_its_own(
        self, make_chat: MakeChat, server: StandIn, cache: SessionCache, events: list[Event]
    ) -> None:
        own = SessionCache(InMemoryCache(maxsize=1))
        chat = make_chat(cache=own)
        for question in (FRANCE, FRANCE, "What is 1 plus 1?", FRANCE):
            chat.invoke(question)
        assert (server.requests, events, len(own.backend)) == (3, [], 1)
        assert (own.statistics.total().hits, own.statistics.total().evicted) == (1, 2)

    def test_a_plain_backend_will_do(self, make_chat: MakeChat, server: StandIn) -> None:
        chat = make_chat(cache=InMemoryCache())
        assert [chat.invoke(FRANCE).content for _ in range(2)] == ["Paris."] * 2
        assert server.requests == 1


class TestCompletions:
    @pytest.fixture
    def llm(self, server: StandIn) -> OpenAI:
        return OpenAI(base_url=server.base_url, model="stand-in", api_key="unused", max_retries=0)  # type: ignore[arg-type]

    def test_a_completion_model(self, llm: OpenAI, server: StandIn, cache: SessionCache, run: Run) -> None:
        assert [llm.invoke("The capital of Italy?") for _ in range(3)] == ["Rome."] * 3
        assert run(llm.ainvoke("The capital of Italy?")) == "Rome."
        assert server.requests == 1
        assert cache.backend.models() == {"stand-in": 1}

    def test_several_prompts(self, llm: OpenAI, server: StandIn, cache: SessionCache) -> None:
        capitals = ["The capital of Italy?", "The capital of Spain?"]
        llm.invoke(capitals[0])
        for _ in range(2):
            result = llm.generate([*capitals, "Say nothing."])
            assert [choices[0].text for choices in result.generations] == ["Rome.", "Madrid.", ""]
        assert server.requests == 2

    def test_one_prompt_twice_in_a_batch_keeps_its_time(
        self, llm: OpenAI, server: StandIn, cache: SessionCache
    ) -> None:
        llm.generate(["The capital of Italy?"] * 2)
        (entry,) = cache.backend.entries().entries
        assert entry.took is not None

    def test_a_completion_and_a_chat_are_two_calls(
        self, llm: OpenAI, chat: ChatOpenAI, server: StandIn, cache: SessionCache
    ) -> None:
        llm.invoke(FRANCE)
        chat.invoke(FRANCE)
        assert server.requests == 2


BREAKING = [
    pytest.param(lambda message: setattr(message, "content", "edited"), id="content"),
    pytest.param(lambda message: message.tool_calls.append({**message.tool_calls[0]}), id="tool_calls"),
    pytest.param(lambda message: message.tool_calls[0]["args"].update(city="edited"), id="tool_call args"),
    pytest.param(lambda message: message.additional_kwargs.update(edited=True), id="additional_kwargs"),
    pytest.param(lambda message: message.response_metadata["token_usage"].clear(), id="response_metadata"),
    pytest.param(lambda message: message.usage_metadata.update(total_tokens=0), id="usage_metadata"),
    pytest.param(lambda message: message.usage_metadata["input_token_details"].clear(), id="token details"),
]  # fmt: skip
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
class TestIsolation:
    """What a caller does to an answer is the caller's own affair."""

    @pytest.fixture
    def ask(self, chat: ChatOpenAI, asynchronous: bool, cache: SessionCache, run: Run) -> Ask:
        model = chat.bind_tools([WEATHER])

        def ask() -> Any:
            question = "The weather in Paris?"
            return run(model.ainvoke(question)) if asynchronous else model.invoke(question)

        return ask

    @pytest.mark.parametrize("edit", BREAKING)
    def test_editing_the_first_answer_changes_nothing_stored(
        self, ask: Ask, server: StandIn, edit: Callable[[Any], None]
    ) -> None:
        first = ask()
        whole = first.model_dump_json(exclude={"id", "usage_metadata"})
        usage = {
            **first.usage_metadata,
            "input_token_details": {**first.usage_metadata["input_token_details"]},
        }
        edit(first)
        hit = ask()
        assert hit.model_dump_json(exclude={"id", "usage_metadata"}) == whole
        assert hit.usage_metadata == {**usage, "total_cost": 0}
        assert server.requests == 1

    @pytest.mark.parametrize("edit", BREAKING)
    def test_editing_a_hit_changes_no_later_one(
        self, ask: Ask, server: StandIn, edit: Callable[[Any], None]
    ) -> None:
        ask()
        hit = ask()
        whole = hit.model_dump_json(exclude={"id"})
        edit(hit)
        assert ask().model_dump_json(exclude={"id"}) == whole
        assert server.requests == 1

    def test_langchain_edits_no_stored_answer(self, ask: Ask, cache: SessionCache) -> None:
        """It adds `total_cost` to what it was handed."""
        ask()
        (before,) = cache.backend.entries().entries
        ask()
        (after,) = cache.backend.entries().entries
        assert "total_cost" not in after.generations[0].message.usage_metadata
        assert after.generations == before.generations


class Stamp(ChatGeneration):
    """A generation with a field and a method of its own."""

    stamp: str = ""
    notes: list[str] = []  # noqa: RUF012 (pydantic copies it)

    def shout(self) -> str:
        return self.text.upper()


class Locked(ChatGeneration):
    """A generation that holds what cannot be copied."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    lock: Any = None


class OwnModel(GenericFakeChatModel):
    """A chat model that answers in a generation class of its own."""

    make: Any
    calls: list[str] = []  # noqa: RUF012

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        self.calls.append(messages[-1].content)
        return ChatResult(generations=[self.make(AIMessage("Hello."))])


class TestAnswers:
    def test_several_choices(self, make_chat: MakeChat, server: StandIn, cache: SessionCache) -> None:
        chat = make_chat(n=3)
        for _ in range(2):
            result = chat.generate([[HumanMessage(FRANCE)]])
            texts = [choice.text for choice in result.generations[0]]
            assert texts == ["Paris.", "Paris. (answer 2)", "Paris. (answer 3)"]
        assert server.requests == 1
        (entry,) = cache.backend.entries().entries
        assert (entry.hits, len(entry.generations)) == (1, 3)

    def test_an_empty_answer(self, chat: ChatOpenAI, server: StandIn, cache: SessionCache) -> None:
        assert [chat.invoke("Say nothing.").content for _ in range(2)] == ["", ""]
        assert server.requests == 1

    def test_a_generation_of_a_class_of_its_own(self, use: Callable[[SessionCache], SessionCache]) -> None:
        use(SessionCache())  # a file could not hold it
        model = OwnModel(messages=iter([]), make=lambda m: Stamp(message=m, stamp="x", notes=["n"]), calls=[])
        (first,) = model.generate([[HumanMessage("Hi")]]).generations[0]
        assert isinstance(first, Stamp)
        first.notes.append("edited")
        (hit,) = model.generate([[HumanMessage("Hi")]]).generations[0]
        assert isinstance(hit, Stamp)
        assert (hit.stamp, hit.notes, hit.shout()) == ("x", ["n"], "HELLO.")
        assert model.calls == ["Hi"]

    def test_one_that_cannot_be_copied_is_given_but_not_stored(
        self, cache: SessionCache, events: list[Event]
    ) -> None:
        model = OwnModel(messages=iter([]), make=lambda m: Locked(message=m, lock=threading.Lock()), calls=[])
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            answers = [model.invoke("Hi").content for _ in range(3)]
        assert answers == ["Hello."] * 3
        assert sum("an answer of type Locked cannot be copied" in str(one.message) for one in told) == 1
        assert model.calls == ["Hi"] * 3
        assert len(cache.backend) == 0
        assert sum(isinstance(event, Stored) for event in events) == 0

    def test_after_it_all_is_well(self, chat: ChatOpenAI, cache: SessionCache) -> None:
        model = OwnModel(messages=iter([]), make=lambda m: Locked(message=m, lock=threading.Lock()), calls=[])
        with pytest.warns(CacheWarning):
            model.invoke("Hi")
        chat.invoke(FRANCE)
        assert cache.failing is None
        with pytest.warns(CacheWarning):
            model.invoke("Hi")

    def test_an_answer_of_ours(self, cache: SessionCache, chat: ChatOpenAI, server: StandIn) -> None:
        """A plain generation under a chat's key is what LangChain makes a message of."""
        seen: list[tuple[str, str]] = []
        lookup = cache.lookup

        def spy(prompt: str, llm_string: str) -> Any:
            seen.append((prompt, llm_string))
            return lookup(prompt, llm_string)

        cache.lookup = spy  # type: ignore[method-assign]
        chat.invoke(FRANCE)
        cache.update(*seen[0], [Generation(text="Lutetia.")])
        assert chat.invoke(FRANCE).content == "Lutetia."
        assert server.requests == 1


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
class TestFailingBackend:
    """The store fails: the cell gets its answer, and one warning."""

    @pytest.fixture
    def ask(self, chat: ChatOpenAI, asynchronous: bool, run: Run) -> Ask:
        return lambda: (run(chat.ainvoke(FRANCE)) if asynchronous else chat.invoke(FRANCE)).content

    @pytest.mark.parametrize(
        ("method", "operation", "requests"),
        [("get", "lookup", 4), ("put", "update", 4), ("touch", "touch", 1)],
    )
    def test_each_method(
        self, ask: Ask, server: StandIn, use: Use, method: str, operation: str, requests: int
    ) -> None:
        cache = use(SessionCache(FailingCache(method)))
        failed: list[Failed] = []
        cache.events.subscribe(lambda event: failed.append(event) if isinstance(event, Failed) else None)
        with pytest.warns(CacheWarning, match=rf"failed at {operation} \(OSError: disk full\)") as told:
            answers = [ask() for _ in range(4)]
        assert answers == ["Paris."] * 4
        assert len(told) == 1
        assert server.requests == requests
        assert {event.operation for event in failed} == {operation}
        assert cache.failing == "OSError: disk full"

    def test_every_method(self, ask: Ask, use: Use) -> None:
        cache = use(SessionCache(FailingCache("get", "put", "touch", "len", "clear")))
        with pytest.warns(CacheWarning) as told:
            answers = [ask() for _ in range(3)]
        assert answers == ["Paris."] * 3
        assert len(told) == 1
        counts = cache.statistics.total()
        assert (counts.hits, counts.misses, counts.stored) == (0, 3, 0)

    @pytest.mark.parametrize("method", ["get", "put", "touch"])
    def test_where_warnings_are_errors_too(
        self, ask: Ask, use: Use, method: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        use(SessionCache(FailingCache(method)))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert [ask() for _ in range(3)] == ["Paris."] * 3
        assert [record.message.count("disk full") for record in caplog.records] == [1]

    def test_it_warns_again_once_it_worked_in_between(self, ask: Ask, server: StandIn, use: Use) -> None:
        backend = FailingCache("get")
        cache = use(SessionCache(backend))
        with pytest.warns(CacheWarning):
            ask()
        backend.broken.clear()
        assert ask() == "Paris."
        assert (cache.failing, server.requests) == (None, 1)
        backend.broken.add("get")
        with pytest.warns(CacheWarning):
            assert ask() == "Paris."


class TestModes:
    def test_off(self, chat: ChatOpenAI, server: StandIn, cache: SessionCache) -> None:
        chat.invoke(FRANCE)
        with mode("off"):
            chat.invoke(FRANCE)
            chat.invoke("What is 1 plus 1?")
        assert (server.requests, len(cache.backend)) == (3, 1)
        assert chat.invoke(FRANCE).content == "Paris."
        assert server.requests == 3

    def test_refresh(self, chat: ChatOpenAI, server: StandIn, cache: SessionCache) -> None:
        server.answers = {FRANCE: "Lutetia."}
        chat.invoke(FRANCE)
        server.answers = {}
        with mode("refresh"):
            assert chat.invoke(FRANCE).content == "Paris."
        assert chat.invoke(FRANCE).content == "Paris."
        assert (server.requests, len(cache.backend)) == (2, 1)

    def test_readonly(self, chat: ChatOpenAI, server: StandIn, cache: SessionCache) -> None:
        chat.invoke(FRANCE)
        with mode("readonly"):
            chat.invoke(FRANCE)
            chat.invoke("What is 1 plus 1?")
            chat.invoke("What is 1 plus 1?")
        assert (server.requests, len(cache.backend)) == (3, 1)

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_replay_raises_before_any_request(
        self, chat: ChatOpenAI, server: StandIn, cache: SessionCache, asynchronous: bool, run: Run
    ) -> None:
        chat.invoke(FRANCE)
        with mode("replay"):
            assert chat.invoke(FRANCE).content == "Paris."
            with pytest.raises(CacheMissError, match=r"this call of stand-in: 'What is 1 plus 1\?'") as told:
                _ = (
                    run(chat.ainvoke("What is 1 plus 1?"))
                    if asynchronous
                    else chat.invoke("What is 1 plus 1?")
                )
        assert (told.value.model, told.value.prompt) == ("stand-in", "What is 1 plus 1?")
        assert "%%llmcache on" in str(told.value)
        assert len(server.log) == 1

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_replay_with_a_failing_store_sends_nothing(
        self, chat: ChatOpenAI, server: StandIn, use: Use, asynchronous: bool, run: Run
    ) -> None:
        use(SessionCache(FailingCache("get"), mode="replay"))
        with pytest.warns(CacheWarning), pytest.raises(CacheMissError, match="the store failed"):
            run(chat.ainvoke(FRANCE)) if asynchronous else chat.invoke(FRANCE)
        assert server.log == []

    def test_replay_shows_no_credential_of_a_prompt(self, chat: ChatOpenAI, cache: SessionCache) -> None:
        with mode("replay"), pytest.raises(CacheMissError) as told:
            chat.invoke("My key is sk-proj-8fK3s02jXdkQ91xw")
        assert "8fK3s02jXdkQ91xw" not in str(told.value)

    def test_a_mode_follows_into_batches_and_tasks(
        self, chat: ChatOpenAI, server: StandIn, cache: SessionCache, run: Run
    ) -> None:
        questions: list[Any] = [FRANCE, "What is 1 plus 1?"]
        chat.batch(questions)
        with mode("refresh"):
            chat.batch(questions)
            run(chat.abatch(questions))
        assert server.requests == 6
        chat.batch(questions)
        assert server.requests == 6

    def test_a_mode_follows_into_a_thread_that_carries_context(
        self, chat: ChatOpenAI, server: StandIn, cache: SessionCache
    ) -> None:
        chat.invoke(FRANCE)
        with mode("refresh"):
            for target in (lambda: copy_context().run, lambda: lambda run: run()):
                carry = target()
                thread = threading.Thread(target=carry, args=(lambda: chat.invoke(FRANCE),))
                thread.start()
                thread.join()
        assert server.requests == 2  # the thread without it is a hit


class TestEvents:
    def test_a_hit_saves_what_the_model_took_and_counted(
        self, chat: ChatOpenAI, cache: SessionCache, events: list[Event]
    ) -> None:
        first = chat.invoke(FRANCE)
        chat.invoke(FRANCE)
        miss, stored, hit = events
        assert isinstance(miss, Miss)
        assert isinstance(stored, Stored)
        assert isinstance(hit, Hit)
        assert first.usage_metadata is not None
        assert hit.tokens == stored.tokens == first.usage_metadata["total_tokens"]
        assert hit.seconds == stored.seconds
        assert stored.seconds is not None
        assert stored.seconds > 0
        assert len({event.id for event in events}) == 1  # type: ignore[union-attr]
        assert {event.model for event in events} == {"stand-in"}  # type: ignore[union-attr]
