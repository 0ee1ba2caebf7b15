"""Copies of answers: equal, and sharing nothing that could be changed."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk
from langchain_core.outputs import Generation as LangChainGeneration
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from llmcache_jupyter.caches import Entry, Generation
from llmcache_jupyter.session.isolation import Copies, isolated, storable

CALL: Any = {"name": "f", "args": {"x": [1, {"y": 2}]}, "id": "call_1", "type": "tool_call"}
USAGE: Any = {
    "input_tokens": 1,
    "output_tokens": 2,
    "total_tokens": 3,
    "input_token_details": {"cache_read": 0},
}


class Person(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str
    tags: list[str] = []


class Secretive(BaseModel):
    name: str
    _kept: list[str] = PrivateAttr(default_factory=list)


def full_message(kind: Any = AIMessage) -> Any:
    return kind(
        [{"type": "text", "text": "Hi", "annotations": [{"url": "u"}]}],
        additional_kwargs={"parsed": Person(name="Ada", tags=["t"], more=[1])},  # type: ignore[call-arg]
        response_metadata={
            "token_usage": {"details": {"reasoning": 1}},
            "when": datetime(2024, 1, 1, tzinfo=UTC),
        },
        usage_metadata=USAGE,
        tool_calls=[CALL],
        id="run-1",
        name="ada",
    )


def mutable_parts(value: Any, seen: dict[int, Any] | None = None) -> dict[int, Any]:
    """Everything inside `value` that could be changed, by identity."""
    seen = {} if seen is None else seen
    if isinstance(value, str | int | float | bool | bytes | type(None) | datetime | type):
        return seen
    if id(value) in seen:
        return seen
    if not isinstance(value, tuple | frozenset):
        seen[id(value)] = value
    parts: list[Any] = []
    if isinstance(value, dict):
        parts += [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        parts += value
    for name in ("__dict__", "__pydantic_extra__", "__pydantic_private__", "__pydantic_fields_set__"):
        parts.append(getattr(value, name, None))
    if isinstance(value, Generation):
        parts += [value.generation_info]
    for part in parts:
        mutable_parts(part, seen)
    return seen


VALUES: list[Any] = [
    Generation("Hi", {"a": {"b": [1]}}),
    LangChainGeneration(text="Hi", generation_info={"a": {"b": [1]}}),
    ChatGeneration(message=full_message(), generation_info={"logprobs": [{"token": "H"}]}),
    ChatGenerationChunk(message=full_message(AIMessageChunk)),
    {"a": ([1], {2}), "b": OrderedDict(x=[1])},
    Person(name="Ada", tags=["t"], more={"deep": [1]}),  # type: ignore[call-arg]
    SimpleNamespace(text="Hi", notes=["n"]),
    "text",
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_copy_is_equal_and_shares_nothing(value: Any) -> None:
    (copy,) = isolated([value])
    assert type(copy) is type(value)
    assert copy == value
    assert not mutable_parts(copy).keys() & mutable_parts(value).keys()


def test_what_pydantic_keeps_aside_is_copied_too() -> None:
    one = Secretive(name="a")
    one._kept.append("x")
    (copy,) = isolated([one])
    copy._kept.append("y")
    assert one._kept == ["x"]
    message = full_message()
    (twin,) = isolated([message])
    twin.content = "set"
    twin.model_fields_set.add("example")
    assert message.model_fields_set == full_message().model_fields_set


def test_several_stay_in_order() -> None:
    assert isolated([1, "b", 3]) == [1, "b", 3]
    assert isolated(()) == []


def test_what_cannot_be_copied_is_named() -> None:
    class Locked:
        def __init__(self) -> None:
            self.lock = threading.Lock()

    class Refusing:
        def __deepcopy__(self, memo: Any) -> Any:
            raise RuntimeError("never")

    with pytest.raises(TypeError, match=r"an answer of type Locked, str cannot be copied"):
        isolated(["text", Locked()])
    with pytest.raises(TypeError, match="never"):
        isolated([Refusing()])
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(TypeError, match="recursion"):
        isolated([endless])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_any_json_is_copied_whole(value: Any) -> None:
    generation = ChatGeneration(message=AIMessage("Hi", additional_kwargs={"value": value}))
    (copy,) = isolated([generation])
    assert copy == generation
    assert not mutable_parts(copy).keys() & mutable_parts(generation).keys()


class TestCopies:
    def test_each_is_equal_and_shares_nothing_with_the_others(self) -> None:
        entry, copies = Entry(("p", "m"), VALUES, 1.0), Copies()
        one, two = copies.of(entry), copies.of(entry)
        assert one == two == VALUES
        parts = [mutable_parts(value).keys() for value in (one, two, VALUES)]
        assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]

    def test_a_new_answer_to_the_same_call_takes_the_place_of_the_old_one(self) -> None:
        copies = Copies()
        assert copies.of(Entry(("p", "m"), [{"a": [1]}], 1.0)) == [{"a": [1]}]
        assert copies.of(Entry(("p", "m"), [{"b": [2]}], 1.0)) == [{"b": [2]}]

    @pytest.mark.parametrize("more", [0, 256])
    def test_answers_are_held_until_there_are_many_or_it_is_to_forget(self, more: int) -> None:
        class Answer:
            pass

        copies, answer = Copies(), Answer()
        copies.of(Entry(("first", "m"), [answer], 1.0))
        held = weakref.ref(answer)
        del answer
        assert held() is not None
        for number in range(more):
            copies.of(Entry((str(number), "m"), ["text"], 1.0))
        if not more:
            copies.forget()
        assert held() is None

    def test_what_cannot_be_copied_is_named(self) -> None:
        with pytest.raises(TypeError, match="an answer of type lock cannot be copied"):
            Copies().of(Entry(("p", "m"), [threading.Lock()], 1.0))


class TestStorable:
    def test_the_message_id_goes_and_all_else_stays(self) -> None:
        original = ChatGeneration(message=full_message())
        (kept,) = storable([original])
        assert kept.message.id is None
        assert original.message.id == "run-1"
        assert kept.message.model_dump(exclude={"id"}) == original.message.model_dump(exclude={"id"})

    def test_a_structured_answer_becomes_data(self) -> None:
        class Inner(BaseModel):
            when: datetime

        class Outer(BaseModel):
            model_config = ConfigDict(populate_by_name=True)
            inner: Inner
            first_name: str = Field(alias="firstName")

        parsed = Outer(inner=Inner(when=datetime(2024, 1, 1, tzinfo=UTC)), firstName="Ada")
        (kept,) = storable([ChatGeneration(message=AIMessage("", additional_kwargs={"parsed": parsed}))])
        data = kept.message.additional_kwargs["parsed"]
        assert data == {"inner": {"when": "2024-01-01T00:00:00Z"}, "firstName": "Ada"}
        assert Outer(**data) == parsed

    @pytest.mark.parametrize("parsed", [None, {"a": 1}, "text", [1]])
    def test_data_stays_data(self, parsed: Any) -> None:
        (kept,) = storable([ChatGeneration(message=AIMessage("", additional_kwargs={"parsed": parsed}))])
        assert kept.message.additional_kwargs == {"parsed": parsed}

    def test_answers_without_a_message(self) -> None:
        assert storable([Generation("Hi"), "text"]) == [Generation("Hi"), "text"]
