"""Generation, and how any answer is read by its shape."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration

from llmcache_jupyter.caches import Generation
from llmcache_jupyter.caches.generation import (
    answer_text,
    generation_text,
    tool_call_text,
    tool_calls,
    total_tokens,
)

CALL: Any = {
    "name": "weather",
    "args": {"city": "Łódź", "days": 3, "at": None},
    "id": "1",
    "type": "tool_call",
}


def of(content: Any = "", **fields: Any) -> ChatGeneration:
    return ChatGeneration(message=AIMessage(content, **fields))


def test_texts_of_ours_and_of_langchains() -> None:
    assert generation_text(Generation("Hi")) == generation_text(of("Hi")) == "Hi"
    assert generation_text(of([{"type": "text", "text": "Hi"}])) == "Hi"
    assert generation_text(object()) == ""


def test_several_answers_are_paragraphs() -> None:
    assert answer_text([Generation("one"), Generation(""), Generation("two")]) == "one\n\ntwo"
    assert answer_text([]) == ""


def test_tool_calls_are_lines() -> None:
    said = of("Let me see.", tool_calls=[CALL, {**CALL, "args": {}}])
    assert generation_text(said) == 'Let me see.\nweather(city="Łódź", days=3, at=null)\nweather()'
    assert tool_calls(said)[0]["args"] == CALL["args"]
    assert tool_calls(Generation("Hi")) == []


@pytest.mark.parametrize(
    ("call", "shown"),
    [
        ({"name": "f", "args": "raw {"}, "f(raw {)"),
        ({"name": "f", "args": None}, "f()"),
        ({"name": "f", "args": {"x": {1}}}, "f(x=\"{1}\")"),
        ({}, "None()"),
    ],
)  # fmt: skip
def test_a_tool_call_of_any_kind_can_be_shown(call: Any, shown: str) -> None:
    assert tool_call_text(call) == shown


def test_tokens_are_those_of_the_request() -> None:
    usage: Any = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    assert total_tokens([of(usage_metadata=usage), of(usage_metadata=usage)]) == 7
    assert total_tokens([of(), of(usage_metadata=usage)]) == 7
    zero: Any = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    assert total_tokens([of(usage_metadata=zero)]) == 0


@pytest.mark.parametrize(
    "usage", [None, {}, {"total_tokens": None}, {"total_tokens": "7"}, 7, "many", object()]
)
def test_what_is_no_number_of_tokens_is_unknown(usage: Any) -> None:
    assert total_tokens([SimpleNamespace(message=SimpleNamespace(usage_metadata=usage))]) is None
    assert total_tokens([Generation("Hi"), object()]) is None
