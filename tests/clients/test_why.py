"""`why` explains what LangChain's real client asked."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr, create_model
from stand_in import StandIn

from llmcache_jupyter import Session
from llmcache_jupyter.session.identity import schema
from tests.clients.conftest import MakeChat, Run

FRANCE = "What is the capital of France?"


@pytest.fixture
def session() -> Iterator[Session]:
    session = Session()
    session.activate()
    yield session
    session.deactivate()


def said(session: Session) -> list[str]:
    return [difference.words for difference in session.why().differences]


def city(fields: dict[str, Any]) -> type[BaseModel]:
    """A class of this name, as a cell that is edited and run again makes."""
    definitions: dict[str, Any] = {name: (kind, ...) for name, kind in fields.items()}
    return create_model("City", **definitions)


class TestSettings:
    def test_temperature(self, make_chat: MakeChat, session: Session) -> None:
        make_chat(temperature=0).invoke(FRANCE)
        make_chat(temperature=0.2).invoke(FRANCE)
        assert said(session) == ["temperature 0 -> 0.2"]
        assert session.why().stored_now

    def test_a_changed_field(self, make_chat: MakeChat, session: Session) -> None:
        chat = make_chat(temperature=0)
        chat.invoke(FRANCE)
        chat.temperature = 1
        chat.invoke(FRANCE)
        assert said(session) == ["temperature 0 -> 1"]
        (note,) = session.why().notes
        assert "`temperature` changed after the model's first call" in note

    def test_model_and_address(self, make_chat: MakeChat, session: Session) -> None:
        make_chat().invoke(FRANCE)
        make_chat(model="stand-in-2").invoke(FRANCE)
        assert said(session) == ["model stand-in -> stand-in-2"]
        with StandIn(port=0) as second:
            key = SecretStr("unused")
            ChatOpenAI(base_url=second.base_url, model="stand-in", max_retries=0, api_key=key).invoke(FRANCE)
        (words,) = said(session)
        assert words.startswith("base_url http://127.0.0.1:")

    def test_stop(self, chat: ChatOpenAI, session: Session) -> None:
        chat.invoke(FRANCE)
        chat.invoke(FRANCE, stop=["end"])
        assert said(session) == ['stop ["end"] was added']

    def test_tools(self, chat: ChatOpenAI, session: Session) -> None:
        @tool
        def search(query: str) -> str:
            """Search the documents."""
            return query

        chat.bind_tools([search]).invoke(FRANCE)

        @tool("search")
        def search_better(query: str, limit: int = 5) -> str:
            """Search all documents."""
            return query

        chat.bind_tools([search_better]).invoke(FRANCE)
        assert said(session) == [
            "tool `search` changed its description",
            "tool `search` changed its parameters: `limit` was added",
        ]

    @pytest.mark.parametrize(
        ("edited", "told"),
        [
            ({"name": str, "people": int, "area": float}, ": `area` was added"),
            ({"people": int}, ": `name` was removed"),
            ({"name": str, "people": float}, ": `people` changed"),
            ({"people": int, "name": str}, ": now in the order `people`, `name`"),
        ],
    )
    def test_structured_output(
        self, chat: ChatOpenAI, session: Session, edited: dict[str, Any], told: str
    ) -> None:
        for fields in ({"name": str, "people": int}, edited):
            with suppress(OutputParserException, ValueError):  # the stand-in's answer need not fit
                chat.with_structured_output(city(fields), method="json_schema").invoke(FRANCE)
        assert said(session) == [f"structured output schema changed{told}"]

    def test_structured_output_of_a_class_seen_by_another_kernel(
        self, chat: ChatOpenAI, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for fields in ({"name": str}, {"name": int}):
            monkeypatch.setattr(schema, "_texts", OrderedDict())
            with suppress(OutputParserException, ValueError):
                chat.with_structured_output(city(fields), method="json_schema").invoke(FRANCE)
        assert said(session) == [
            "structured output schema changed: the class has other fields or descriptions"
        ]

    def test_another_order_of_properties(self, make_chat: MakeChat, session: Session) -> None:
        for names in ("ab", "ba"):
            schema = {"properties": {name: {"type": "string"} for name in names}}
            make_chat(model_kwargs={"response_format": schema}).invoke(FRANCE)
        assert said(session) == ["the properties of a schema are in another order"]


class TestPrompts:
    def test_an_edited_message(self, chat: ChatOpenAI, session: Session) -> None:
        system = SystemMessage("Be brief.")
        chat.invoke([system, HumanMessage(FRANCE)])
        chat.invoke([system, HumanMessage("What is the capital of Spain?")])
        assert said(session) == ["message 2 (human) differs at character 24"]

    def test_a_longer_chat(self, chat: ChatOpenAI, session: Session) -> None:
        chat.invoke([HumanMessage(FRANCE)])
        chat.invoke([HumanMessage(FRANCE), AIMessage("Paris."), HumanMessage("And of Spain?")])
        assert said(session) == [
            "message 2 (ai) was added: 'Paris.'",
            "message 3 (human) was added: 'And of Spain?'",
        ]

    def test_async_and_batch(self, chat: ChatOpenAI, session: Session, run: Run) -> None:
        async def ask() -> None:
            await asyncio.gather(*(chat.ainvoke(f"What is {number} plus 1?") for number in (1, 2)))

        run(ask())
        chat.batch([FRANCE, "What is the capital of Spain?"])
        why = session.why("What is 2 plus 1?")
        assert why.call is not None
        assert why.stored_now
        assert session.why(FRANCE).call is not None
