"""Chats, agents, graphs and structured output, each worked through twice: the second time without a call."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from pydantic import ValidationError
from stand_in import StandIn

from llmcache_jupyter import SessionCache
from llmcache_jupyter.session.scope import mode
from tests.clients.conftest import MakeChat, Run


def talk(chat: ChatOpenAI) -> list[BaseMessage]:
    """A chat of three turns, in which each turn sends the earlier answers back."""
    said: list[BaseMessage] = [SystemMessage("Be kind.")]
    for question in ("My name is Ada.", "What is my name?", "What is the capital of Japan?"):
        said.append(HumanMessage(question))
        said.append(chat.invoke(said))
    return said


def contents(messages: list[BaseMessage]) -> list[Any]:
    return [message.content for message in messages]


class TestChat:
    def test_the_second_run_makes_no_call(
        self, chat: ChatOpenAI, server: StandIn, cache: SessionCache
    ) -> None:
        first = talk(chat)
        assert server.requests == 3
        assert contents(talk(chat)) == contents(first)
        assert contents(talk(chat)) == contents(first)
        assert server.requests == 3
        assert len(cache.backend) == 3

    def test_async_goes_on_where_sync_began(
        self, chat: ChatOpenAI, server: StandIn, cache: SessionCache, run: Run
    ) -> None:
        first = talk(chat)

        async def atalk() -> list[BaseMessage]:
            said: list[BaseMessage] = []
            for message in first:
                said.append(await chat.ainvoke(said) if isinstance(message, AIMessage) else message)
            return said

        assert contents(run(atalk())) == contents(first)
        assert server.requests == 3

    @pytest.mark.parametrize("refreshed", [1, 2])
    def test_a_turn_that_is_refreshed_leaves_the_later_ones_hits(
        self, chat: ChatOpenAI, server: StandIn, cache: SessionCache, refreshed: int
    ) -> None:
        """The new answer says the same, in a message with another id, usage and time."""
        first = talk(chat)
        with mode("refresh"):
            again = chat.invoke(first[: 2 * refreshed])
        assert server.requests == 4
        assert again.content == first[2 * refreshed].content
        assert contents(talk(chat)) == contents(first)
        assert server.requests == 4

    def test_a_streamed_answer_counts_as_the_same(
        self, chat: ChatOpenAI, server: StandIn, cache: SessionCache
    ) -> None:
        """Streamed, an answer is an AIMessageChunk with usage, position and metadata of its own."""
        first = talk(chat)
        whole: Any = None
        for chunk in chat.stream(first[:2]):
            whole = chunk if whole is None else whole + chunk
        assert whole.content == first[2].content
        assert chat.invoke([*first[:2], whole, first[3]]).content == first[4].content
        assert server.requests == 4

    def test_a_history_that_says_something_else_is_another_call(
        self, chat: ChatOpenAI, server: StandIn, cache: SessionCache
    ) -> None:
        said = talk(chat)[:4]
        said[2] = AIMessage("Nice to meet you, Bob.")
        chat.invoke(said)
        assert server.requests == 4


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


@tool
def multiply(first: int, second: int) -> int:
    """Multiply two numbers."""
    return first * second


@tool(response_format="content_and_artifact")
def population(city: str) -> tuple[str, object]:
    """The population of a city."""
    return f"{city} has many inhabitants", {"run": object().__hash__()}


def question(text: str) -> Any:
    return {"messages": [HumanMessage(text)]}


class TestAgent:
    @pytest.mark.parametrize("text", ["What is the weather in Paris and Rome?", "Multiply 6 by 7."])
    def test_the_second_run_makes_no_call(
        self, chat: ChatOpenAI, server: StandIn, cache: SessionCache, text: str
    ) -> None:
        agent: Any = create_agent(chat, [weather, multiply])
        first = agent.invoke(question(text))["messages"]
        assert any(isinstance(message, ToolMessage) for message in first)
        made = server.requests
        assert made == 2
        for _ in range(2):
            again = agent.invoke(question(text))["messages"]
            assert contents(again) == contents(first)
        assert server.requests == made

    def test_in_async_too(self, chat: ChatOpenAI, server: StandIn, cache: SessionCache, run: Run) -> None:
        agent: Any = create_agent(chat, [weather, multiply])
        first = run(agent.ainvoke(question("What is the weather in Paris?")))["messages"]
        again = run(agent.ainvoke(question("What is the weather in Paris?")))["messages"]
        assert contents(again) == contents(first)
        assert server.requests == 2

    def test_a_tools_artifact_is_not_sent(
        self, chat: ChatOpenAI, server: StandIn, cache: SessionCache
    ) -> None:
        agent: Any = create_agent(chat, [population])
        for _ in range(2):
            messages = agent.invoke(question("What is the population of Paris?"))["messages"]
            assert any(getattr(message, "artifact", None) for message in messages)
        assert server.requests == 2


class State(TypedDict):
    messages: Annotated[list[BaseMessage], add_messages]


class TestGraph:
    def test_two_nodes_that_ask_the_same_keep_both_messages(
        self, chat: ChatOpenAI, server: StandIn, cache: SessionCache
    ) -> None:
        """LangGraph takes two messages with one id for one message."""

        def ask(_state: State) -> Any:
            return {"messages": [chat.invoke("What is the capital of France?")]}

        graph: Any = StateGraph(State)
        graph.add_node("one", ask)
        graph.add_node("two", ask)
        graph.add_edge(START, "one")
        graph.add_edge("one", "two")
        graph.add_edge("two", END)
        compiled = graph.compile()
        for _ in range(2):
            messages = compiled.invoke({"messages": []})["messages"]
            assert contents(messages) == ["Paris.", "Paris."]
            assert len({message.id for message in messages}) == 2
        assert server.requests == 1


PERSON = """
from pydantic import BaseModel

