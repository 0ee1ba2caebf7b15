"""Plain chat answers: what is built without LangChain's constructors is what they would build."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration
from pydantic import field_validator

from llmcache_jupyter.clients.langchain_answer import PlainAnswers

TYPE = {"type": "langchain_core.messages.ai.AIMessage"}
USAGE: dict[str, Any] = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
DETAILS: dict[str, Any] = {
    "input_token_details": {"cache_read": 3, "ephemeral_5m_input_tokens": 4},
    "output_token_details": {"reasoning": 2},
}
TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.dictionaries(st.sampled_from(["refusal", "parsed", "a"]) | TEXT, VALUES, max_size=3)
PLAIN = st.fixed_dictionaries(
    {"content": TEXT},
    optional={
        "additional_kwargs": FIELDS,
        "response_metadata": FIELDS,
        "usage_metadata": st.sampled_from([USAGE, USAGE | DETAILS]),
        "id": TEXT,
        "name": TEXT,
    },
)
ANY = st.dictionaries(st.sampled_from(list(AIMessage.model_fields)), VALUES | st.just(USAGE), max_size=5)

ANSWERS = PlainAnswers(ChatGeneration, AIMessage)


def inside(model: Any) -> Any:
    """All of a pydantic object, which `==` and `repr` do not tell."""
    if not hasattr(model, "__pydantic_fields_set__"):
        return type(model), model
    fields = [(name, inside(part)) for name, part in model.__dict__.items()]
    about = (model.__pydantic_extra__, model.__pydantic_fields_set__, model.__pydantic_private__)
    return type(model), fields, about


def constructed(fields: dict[str, Any], info: Any) -> ChatGeneration:
    fields = {name: part for name, part in fields.items() if name != "type"}
    return ChatGeneration(message=AIMessage(**deepcopy(fields)), generation_info=info)


@given(PLAIN, st.none() | FIELDS)
def test_a_plain_answer_is_what_the_constructors_make(fields: dict[str, Any], info: Any) -> None:
    built = ANSWERS.build(TYPE | fields, info)
    assert inside(built) == inside(constructed(fields, info))


@given(ANY, st.none() | FIELDS)
def test_what_is_built_of_any_fields_is_what_the_constructors_make(fields: dict[str, Any], info: Any) -> None:
    built = ANSWERS.build(TYPE | fields, info)
    if built is not None:
        assert inside(built) == inside(constructed(fields, info))


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"content": None}, {"content": ["x"]}, {"content": "x", "own": 1}, {"content": "x", "id": 1},
        {"content": "x", "tool_calls": []}, {"content": "x", "additional_kwargs": {"tool_calls": []}},
        {"content": "x", "additional_kwargs": []}, {"content": "x", "response_metadata": None},
        {"content": "x", "usage_metadata": {}}, {"content": "x", "usage_metadata": USAGE | {"cost": 1}},
        {"content": "x", "usage_metadata": USAGE | {"total_tokens": True}},
        {"content": "x", "usage_metadata": USAGE | {"input_token_details": {"audio": 1.0}}},
        {"content": "x", "usage_metadata": USAGE | {"input_token_details": None}},
    ],
    ids=str,
)  # fmt: skip
def test_others_are_left_to_the_constructors(fields: dict[str, Any]) -> None:
    assert ANSWERS.build(TYPE | fields, None) is None
    assert ANSWERS.build({"content": "x"}, ["no", "fields"]) is None


def test_answers_share_nothing() -> None:
    one, other = (ANSWERS.build({"content": "x"}, None) for _ in range(2))
    assert one is not None
    assert other is not None
    one.message.additional_kwargs["a"] = one.message.response_metadata["a"] = 1
    one.message.tool_calls.append(1)
    one.message.invalid_tool_calls.append(1)
    one.message.__pydantic_extra__["a"] = 1
    assert inside(other) == inside(constructed({"content": "x"}, None))


def test_where_the_constructors_do_more_nothing_is_built() -> None:
    class Shouting(AIMessage):
        @field_validator("content")
        @classmethod
        def _shout(cls, content: str) -> str:
            return content.upper()

    assert PlainAnswers(ChatGeneration, Shouting).build({"content": "x"}, None) is None
