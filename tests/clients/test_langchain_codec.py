"""LangChain's generations in a store: they come back equal, and hostile ones build nothing else."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, GenerationChunk
from pydantic import BaseModel, Field

from llmcache_jupyter import DecodingError, EncodingError
from llmcache_jupyter.caches import codec

CHAT = "langchain_core.outputs.chat_generation.ChatGeneration"
AI = "langchain_core.messages.ai.AIMessage"

CALL: Any = {
    "name": "search",
    "args": {"query": "q", "deep": [{"n": 1.5}]},
    "id": "call_1",
    "type": "tool_call",
}
BAD_CALL: Any = {
    "name": "search", "args": "{oops", "id": None, "error": "no JSON", "type": "invalid_tool_call"
}  # fmt: skip
USAGE: Any = {
    "input_tokens": 10,
    "output_tokens": 5,
    "total_tokens": 15,
    "input_token_details": {"cache_read": 3, "audio": 0, "ephemeral_5m_input_tokens": 4},
    "output_token_details": {"reasoning": 2},
}
BLOCKS: list[Any] = [
    "plain",
    {"type": "text", "text": "Hi", "annotations": [{"type": "url_citation", "url": "https://example.org"}]},
    {"type": "reasoning", "id": "rs_1", "summary": []},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    {"type": "tool_use", "id": "t", "name": "n", "input": {}},
]
LOGPROBS = {"content": [{"token": "Hi", "logprob": -0.25, "bytes": [72, 105], "top_logprobs": []}]}

MESSAGES = {
    "plain": AIMessage("Paris."),
    "empty": AIMessage(""),
    "blocks": AIMessage(BLOCKS, response_metadata={"output_version": "responses/v1"}),
    "no blocks": AIMessage([]),
    "id and name": AIMessage("x", id="run-1", name="bot"),
    "calls": AIMessage("", tool_calls=[CALL, CALL | {"id": None}], invalid_tool_calls=[BAD_CALL]),
    "calls as sent": AIMessage(
        "",
        additional_kwargs={
            "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "search", "arguments": '{"q": 1}'}},
                {"id": "d", "type": "function", "function": {"name": "search", "arguments": "{oops"}},
            ]
        },
    ),
    "usage": AIMessage("x", usage_metadata=USAGE, response_metadata={"logprobs": LOGPROBS, "n": None}),
    "refusal": AIMessage(
        "", additional_kwargs={"refusal": None, "function_call": {"name": "f", "arguments": ""}}
    ),
    "surrogate": AIMessage("\ud83d \0 🎈", additional_kwargs={"\ud83d": "\ud83d"}),
    "long": AIMessage("é" * 1_000_000),
}

TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.dictionaries(TEXT, VALUES, max_size=3)
CALLS = st.builds(
    lambda name, args, call: CALL | {"name": name, "args": args, "id": call}, TEXT, FIELDS, TEXT
)
COUNTS = st.integers(0, 2**60)
USAGES = st.builds(
    lambda total, read: USAGE | {"total_tokens": total, "input_token_details": {"cache_read": read}},
    COUNTS,
    COUNTS,
)
ANY_MESSAGE = st.builds(
    AIMessage,
    TEXT | st.lists(TEXT | st.builds(lambda text, more: more | {"type": "text", "text": text}, TEXT, FIELDS)),
    additional_kwargs=FIELDS,
    response_metadata=FIELDS,
    tool_calls=st.lists(CALLS, max_size=2),
    usage_metadata=st.none() | USAGES,
    id=st.none() | TEXT,
)


class City(BaseModel):
    """What a structured answer is parsed into."""

    name: str = Field(alias="city_name")
    population: int


class Opaque(BaseModel):
    """Structured output with something in it that has no data."""

    model_config = {"arbitrary_types_allowed": True}
    thing: object


class OwnGeneration(ChatGeneration):
    """A subclass is another class."""


def again(*generations: Any) -> list[Any]:
    return codec.decode(codec.encode(generations))


def same(one: Any, other: Any) -> bool:
    """Whether two pydantic objects are the same inside, which `==` of messages may not tell."""
    return one == other and type(one) is type(other) and repr(one) == repr(other)


class TestRoundTrip:
    @pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
    def test_messages_come_back_equal(self, message: AIMessage) -> None:
        for info in (None, {}, {"finish_reason": "stop", "logprobs": LOGPROBS}):
            generation = ChatGeneration(message=message, generation_info=info)
            [found] = again(generation)
            assert same(found, generation)
            assert same(found.message, message)

    @given(ANY_MESSAGE, st.none() | FIELDS)
    def test_any_message_does(self, message: AIMessage, info: dict[str, Any] | None) -> None:
        generation = ChatGeneration(message=message, generation_info=info)
        assert same(again(generation)[0], generation)

    def test_chunks(self) -> None:
        piece: Any = {"name": "f", "args": '{"a":', "id": "1", "index": 0, "type": "tool_call_chunk"}
        chunk = AIMessageChunk(
            content="x",
            tool_call_chunks=[piece],
            usage_metadata=USAGE,
            chunk_position="last",
            response_metadata={"a": 1},
        )
        for generation in (ChatGenerationChunk(message=chunk), ChatGeneration(message=chunk)):
            assert same(again(generation)[0], generation)

    @pytest.mark.parametrize("kind", [Generation, GenerationChunk])
    def test_plain_ones(self, kind: type[Generation]) -> None:
        generation = kind(text="t\ud83d", generation_info={"a": [{"b": None}]})
        assert same(again(generation)[0], generation)

    def test_several_of_several_kinds(self) -> None:
        several = [Generation(text="a"), ChatGeneration(message=AIMessage("b")), Generation(text="a")]
        assert again(*several) == several

    def test_structured_output_comes_back_as_data(self) -> None:
        message = AIMessage("{}", additional_kwargs={"parsed": City(city_name="Paris", population=2), "a": 1})
        [found] = again(ChatGeneration(message=message))
        assert found.message.additional_kwargs == {"parsed": {"city_name": "Paris", "population": 2}, "a": 1}
        assert isinstance(message.additional_kwargs["parsed"], City)  # the caller's own stays as it is


class TestWhatCannotBeWritten:
    @pytest.mark.parametrize(
        ("generation", "told"),
        [
            (OwnGeneration(message=AIMessage("x")), r"an answer of type .*OwnGeneration"),
            (ChatGeneration(message=HumanMessage("x")), r"a message of type .*HumanMessage"),
            (ChatGeneration(message=AIMessage("x", own=1)), r"a message with fields of its own \('own'\)"),
            (ChatGeneration(message=AIMessage("x", response_metadata={"a": b"x"})), r"builtins\.bytes"),
            (Generation(text="x", generation_info={"a": City}), r"a value of type .*ModelMetaclass"),
            (
                ChatGeneration(message=AIMessage("x", additional_kwargs={"parsed": Opaque(thing=object())})),
                "a structured answer of type .*Opaque cannot be written to a store",
            ),
        ],
        ids=["generation", "message", "extra", "bytes", "class", "parsed"],
    )
    def test_the_message_names_it(self, generation: Any, told: str) -> None:
        with pytest.raises(EncodingError, match=told):
            codec.encode([generation])


SECRET = "sk-planted-where-no-answer-may-show-it"
EXPLOITS: list[dict[str, Any]] = [
    {"lc": 1, "type": "secret", "id": ["OPENAI_API_KEY"]},
    {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain", "schema", "messages", "HumanMessage"],
        "kwargs": {"content": "built"},
    },
    {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain_core", "prompts", "prompt", "PromptTemplate"],
        "kwargs": {
            "template": "{{ self.__init__.__globals__ }}", "template_format": "jinja2", "input_variables": []
        },
    },
    {"lc": 1, "type": "constructor", "id": ["langchain_openai", "ChatOpenAI"], "kwargs": {}},
    {"lc": 1, "type": "not_implemented", "id": ["os", "system"], "repr": "os.system('x')"},
    {"__lc_escaped__": {"lc": 1, "type": "secret", "id": ["OPENAI_API_KEY"]}},
]  # fmt: skip


class TestExploit:
    """CVE-2025-68664: a dictionary in an answer that LangChain's `loads` takes for an object or a secret."""

    @pytest.mark.parametrize("planted", EXPLOITS, ids=range(len(EXPLOITS)))
    def test_it_stays_a_dictionary_wherever_it_stands(
        self, planted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", SECRET)
        message = AIMessage(
            [{"type": "text", "text": "x", "extras": planted}, planted],
            additional_kwargs={"a": planted, "parsed": planted, "list": [planted]},
            response_metadata={"a": planted},
            tool_calls=[CALL | {"args": {"a": planted}}],
        )
        answers: list[Any] = [
            ChatGeneration(message=message, generation_info={"a": planted, "deep": [[planted]]})
        ]
        answers += [Generation(text="x", generation_info={"a": planted})]
        modules = set(sys.modules)
        text = codec.encode(answers)
        found = codec.decode(text)
        assert found == answers
        assert SECRET not in text + repr(found)
        assert found[0].message.additional_kwargs["a"] == planted
        assert type(found[0].message.tool_calls[0]["args"]["a"]) is dict
        assert set(sys.modules) == modules

    def test_no_environment_variable_is_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        codec.decode(codec.encode([ChatGeneration(message=AIMessage("x"))]))  # LangChain is imported by now
        read: list[str] = []

        class Watched(dict[str, str]):
            def __getitem__(self, name: str) -> str:
                read.append(name)
                return super().__getitem__(name)

            def get(self, name: str, default: Any = None) -> Any:
                read.append(name)
                return super().get(name, default)

        monkeypatch.setattr(os, "environ", Watched(os.environ))
        for planted in EXPLOITS:
            codec.decode(planted_text(additional_kwargs={"a": planted}, response_metadata=planted))
        assert read == []

    @pytest.mark.parametrize("planted", EXPLOITS, ids=range(len(EXPLOITS)))
    def test_in_place_of_a_generation_or_a_message_it_is_refused(self, planted: dict[str, Any]) -> None:
        for text in (
            json.dumps({"v": 1, "generations": [planted]}),
            json.dumps(
                {"v": 1, "generations": [{"type": CHAT, "message": planted, "generation_info": None}]}
            ),
        ):
            with pytest.raises(DecodingError):
                codec.decode(text)


def planted_text(kind: str = CHAT, message_type: Any = AI, **fields: Any) -> str:
    message = {"type": message_type, "content": "x"} | fields
    return json.dumps({"v": 1, "generations": [{"type": kind, "message": message, "generation_info": None}]})


class TestHostileText:
    @pytest.mark.parametrize(
        "name",
        [
            "langchain_core.messages.human.HumanMessage", "langchain_core.messages.tool.ToolMessage",
            "langchain_core.prompts.prompt.PromptTemplate", "os.system", "antigravity.x", "idlelib.idle.x",
            "", None, ["a"], {"a": 1},
        ],
    )  # fmt: skip
    def test_no_other_message_is_built_or_imported(self, name: Any) -> None:
        before = set(sys.modules)
        with pytest.raises(DecodingError):
            codec.decode(planted_text(message_type=name))
        assert set(sys.modules) == before

    @pytest.mark.parametrize(
        "fields",
        [
            {"content": None}, {"content": 1}, {"content": [1]}, {"content": {"a": 1}},
            {"additional_kwargs": []}, {"response_metadata": "x"},
            {"tool_calls": "x"}, {"tool_calls": [1]}, {"tool_calls": [{}]},
            {"usage_metadata": {"input_tokens": "many"}}, {"usage_metadata": []}, {"id": []}, {"name": {}},
        ],
        ids=str,
    )  # fmt: skip
    def test_fields_of_other_types_are_refused(self, fields: dict[str, Any]) -> None:
        with pytest.raises(DecodingError, match="it is no langchain_core"):
            codec.decode(planted_text(**fields))

    @pytest.mark.parametrize(
        "field", ["lc_attributes", "__class__", "__dict__", "model_config", "type_", "own"]
    )
    def test_other_fields_are_left_out(self, field: str) -> None:
        [found] = codec.decode(planted_text(**{field: "planted"}))
        assert same(found, ChatGeneration(message=AIMessage("x")))

    @pytest.mark.parametrize(
        "fields", [{}, {"message": {}}, {"message": []}, {"message": {"type": AI}, "generation_info": None}]
    )
    def test_missing_fields_are_a_decoding_error(self, fields: dict[str, Any]) -> None:
        with pytest.raises(DecodingError):
            codec.decode(json.dumps({"v": 1, "generations": [{"type": CHAT} | fields]}))

    @given(st.dictionaries(st.sampled_from([*AIMessage.model_fields, "type"]), VALUES, max_size=4))
    def test_any_fields_are_an_answer_or_a_decoding_error(self, fields: dict[str, Any]) -> None:
        try:
            [found] = codec.decode(planted_text(**fields | {"message_type": AI}))
        except DecodingError:
            return
        assert (type(found), type(found.message)) == (ChatGeneration, AIMessage)
