"""Canonical keys: what is not sent makes no difference, what is sent does."""

from __future__ import annotations

import gc
import json
import re
import sys
from types import SimpleNamespace
from typing import Any
from weakref import ref

import pytest
from langchain_core.load import dumps
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field, SecretStr, create_model
from pydantic.errors import PydanticInvalidForJsonSchema

from llmcache_jupyter.caches.llm_string import model_name
from llmcache_jupyter.session.identity.keys import canonical_key
from llmcache_jupyter.session.identity.schema import schema_digest
from tests.caches.contract import COLLIDING, TRICKY

LLM = "[('model_name', 'm')]"
CALL = {"name": "f", "args": {"x": 1}, "id": "call_1", "type": "tool_call"}
BLOCKS: list[str | dict[str, Any]] = [{"type": "text", "text": "Hello."}]


def key(*messages: BaseMessage) -> str:
    """The prompt's part of the key, of a chat that LangChain serialised."""
    return canonical_key(dumps([HumanMessage("Hi"), *messages, HumanMessage("And?")]), LLM)[0]


def said(content: Any = "Hello.", **fields: Any) -> AIMessage:
    return AIMessage(content, **fields)


USAGE: Any = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
ABOUT = {
    "token_usage": {"total_tokens": 3},
    "model_name": "m-2024",
    "model": "m",
    "system_fingerprint": "fp_1",
    "finish_reason": "stop",
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "logprobs": None,
    "service_tier": "default",
    "created": 17,
    "created_at": "2024",
    "usage": {"output_tokens": 2},
    "headers": {"x": "y"},
    "total_duration": 1,
    "done_reason": "stop",
    "id": "chatcmpl-1",
    "model_provider": "openai",
}


class TestWhatIsNotSent:
    @pytest.mark.parametrize(
        "fields",
        [
            {"usage_metadata": USAGE},
            {"usage_metadata": {**USAGE, "total_cost": 0}},
            {"id": "run-1"},
            {"additional_kwargs": {"parsed": {"a": 1}}},
            {"additional_kwargs": {"refusal": None}},
            {"response_metadata": ABOUT},
            *({"response_metadata": {name: value}} for name, value in ABOUT.items()),
            {
                "id": "x",
                "usage_metadata": USAGE,
                "response_metadata": ABOUT,
                "additional_kwargs": {"parsed": 1},
            },
        ],
        ids=str,
    )
    def test_of_an_answer(self, fields: dict[str, Any]) -> None:
        assert key(said(**fields)) == key(said())

    def test_a_streamed_answer_is_an_answer(self) -> None:
        chunk = AIMessageChunk(content="Hello.", id="run-1", usage_metadata=USAGE, chunk_position="last")
        assert key(chunk) == key(said())
        streamed = AIMessageChunk(
            content="",
            tool_call_chunks=[
                {"name": "f", "args": '{"x": 1}', "id": "call_1", "index": 0, "type": "tool_call_chunk"}
            ],
        )
        assert streamed.tool_calls
        assert key(streamed) == key(said("", tool_calls=[CALL]))

    def test_a_tools_artifact(self) -> None:
        assert key(ToolMessage("t", tool_call_id="1", artifact={"big": 1})) == key(
            ToolMessage("t", tool_call_id="1")
        )

    def test_the_answer_once_more_as_an_object(self) -> None:
        """LangChain writes an object it cannot serialise as `not_implemented`, with its repr."""
        assert key(said(additional_kwargs={"parsed": object()})) == key(said())


