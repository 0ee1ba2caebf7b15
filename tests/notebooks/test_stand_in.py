"""The stand-in server, asked by the clients that notebooks use: langchain_openai, agents, and plain HTTP."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any, Literal

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI
from openai import APIConnectionError, BadRequestError, InternalServerError, NotFoundError
from pydantic import BaseModel, Field
from stand_in import DEFAULT_PORT, StandIn, serve


@pytest.fixture(autouse=True)
def _no_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING", "false")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[StandIn]:
    with StandIn(port=0) as running:
        yield running


@pytest.fixture
def chat(server: StandIn) -> ChatOpenAI:
    return chat_with(server)


def chat_with(server: StandIn, **options: Any) -> ChatOpenAI:
    options = {"model": "stand-in", "api_key": "unused", "max_retries": 0, "cache": False, **options}
    return ChatOpenAI(base_url=server.base_url, **options)


def post(server: StandIn, path: str, body: bytes) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("POST", path, body)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


class TestChat:
    def test_a_known_question_has_its_answer_with_usage(self, chat: ChatOpenAI, server: StandIn) -> None:
        answer = chat.invoke("What is the capital of France?")
        assert answer.content == "Paris."
        assert isinstance(answer, AIMessage)
        assert answer.usage_metadata is not None
        assert answer.usage_metadata["input_tokens"] == 7
        assert answer.usage_metadata["output_tokens"] == 2
        assert answer.response_metadata["model_name"] == "stand-in"
        assert server.requests == 1

    def test_equal_calls_have_equal_texts_and_different_ids(self, chat: ChatOpenAI) -> None:
        first, second = chat.invoke("Tell me a joke."), chat.invoke("Tell me a joke.")
        assert first.content == second.content
        assert first.id != second.id
        assert first.response_metadata["id"] != second.response_metadata["id"]

    @pytest.mark.parametrize(
        ("question", "answer"),
        [
            ("What is 6 times 7?", "42."),
            ("2.5 + 1", "3.5."),
            ("7 / 0", "Nothing can be divided by zero."),
            ("The capital of Atlantis?", "I do not know the capital of Atlantis."),
            ("What is my name?", "You have not told me your name yet."),
            ("Say nothing.", ""),
            ("Ünïcödé \u202eשלום", "I am only a stand-in, but I heard you: “Ünïcödé \u202eשלום”"),
        ],
    )
    def test_answers(self, chat: ChatOpenAI, question: str, answer: str) -> None:
        assert chat.invoke(question).content == answer

    def test_an_empty_answer_costs_nothing(self, chat: ChatOpenAI) -> None:
        answer = chat.invoke("Say nothing.")
        assert isinstance(answer, AIMessage)
        assert answer.usage_metadata is not None
        assert answer.usage_metadata["output_tokens"] == 0

    def test_the_answer_depends_on_the_conversation(self, chat: ChatOpenAI) -> None:
        conversation: list[Any] = [SystemMessage("Be kind."), HumanMessage("My name is Ada.")]
        conversation.append(chat.invoke(conversation))
        assert conversation[-1].content == "Nice to meet you, Ada."
        for question, answer in [
            ("What is my name?", "Your name is Ada."),
            ("What is the capital of Italy?", "Rome."),
            ("And of Japan?", "Tokyo."),
        ]:
            conversation.append(HumanMessage(question))
            conversation.append(chat.invoke(conversation))
            assert conversation[-1].content == answer

    def test_content_may_come_in_parts(self, chat: ChatOpenAI) -> None:
        assert (
            chat.invoke([HumanMessage([{"type": "text", "text": "The capital of Spain?"}])]).content
            == "Madrid."
        )

    def test_several_choices_differ(self, server: StandIn) -> None:
        result = chat_with(server, n=3).generate([[HumanMessage("The capital of France?")]])
        texts = [generation.text for generation in result.generations[0]]
        assert texts == ["Paris.", "Paris. (answer 2)", "Paris. (answer 3)"]
        assert server.requests == 1

    def test_a_stop_sequence_ends_the_answer(self, chat: ChatOpenAI) -> None:
        assert chat.invoke("What is a cache?", stop=["answers", "so"]).content == "A cache keeps "

    def test_batch_and_async(self, chat: ChatOpenAI, server: StandIn) -> None:
        questions = [f"What is {number} plus 1?" for number in range(20)]
        expected = [f"{number + 1}." for number in range(20)]
        assert [answer.content for answer in chat.batch(questions)] == expected  # type: ignore[arg-type]

        async def ask_all() -> list[Any]:
            return [answer.content for answer in await asyncio.gather(*map(chat.ainvoke, questions))]

        assert asyncio.run(ask_all()) == expected
        assert server.requests == 40

    def test_a_stream_adds_up_to_the_answer(self, server: StandIn) -> None:
        chat = chat_with(server, stream_usage=True)
        question = "Tell me a haiku."
        chunks = list(chat.stream(question))
        whole = chunks[0]
        for chunk in chunks[1:]:
            whole += chunk
        assert whole.content == chat.invoke(question).content
        assert sum(bool(chunk.content) for chunk in chunks) > 5
        assert whole.usage_metadata is not None
        assert whole.usage_metadata["output_tokens"] > 5
        assert whole.response_metadata["finish_reason"] == "stop"


class TestExactAnswers:
    @pytest.mark.parametrize(
        "text", ["", "<script>alert(1)</script>", "null \x00 byte", "x" * 1_000_000, "\u202eabc"]
    )
    def test_any_text_can_be_the_answer(self, server: StandIn, text: str) -> None:
        server.answers = {"Show it.": text}
        assert chat_with(server).invoke("Show it.").content == text
        assert chat_with(server).invoke("The capital of France?").content == "Paris."

    def test_a_function_may_answer_or_leave_it(self, server: StandIn) -> None:
        server.answers = lambda prompt: "No." if prompt.startswith("May I") else None
        assert chat_with(server).invoke("May I go?").content == "No."
        assert chat_with(server).invoke("The capital of Norway?").content == "Oslo."

    def test_a_function_that_raises_is_an_error_of_the_service(self, server: StandIn) -> None:
        def broken(prompt: str) -> str:
            raise KeyError(prompt)

        server.answers = broken
        with pytest.raises(InternalServerError, match="KeyError"):
            chat_with(server).invoke("Hello")


@tool
def get_weather(city: str, unit: Literal["celsius", "kelvin"] = "celsius") -> str:
    """Say what the weather is in a city."""
    return f"It is sunny in {city}."


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


class TestTools:
    @pytest.mark.parametrize(
        ("question", "calls"),
        [
            ("What is the weather in Paris?", [("get_weather", {"city": "Paris"})]),
            (
                "Weather in New York and Rome, please",
                [("get_weather", {"city": "New York"}), ("get_weather", {"city": "Rome"})],
            ),
            ("What is 6 times 7?", [("multiply", {"a": 6, "b": 7})]),
            ("Multiply -2 by 1,000.", [("multiply", {"a": -2, "b": 1000})]),
            ("How can I multiply fractions?", []),
            ("What is the capital of France?", []),
        ],
    )
    def test_a_tool_is_called_where_it_fits(
        self, chat: ChatOpenAI, question: str, calls: list[tuple[str, Any]]
    ) -> None:
        answer = chat.bind_tools([get_weather, multiply]).invoke(question)
        assert [(call["name"], call["args"]) for call in answer.tool_calls] == calls
        assert answer.response_metadata["finish_reason"] == ("tool_calls" if calls else "stop")

    def test_call_ids_are_never_the_same(self, chat: ChatOpenAI) -> None:
        bound = chat.bind_tools([get_weather])
        answers = [bound.invoke("The weather in Paris and in Rome?") for _ in range(2)]
        assert len({call["id"] for answer in answers for call in answer.tool_calls}) == 4

    def test_the_tools_output_becomes_the_answer(self, chat: ChatOpenAI) -> None:
        question = HumanMessage("The weather in Oslo?")
        call = chat.bind_tools([get_weather]).invoke([question])
        output = ToolMessage("Snow.", tool_call_id=call.tool_calls[0]["id"])
        answer = chat.bind_tools([get_weather]).invoke([question, call, output])
        assert answer.content == "Here is what I found: Snow."

    def test_parallel_calls_can_be_refused(self, chat: ChatOpenAI) -> None:
        bound = chat.bind_tools([get_weather], parallel_tool_calls=False)
        assert len(bound.invoke("The weather in Paris and Rome?").tool_calls) == 1

    @pytest.mark.parametrize(("choice", "name"), [("any", "multiply"), ("get_weather", "get_weather")])
    def test_a_demanded_tool_is_called(self, chat: ChatOpenAI, choice: str, name: str) -> None:
        answer = chat.bind_tools([get_weather, multiply], tool_choice=choice).invoke("Hello!")
        assert [call["name"] for call in answer.tool_calls] == [name]

    def test_tool_calls_can_be_streamed(self, chat: ChatOpenAI) -> None:
        chunks: list[Any] = list(chat.bind_tools([get_weather]).stream("The weather in Paris?"))
        calls = [call for chunk in chunks for call in chunk.tool_call_chunks]
        assert [(call["name"], call["args"]) for call in calls] == [("get_weather", '{"city": "Paris"}')]

    def test_an_agent_works_through_its_tools(self, chat: ChatOpenAI, server: StandIn) -> None:
        agent: Any = create_agent(chat, [get_weather, multiply])
        question = "What is the weather in Paris, and what is 6 times 7?"
        messages = agent.invoke({"messages": [HumanMessage(question)]})["messages"]
        assert [message.type for message in messages] == ["human", "ai", "tool", "tool", "ai"]
        assert messages[-1].content == "Here is what I found: It is sunny in Paris.; 42."
        assert server.requests == 2

    def test_an_agent_can_answer_with_a_class(self, chat: ChatOpenAI, server: StandIn) -> None:
        from langchain.agents.structured_output import ToolStrategy

        agent: Any = create_agent(chat, [multiply], response_format=ToolStrategy(Product))
        state = agent.invoke({"messages": [HumanMessage("What is 6 times 7?")]})
        assert state["structured_response"] == Product(first=6, second=7, result=42)
        assert server.requests == 2


class Product(BaseModel):
    first: int
    second: int
    result: int


class Person(BaseModel):
    """A person."""

    name: str
    age: int
    city: str | None = None


class Team(BaseModel):
    title: str
    mood: Literal["calm", "busy"]
    people: list[Person]
    score: float = Field(ge=0, le=1)
    founded: date
    parent: Team | None = None
    active: bool


class TestStructuredAnswers:
    @pytest.mark.parametrize("method", ["json_schema", "function_calling"])
    def test_a_class_is_filled_from_the_text(self, chat: ChatOpenAI, method: Any) -> None:
        model = chat.with_structured_output(Person, method=method)
        assert model.invoke("Ada Lovelace is 36 and lives in London.") == Person(
            name="Ada Lovelace", age=36, city="London"
        )
        assert model.invoke("The one called “bob” is 7.") == Person(name="bob", age=7, city=None)

    def test_any_schema_is_met(self, chat: ChatOpenAI) -> None:
        model = chat.with_structured_output(Team, method="json_schema", strict=False)
        team = model.invoke("The busy Red Team: Ada is 36, Grace is 45.")
        assert isinstance(team, Team)
        assert (team.title, team.mood, team.parent) == ("Red Team", "busy", None)
        assert [(person.age, person.name) for person in team.people] == [(36, "Ada"), (45, "Grace")]
        assert isinstance(model.invoke(""), Team)

    def test_json_mode_gives_an_object(self, chat: ChatOpenAI) -> None:
        model = chat.with_structured_output(None, method="json_mode")
        assert model.invoke("The capital of Kenya, as JSON?") == {"answer": "Nairobi."}


class TestCompletions:
    def test_one_prompt_and_many(self, server: StandIn) -> None:
        llm = OpenAI(base_url=server.base_url, model="stand-in", api_key="unused", max_retries=0, cache=False)  # type: ignore[arg-type]
        assert llm.invoke("The capital of France?") == "Paris."
        result = llm.generate(["The capital of Italy?", "Say nothing."])
        assert [[g.text for g in choices] for choices in result.generations] == [["Rome."], [""]]
        assert result.llm_output is not None
        assert result.llm_output["token_usage"]["total_tokens"] > 0
        assert server.requests == 2
        assert "".join(llm.stream("What is a cache?")) == llm.invoke("What is a cache?")

    def test_several_choices(self, server: StandIn) -> None:
        llm = OpenAI(base_url=server.base_url, model="m", api_key="unused", n=2, best_of=2, cache=False)  # type: ignore[arg-type]
        choices = llm.generate(["The capital of France?"]).generations[0]
        assert [choice.text for choice in choices] == ["Paris.", "Paris. (answer 2)"]


class TestErrors:
    def test_a_call_fails_when_asked_to_and_is_not_counted(self, chat: ChatOpenAI, server: StandIn) -> None:
        with pytest.raises(InternalServerError, match="as it was asked to"):
            chat.invoke("Now please fail.")
        assert (server.requests, len(server.log)) == (0, 1)
        assert (
            chat.invoke([HumanMessage("please fail"), AIMessage("?"), HumanMessage("2 + 2")]).content == "4."
        )

    @pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"", b"{}", b'{"model": "m", "messages": []}'])
    def test_a_malformed_request_is_told_so(self, server: StandIn, body: bytes) -> None:
        status, answer = post(server, "/v1/chat/completions", body)
        assert status == 400
        assert answer["error"]["type"] == "invalid_request_error"
        assert answer["error"]["message"]
        assert server.requests == 0

    def test_an_unknown_path_is_not_found(self, server: StandIn) -> None:
        assert post(server, "/v1/nothing", b"{}")[0] == 404
        with pytest.raises(NotFoundError):
            chat_with(server, use_responses_api=True).invoke("Hello")

    def test_a_tool_that_does_not_exist_cannot_be_demanded(self, server: StandIn) -> None:
        choice = {"type": "function", "function": {"name": "absent"}}
        chat = chat_with(server).bind(
            tools=[{"type": "function", "function": {"name": "f"}}], tool_choice=choice
        )
        with pytest.raises(BadRequestError, match="absent"):
            chat.invoke("Hello")


class TestLife:
    def test_it_listens_on_a_fixed_port_unless_told_otherwise(self) -> None:
        assert StandIn().base_url == f"http://127.0.0.1:{DEFAULT_PORT}/v1"
        with pytest.raises(RuntimeError, match="start"):
            _ = StandIn(port=0).base_url

    def test_a_busy_port_is_named(self, server: StandIn) -> None:
        with pytest.raises(OSError, match=f"Port {server.port} cannot be used .*port=0"):
            StandIn(port=server.port).start()

    def test_a_stopped_server_is_gone_and_comes_back(self, server: StandIn, chat: ChatOpenAI) -> None:
        chat.invoke("Hello")
        port = server.port
        for _ in range(3):
            server.stop()
            server.stop()
            with pytest.raises(APIConnectionError):  # though the client's connection was kept alive
                chat.invoke("Hello")
            assert server.start().start().port == port
            chat.invoke("Hello")
        server.stop()
        with StandIn(port=port) as other:
            chat.invoke("Hello")
            assert other.requests == 1

    def test_stopping_ends_a_slow_call(self, server: StandIn, chat: ChatOpenAI) -> None:
        arrived = threading.Event()
        server.delay, server.answers = 60, lambda _prompt: arrived.set()
        with ThreadPoolExecutor() as pool:
            asking = pool.submit(chat.invoke, "Hello")
            assert arrived.wait(10)
            server.stop()
            with pytest.raises(APIConnectionError):
                asking.result(10)
        assert server.requests == 0

    def test_a_call_takes_its_delay(self, server: StandIn, chat: ChatOpenAI) -> None:
        server.delay = 0.1
        before = time.perf_counter()
        chat.invoke("Hello")
        assert time.perf_counter() - before >= 0.1

    def test_calls_do_not_wait_for_each_other(self, server: StandIn, chat: ChatOpenAI) -> None:
        meeting = threading.Barrier(4)
        server.answers = lambda _prompt: f"{meeting.wait(10) >= 0}"
        answers = chat.batch(["Hello"] * 4, config={"max_concurrency": 4})
        assert [answer.content for answer in answers] == ["True"] * 4

    def test_one_connection_serves_many_calls(self, server: StandIn) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
        connection.request("GET", "/v1/models")
        sock = connection.sock
        assert json.loads(connection.getresponse().read())["data"][0]["id"] == "stand-in"
        for stream in (False, True, False):
            connection.request("POST", "/v1/chat/completions", json.dumps({**body, "stream": stream}))
            raw = connection.getresponse().read()
            assert (
                raw.endswith(b"data: [DONE]\n\n")
                if stream
                else json.loads(raw)["id"] == f"chatcmpl-{server.requests}"
            )
        assert connection.sock is sock
        connection.close()

    def test_reset_forgets_calls(self, server: StandIn, chat: ChatOpenAI) -> None:
        chat.invoke("Hello")
        assert server.log[0]["messages"] == [{"content": "Hello", "role": "user"}]
        server.reset()
        assert (server.requests, server.log) == (0, [])

    def test_only_loopback_can_reach_it(self, server: StandIn) -> None:
        assert server._server is not None
        assert server._server.server_address == ("127.0.0.1", server.port)
        assert server._server.address_family is socket.AF_INET

    def test_it_says_nothing(
        self, chat: ChatOpenAI, server: StandIn, capfd: pytest.CaptureFixture[str]
    ) -> None:
        chat.invoke("Hello")
        post(server, "/v1/nothing", b"{}")
        socket.create_connection(("127.0.0.1", server.port)).close()
        server.stop()
        assert capfd.readouterr() == ("", "")


class TestServe:
    def test_a_cell_can_be_run_again(self, server: StandIn) -> None:
        server.stop()
        first = serve(server.port)
        chat_with(first).invoke("Hello")
        again = serve(server.port, delay=0.001)
        assert again is first
        assert (again.port, again.requests, again.delay) == (server.port, 0, 0.001)
        chat_with(again).invoke("Hello")
        again.stop()
        assert serve(server.port).base_url == server.base_url
        first.stop()

    def test_it_makes_way_for_another_program(self, server: StandIn) -> None:
        other = serve(server.port)
        assert other.port not in (0, server.port)
        chat_with(other).invoke("Hello")
        assert (other.requests, server.requests) == (1, 0)
        assert serve(server.port).base_url == other.base_url
        other.stop()

    def test_no_proxy_stands_between(self, server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.setenv(name, "example.com")
        server.stop()
        with serve(server.port) as direct:
            chat_with(direct).invoke("Hello")
            assert direct.requests == 1
        assert os.environ["no_proxy"] == "example.com,127.0.0.1"