class Person(BaseModel):
    name: str
    age: int
"""


@pytest.fixture
def notebook() -> Iterator[Any]:
    """Runs source as a cell would: its classes have a module, and are defined anew each time."""
    module = types.ModuleType("a_notebook")
    sys.modules["a_notebook"] = module

    def run_cell(source: str) -> Any:
        exec(source, module.__dict__)
        return module

    yield run_cell
    del sys.modules["a_notebook"]


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
class TestStructuredOutput:
    ADA = "Ada Lovelace is 36"

    def test_a_class_defined_anew_is_answered_in_itself(
        self, chat: ChatOpenAI, server: StandIn, cache: SessionCache, notebook: Any, method: Any
    ) -> None:
        for _ in range(3):
            cell = notebook(PERSON)
            person: Any = chat.with_structured_output(cell.Person, method=method).invoke(self.ADA)
            assert type(person) is cell.Person
            assert (person.name, person.age) == ("Ada Lovelace", 36)
        assert server.requests == 1

    @pytest.mark.parametrize("field", ["city: str", "city: str = 'Paris'", "ages: list[int] = []"])
    def test_a_class_with_another_field_is_another_call(
        self, chat: ChatOpenAI, server: StandIn, cache: SessionCache, notebook: Any, method: Any, field: str
    ) -> None:
        chat.with_structured_output(notebook(PERSON).Person, method=method, strict=False).invoke(self.ADA)
        changed = notebook(f"{PERSON}    {field}\n").Person
        for _ in range(2):
            person = chat.with_structured_output(changed, method=method, strict=False).invoke(self.ADA)
            assert type(person) is changed
        assert server.requests == 2
        chat.with_structured_output(notebook(PERSON).Person, method=method, strict=False).invoke(self.ADA)
        assert server.requests == 2

    def test_an_old_class_still_in_use_is_not_taken_for_the_new_one(
        self, chat: ChatOpenAI, server: StandIn, cache: SessionCache, notebook: Any, method: Any, run: Run
    ) -> None:
        """A cell defines the class anew; a model that was made before still sends the old one."""
        old = chat.with_structured_output(notebook(PERSON).Person, method=method)
        changed = notebook(f"{PERSON}    city: str\n").Person
        new = chat.with_structured_output(changed, method=method)
        assert not hasattr(old.invoke(self.ADA), "city")
        assert hasattr(new.invoke(self.ADA), "city")
        assert server.requests == 2
        assert not hasattr(run(old.ainvoke(self.ADA)), "city")
        assert hasattr(run(new.ainvoke(self.ADA)), "city")
        assert server.requests == 2

    def test_classes_made_in_a_function_are_told_apart(
        self, chat: ChatOpenAI, server: StandIn, cache: SessionCache, notebook: Any, method: Any
    ) -> None:
        cell = notebook(
            "from pydantic import BaseModel, create_model\n"
            "def make(field):\n"
            "    class Found(BaseModel):\n"
            "        __annotations__ = {field: str}\n"
            "    return Found\n"
            "made = [create_model('Made', **{field: str}) for field in ('city', 'name')]\n"
        )
        for classes in ([cell.make("city"), cell.make("name")], cell.made):
            server.reset()
            for _ in range(2):
                for found, field in zip(classes, ("city", "name"), strict=True):
                    answer = chat.with_structured_output(found, method=method).invoke(self.ADA)
                    assert getattr(answer, field) == "Ada Lovelace"
            assert server.requests == 2

    def test_include_raw(
        self, chat: ChatOpenAI, server: StandIn, cache: SessionCache, notebook: Any, method: Any
    ) -> None:
        seen = []
        for _ in range(2):
            cell = notebook(PERSON)
            model = chat.with_structured_output(cell.Person, method=method, include_raw=True)
            answer: Any = model.invoke(self.ADA)
            assert type(answer["parsed"]) is cell.Person
            assert answer["parsing_error"] is None
            seen.append((answer["raw"].content, answer["raw"].tool_calls))
        assert seen[0] == seen[1]
        assert server.requests == 1

    def test_a_json_schema_and_a_typed_dict(
        self, chat: ChatOpenAI, server: StandIn, cache: SessionCache, method: Any
    ) -> None:
        schema = {
            "title": "person",
            "description": "A person",
            "type": "object",
            "properties": {"name": {"type": "string"}},
            "required": ["name"],
            "additionalProperties": False,
        }
        for _ in range(2):
            assert chat.with_structured_output(schema, method=method).invoke(self.ADA) == {
                "name": "Ada Lovelace"
            }
        assert server.requests == 1

    def test_editing_the_object_changes_no_later_one(
        self, chat: ChatOpenAI, server: StandIn, cache: SessionCache, notebook: Any, method: Any
    ) -> None:
        model = chat.with_structured_output(notebook(PERSON).Person, method=method)
        for _ in range(3):
            person: Any = model.invoke(self.ADA)
            assert person.name == "Ada Lovelace"
            person.name = "edited"
        assert server.requests == 1


def test_an_answer_that_no_longer_fits_says_so(
    chat: ChatOpenAI, make_chat: MakeChat, server: StandIn, cache: SessionCache, notebook: Any
) -> None:
    """A validator is not part of a schema: it judges a stored answer as it would a new one."""
    strict = PERSON + (
        "    @__import__('pydantic').field_validator('age')\n"
        "    def check(cls, age):\n"
        "        assert age > 99\n"
        "        return age\n"
    )
    chat.with_structured_output(notebook(PERSON).Person).invoke("Ada Lovelace is 36")
    with pytest.raises(ValidationError):
        chat.with_structured_output(notebook(strict).Person).invoke("Ada Lovelace is 36")