DIFFERENT: list[BaseMessage] = [
    said(),
    said("hello."),
    said("Hello. "),
    said(""),
    said(BLOCKS),
    said([*BLOCKS, *BLOCKS]),
    said([{"type": "text", "text": "Hello.", "annotations": []}]),
    said([{"type": "reasoning", "reasoning": "…", "id": "rs_1"}]),
    said([{"type": "reasoning", "reasoning": "…", "id": "rs_2"}]),
    said([{"type": "thinking", "thinking": "…", "signature": "a"}]),
    said([{"type": "thinking", "thinking": "…", "signature": "b"}]),
    said(name="ada"),
    said(tool_calls=[CALL]),
    said(tool_calls=[{**CALL, "id": "call_2"}]),
    said(tool_calls=[{**CALL, "name": "g"}]),
    said(tool_calls=[{**CALL, "args": {"x": 2}}]),
    said(tool_calls=[{**CALL, "args": {"x": "1"}}]),
    said(tool_calls=[{**CALL, "args": {"x": 1.0}}]),
    said(tool_calls=[{**CALL, "args": {"x": True}}]),
    said(tool_calls=[{**CALL, "args": {"x": None}}]),
    said(tool_calls=[CALL, {**CALL, "id": "call_2"}]),
    said(
        invalid_tool_calls=[
            {"name": "f", "args": "{", "id": "call_1", "error": None, "type": "invalid_tool_call"}
        ]
    ),
    said(additional_kwargs={"refusal": "No."}),
    said(additional_kwargs={"reasoning_content": "…"}),
    said(additional_kwargs={"function_call": {"name": "f", "arguments": "{}"}}),
    said(additional_kwargs={"audio": {"id": "audio_1"}}),
    said(additional_kwargs={"signature": "abc"}),
    said(response_metadata={"id": "resp_1"}),
    said(response_metadata={"id": "resp_2"}),
    said(response_metadata={"safety_ratings": []}),
    said(BLOCKS, response_metadata={"model_provider": "openai"}),
    said(BLOCKS, response_metadata={"model_provider": "anthropic"}),
    said(BLOCKS, response_metadata={"output_version": "v1"}),
    SystemMessage("Hello."),
    HumanMessage("Hello."),
    HumanMessage("Hello.", name="ada"),
    HumanMessage("Hello.", id="a"),
    HumanMessage("Hello.", additional_kwargs={"parsed": 1}),
    HumanMessage("Hello.", response_metadata={"model": "m"}),
    SystemMessage("Hello.", additional_kwargs={"__openai_role__": "developer"}),
    ChatMessage(content="Hello.", role="critic"),
    ChatMessage(content="Hello.", role="author"),
    FunctionMessage(content="Hello.", name="f"),
    ToolMessage("Hello.", tool_call_id="1"),
    ToolMessage("Hello.", tool_call_id="2"),
    ToolMessage("Hello.", tool_call_id="1", status="error"),
    ToolMessage("Hello.", tool_call_id="1", name="f"),
    ToolMessage("Hello.", tool_call_id="1", additional_kwargs={"is_error": True}),
]


class TestWhatIsSent:
    def test_each_of_these_is_another_call(self) -> None:
        seen: dict[str, BaseMessage] = {}
        for message in DIFFERENT:
            found = key(message)
            assert found not in seen, (message, seen[found])
            seen[found] = message

    def test_the_order_is_kept(self) -> None:
        one, other = said("1", id="a"), said("2", id="b")
        assert key(one, other) != key(other, one)
        assert key(one) != key(one, one)

    def test_a_last_answer_that_is_to_be_continued(self) -> None:
        assert canonical_key(dumps([HumanMessage("Hi"), said("He")]), LLM) != canonical_key(
            dumps([HumanMessage("Hi"), said("Hel")]), LLM
        )

    def test_two_configurations_are_two_calls(self) -> None:
        prompt = dumps([HumanMessage("Hi"), said()])
        assert canonical_key(prompt, LLM) != canonical_key(prompt, LLM + " ")

    @pytest.mark.parametrize(("one", "other"), COLLIDING)
    def test_pairs_stay_pairs(self, one: tuple[str, str], other: tuple[str, str]) -> None:
        assert canonical_key(*one) != canonical_key(*other)


def of_model(**fields: Any) -> str:
    """The configuration's part of the key, of a real client's call."""
    model = ChatOpenAI(**{"model": "m", "api_key": "replay", "base_url": "http://127.0.0.1:9/v1", **fields})
    return canonical_key("Hi", model._get_llm_string(stop=["end"]))[1]


def of_call(**bound: Any) -> str:
    model = ChatOpenAI(model="m", api_key=SecretStr("replay"))
    return canonical_key("Hi", model._get_llm_string(stop=["end"], **bound))[1]


