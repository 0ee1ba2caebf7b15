"""What an llm_string says, and what of it is kept back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from llmcache_jupyter.caches.llm_string import REDACTED, configuration, model_name, parameters, redact
from tests.caches.contract import TRICKY

KEY = "sk-proj-abcdefghijklmnop"


def serialised(**fields: Any) -> str:
    model = {"lc": 1, "type": "constructor", "id": ["x"], "kwargs": fields}
    return f"{json.dumps(model)}---{[('stop', None), ('tools', [{'name': 'f'}])]}"


@pytest.mark.parametrize(
    ("llm_string", "name"),
    [
        (serialised(model_name="gpt-5"), "gpt-5"),
        (serialised(model="cedar"), "cedar"),
        (serialised(model_id="m", temperature=0), "m"),
        (serialised(temperature=0), None),
        (serialised(model_name="---[('model_name', 'no')]"), "---[('model_name', 'no')]"),
        ("[('model_name', 'm'), ('stop', None)]", "m"),
        ("[('_type', 'fake'), ('stop', None)]", "fake"),
        ("[('_type', 'openai'), ('model_name', 'm')]", "m"),
        ("[('stop', None)]", None),
        ("{broken", None),
        ("[]", None),
        *((text, None) for text in TRICKY),
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_models_name(llm_string: str, name: str | None) -> None:
    assert model_name(llm_string) == name


def test_a_real_clients_name_and_parameters() -> None:
    model = ChatOpenAI(
        model="gpt-x", temperature=0.5, api_key=SecretStr(KEY), base_url="http://me:pw@host/v1"
    )
    llm_string = model._get_llm_string(stop=["end"])
    assert model_name(llm_string) == "gpt-x"
    shown = parameters(llm_string)
    assert (shown["temperature"], shown["stop"], shown["openai_api_key"]) == ("0.5", '["end"]', REDACTED)
    assert KEY not in str(shown)
    assert "pw" not in str(shown)
    assert model_name(FakeListChatModel(responses=[""])._get_llm_string()) is not None


def test_a_tools_description_may_hold_anything() -> None:
    model = json.dumps({"kwargs": {"model": "m"}})
    tools = [{"name": "f", "description": "Notes ---[see] the docs"}]
    llm_string = f"{model}---{[('stop', None), ('tools', tools)]}"
    assert model_name(llm_string) == "m"
    assert configuration(llm_string)["tools"] == tools


def test_parameters_of_both_forms() -> None:
    assert parameters("[('model_name', 'm'), ('n', 2), ('stop', None)]") == {"model_name": "m", "n": "2"}
    model = json.dumps({"kwargs": {"model": "m", "stop": ["end"]}})
    assert parameters(f"{model}---[('stop', None)]") == {"model": "m", "stop": '["end"]'}
    assert parameters(serialised(seed=1))["tools"] == '[{"name": "f"}]'
    strange = "[('response_format', <class 'a.B'>)]"
    assert parameters(strange) == {"response_format": "<class 'a.B'>"}
    assert parameters("[('a', )") == {"configuration": "[('a', )"}


@pytest.mark.parametrize(
    "text", [*TRICKY, "[" * 100_000, "{" * 100_000, "[1, 2]", "{}---[3]"], ids=lambda t: t[:20]
)
def test_parameters_of_any_text(text: str) -> None:
    assert isinstance(parameters(text), dict)


@pytest.mark.parametrize(
    "secret",
    [
        f"key {KEY} here",
        f"{{'api_key': '{KEY[3:]}'}}",
        '{"Authorization": "Bearer abc.def-ghi"}',
        "{'headers': [('x-api-key', 'abcdefgh')]}",
        "https://user:abcdefgh@host/path",
        "https://host/?api_key=abcdefgh&x=1",
        "Basic YWJjZGVmZ2g=",
        "basic  YWJjZGVmZ2g6YWJjZGVmZ2g",
        "Bearer abcdefgh-1",
        "Bearer abcdefghijklmnopqrst",
        "Authorization: Bearer abcdefgh",
        '{"password": "abcdefgh"}',
        '{"aws_secret_access_key": "abcdefgh"}',
    ],
)
def test_secrets_are_kept_back(secret: str) -> None:
    shown = redact(secret)
    assert REDACTED in shown
    for part in (KEY[3:], "abc.def-ghi", "abcdefgh", "YWJjZGVmZ2g"):
        assert part not in shown


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens=5",
        "{'token_limit': '5'}",
        "the key idea",
        "https://host/path?x=1",
        "task-list",
        "Basic arithmetic for the bearer of this ticket",
        "basic\nJavaScript",
        "Bearer authentication/authorization",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text