class TestWhoCalls:
    @pytest.mark.parametrize(
        "fields",
        [
            {"api_key": "sk-another"},
            {"api_key": lambda: "sk-another"},
            {"organization": "org-1"},
            {"max_retries": 7},
            {"timeout": 3},
            {"name": "my model"},
            {"stream_usage": True},
            {"openai_proxy": "http://me:pw@127.0.0.1:9"},
            {"default_headers": {"X-Api-Key": "abc", "Authorization": "Bearer abc"}},
            {"base_url": "http://me:pw@127.0.0.1:9/v1"},
            {"base_url": "http://127.0.0.1:9/v1/"},
            {"verbose": True, "tags": ["t"], "metadata": {"a": 1}, "cache": True, "callbacks": []},
        ],
        ids=", ".join,
    )
    def test_it_makes_no_difference(self, fields: dict[str, Any]) -> None:
        assert of_model(**fields) == of_model()

    def test_a_key_from_the_environment_is_none_either(self, monkeypatch: pytest.MonkeyPatch) -> None:
        given = of_model()
        monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")
        monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
        model = ChatOpenAI(model="m", base_url="http://127.0.0.1:9/v1")
        assert canonical_key("Hi", model._get_llm_string(stop=["end"]))[1] == given
        assert "secret" not in given

    def test_nor_the_services_own_address_when_it_is_given(self) -> None:
        for address in ("https://api.openai.com/v1", "https://api.openai.com/v1/"):
            assert of_model(base_url=address) == of_model(base_url=None)

    @pytest.mark.parametrize("bound", [{"timeout": 9}, {"timeout": None}, {"request_timeout": 9.5}], ids=str)
    def test_nor_how_patiently_one_call_is_made(self, bound: dict[str, Any]) -> None:
        assert of_call(temperature=1, **bound) == of_call(temperature=1)

    def test_a_number_is_the_same_one_with_a_point(self) -> None:
        assert of_call(temperature=0) == of_call(temperature=0.0)
        kept = [of_call(temperature=value) for value in (0, 1, 0.5, False, "0", None)]
        assert len(set(kept)) == len(kept)

    def test_a_client_whose_key_is_not_in_its_configuration(self) -> None:
        with_key = ChatOpenAI(model="m", api_key=SecretStr("replay"))._get_llm_string()
        model = json.loads(with_key.partition("---")[0])
        del model["kwargs"]["openai_api_key"]
        model["kwargs"] |= {"openai_proxy": None, "output_version": None}  # as langchain-openai 1.1 has it
        without = json.dumps(model, sort_keys=True) + "---" + with_key.partition("---")[2]
        assert canonical_key("Hi", without) == canonical_key("Hi", with_key)

    @pytest.mark.parametrize(
        "fields",
        [
            {"model": "n"},
            {"temperature": 0.2},
            {"temperature": 0},
            {"seed": 1},
            {"max_tokens": 5},
            {"base_url": "http://127.0.0.1:8/v1"},
            {"default_headers": {"X-Style": "short"}},
            {"default_headers": {"X-Style": "long", "X-Api-Key": "abc"}},
            {"extra_body": {"name": "n"}},
            {"model_kwargs": {"user": "u"}},
            {"n": 2},
            {"reasoning_effort": "low"},
        ],
        ids=str,
    )
    def test_what_is_sent_does(self, fields: dict[str, Any]) -> None:
        assert of_model(**fields) != of_model()

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ({"model": "xai-grok-4-0709"}, {"model": "xai-grok-3-mini"}),
            ({"model": "hf-mistral-7b-instruct"}, {"model": "hf-llama-70b-chat"}),
            ({"model": "ft:gpt-4o:org:sk-tuned-v1"}, {"model": "ft:gpt-4o:org:sk-tuned-v2"}),
            ({"base_url": "http://hf-llama-prod:8000/v1"}, {"base_url": "http://hf-mistral-prod:8000/v1"}),
            ({"base_url": "http://gw/pk-team-alpha/v1"}, {"base_url": "http://gw/pk-team-beta-x/v1"}),
            ({"extra_body": {"secret_word": "apple"}}, {"extra_body": {"secret_word": "pear"}}),
            (
                {"extra_body": {"auth": "hf_adapter_number_1"}},
                {"extra_body": {"auth": "hf_adapter_number_2"}},
            ),
        ],
        ids=str,
    )
    def test_what_only_looks_like_a_credential_does(self, one: Any, other: Any) -> None:
        assert of_model(**one) != of_model(**other)

    @pytest.mark.parametrize(
        "names", [("xai-grok-4-0709", "xai-grok-3-mini"), ("hf_search_v1", "hf_lookup_v2")]
    )
    def test_so_do_names_that_are_bound_to_a_call(self, names: tuple[str, str]) -> None:
        model = ChatOpenAI(model="m", api_key=SecretStr("replay"))
        for what in ({"model": name} for name in names), ({"tools": [{"name": name}]} for name in names):
            one, other = (canonical_key("Hi", model._get_llm_string(**bound)) for bound in what)
            assert one != other

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ({"stop": ["secret", "end"]}, {"stop": ["secret", "fin"]}),
            ({"extra_body": {"secret": "apple"}}, {"extra_body": {"secret": "banana"}}),
            *(
                ({"tools": [{"enum": [word, "otp"]}]}, {"tools": [{"enum": [word, "sms"]}]})
                for word in ("password", "api_key", "authorization", "cookie", "access_token")
            ),
            (
                {"tools": [{"properties": {"api_key": "string"}}]},
                {"tools": [{"properties": {"api_key": "integer"}}]},
            ),
            ({"tools": ("password", "otp")}, {"tools": ("password", "sms")}),
        ],
        ids=str,
    )
    def test_nor_do_words_beside_one_that_means_a_secret(self, one: Any, other: Any) -> None:
        model = ChatOpenAI(model="m", api_key=SecretStr("replay"))
        keys = [canonical_key("Hi", model._get_llm_string(**bound)) for bound in (one, other)]
        assert keys[0] != keys[1]

    def test_a_models_name_is_told_though_it_looks_like_a_key(self) -> None:
        assert model_name(of_model(model="xai-grok-4-0709")) == "xai-grok-4-0709"

    def test_what_looks_like_a_credential_is_not_in_it(self) -> None:
        given = of_model(extra_body={"auth": "sk-abcdefgh12345678", "secret_word": "apple"})
        assert not {"sk-abcdefgh12345678", "apple"} & {*re.findall(r"[\w-]+", given)}

    def test_tools_and_stop_words_stay_as_they_are(self) -> None:
        model = ChatOpenAI(model="m", api_key=SecretStr("replay"), max_retries=7)
        tool = {
            "name": "f",
            "description": "---[('stop', None)]",
            "parameters": {"api_key": {"type": "string"}},
        }
        written = model._get_llm_string(stop=["end"], tools=[tool])
        assert canonical_key("Hi", written)[1].partition("---")[2] == written.partition("---")[2]
        again = canonical_key("Hi", canonical_key("Hi", written)[1])
        assert again == canonical_key("Hi", written)

    @pytest.mark.parametrize(
        "llm_string",
        ['{"a": 1}', '{"kwargs": []}---[]', '{"kwargs": {"name": 1}}', '{"broken', '{"a":' * 10_000, *TRICKY],
        ids=lambda text: ascii(text)[:30],
    )
    def test_what_is_no_model_stays_as_it_is(self, llm_string: str) -> None:
        assert canonical_key("Hi", llm_string)[1] == llm_string


class TestWhatIsNoChat:
    @pytest.mark.parametrize(
        "prompt",
        [
            *TRICKY,
            'A completion about "AIMessage" and "ToolMessage".',
            '["AIMessage", {"usage_metadata": 1}]',
            '[{"lc": 1, "id": ["AIMessage"], "kwargs": {"usage_metadata": 1}',
            '[{"lc": 1, "id": ["AIMessage"]}]',
            '[{"lc": 1, "id": [], "kwargs": {}}, "AIMessage"]',
            '[{"lc": 1, "id": 3, "kwargs": {}}, "AIMessage"]',
            '[{"lc": 1, "id": ["AIMessage"], "kwargs": "text"}]',
            '[{"lc": 1, "id": ["AIMessage"], "kwargs": {"additional_kwargs": "text"}}]',
            '[{"lc": 1, "id": ["AIMessage"], "kwargs": {"response_metadata": [1]}}]',
            '[{"lc": 1}, 3, "AIMessage"]',
            '[{"lc": 1, "id": ["AIMessage"], "kwargs": ' + "[" * 100_000 + "]" * 100_000 + "}]",
            '[{"lc": 1, "id": ["AIMessage"], "kwargs": {"n": ' + "9" * 10_000 + "}}]",
        ],
        ids=lambda prompt: prompt[:60],
    )
    def test_it_stays_as_it_is(self, prompt: str) -> None:
        assert canonical_key(prompt, LLM) == (prompt, LLM)

    def test_a_chat_without_answers_stays_as_it_is(self) -> None:
        prompt = dumps([SystemMessage("Be kind."), HumanMessage("Hi")])
        assert canonical_key(prompt, LLM)[0] is prompt

    def test_every_character_survives(self) -> None:
        text = 'é 日本 🎈 \u202e \0 "quoted" \\ \n \ud83d </script>'
        found = json.loads(key(said(text)))
        assert found[1]["kwargs"]["content"] == text


class TestClasses:
    """What LangChain writes of a structured answer's class is its name."""

    @pytest.mark.parametrize(
        "llm_string",
        [
            "[('response_format', <class 'absent.Person'>)]",
            "[('response_format', <class 'int'>)]",
            "[('response_format', <class 'pathlib.Path'>)]",
            "[('response_format', <class 'broken_module.Person'>)]",
            "[('response_format', <class ''>)]",
            "[('response_format', <class '....'>)]",
        ],
    )
    def test_what_is_no_pydantic_class_stays_as_it_is(
        self, llm_string: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Broken:
            def __getattr__(self, name: str) -> Any:
                raise ImportError(name)

        monkeypatch.setitem(sys.modules, "broken_module", Broken())
        assert canonical_key("p", llm_string) == ("p", llm_string)

    def test_one_that_is_changed_in_place_sends_another_schema(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Person(BaseModel):
            name: str = Field(description="Of one.")

        monkeypatch.setitem(sys.modules, "people", SimpleNamespace(Person=Person))
        llm_string = "[('response_format', <class 'people.Person'>)]"
        seen = [canonical_key("p", llm_string)]
        Person.__doc__ = "In French."
        seen.append(canonical_key("p", llm_string))
        Person.model_fields["name"].description = "Of all."
        Person.model_rebuild(force=True)
        seen.append(canonical_key("p", llm_string))
        Person.model_config["json_schema_extra"] = {"examples": ["Ada"]}
        seen.append(canonical_key("p", llm_string))
        Person.__name__ = "Human"
        seen.append(canonical_key("p", llm_string))
        assert len(set(seen)) == 5
        assert canonical_key("p", llm_string) == seen[-1]

    def test_where_it_is_from_is_not_sent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A class that was tried in the notebook moves to a module."""
        here, there, other = (create_model(name, name=(str, "")) for name in ("Person", "Person", "Human"))
        monkeypatch.setitem(sys.modules, "notebook", SimpleNamespace(Person=here))
        monkeypatch.setitem(sys.modules, "lesson.people", SimpleNamespace(Person=there, Human=other))
        keys = [
            canonical_key("p", f"[('response_format', <class '{name}'>)]")
            for name in ("notebook.Person", "lesson.people.Person", "lesson.people.Human")
        ]
        assert keys[0] == keys[1] != keys[2]

    def test_the_order_of_its_fields_is_sent(self) -> None:
        first = create_model("Person", name=(str, ""), age=(int, 0))
        again = create_model("Person", name=(str, ""), age=(int, 0))
        other = create_model("Person", age=(int, 0), name=(str, ""))
        assert schema_digest(first) == schema_digest(again) != schema_digest(other)

    def test_a_class_of_its_fields_that_is_changed_in_place(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Name(BaseModel):
            first: str

        class Person(BaseModel):
            names: list[Name] | None
            friends: dict[str, Person]

        monkeypatch.setitem(sys.modules, "people", SimpleNamespace(Person=Person))
        llm_string = "[('response_format', <class 'people.Person'>)]"
        before = canonical_key("p", llm_string)
        assert canonical_key("p", llm_string) == before
        Name.__doc__ = "In French."
        assert canonical_key("p", llm_string) != before

    def test_no_class_is_kept_alive(self) -> None:
        def describe() -> ref[type]:
            class Person(BaseModel):
                name: str

            assert schema_digest(Person) == schema_digest(Person) is not None
            return ref(Person)

        gone = describe()
        gc.collect()
        assert gone() is None

    def test_a_class_that_no_schema_can_describe_stays_as_it_is(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Odd(BaseModel):
            @classmethod
            def model_json_schema(cls, *_: Any, **__: Any) -> Any:
                raise PydanticInvalidForJsonSchema("a field that no schema can describe")

        monkeypatch.setitem(sys.modules, "odd_module", SimpleNamespace(Odd=Odd))
        llm_string = "[('response_format', <class 'odd_module.Odd'>)]"
        assert canonical_key("p", llm_string) == ("p", llm_string)
