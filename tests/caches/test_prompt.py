"""What a prompt says, read from a key's text."""

from __future__ import annotations

import pytest
from langchain_core.load import dumps
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from llmcache_jupyter.caches.prompt import Message, asked, messages, prompt_text
from tests.caches.contract import TRICKY

CALL = {"name": "weather", "args": {"city": "Paris"}, "id": "1"}


def test_a_chat_by_role() -> None:
    chat = [
        SystemMessage("Be kind."),
        HumanMessage(
            [{"type": "text", "text": "Größe?"}, {"type": "image_url", "image_url": {"url": "u"}}, "and"]
        ),
        AIMessage("", tool_calls=[CALL]),
        ToolMessage("sunny", tool_call_id="1"),
        AIMessageChunk(content="Sunny."),
        ChatMessage(content="Hm.", role="critic"),
    ]
    assert messages(dumps(chat)) == [
        Message("system", "Be kind."),
        Message("human", "Größe?\n[image_url]\nand"),
        Message("ai", 'weather(city="Paris")'),
        Message("tool", "sunny"),
        Message("ai", "Sunny."),
        Message("critic", "Hm."),
    ]
    assert prompt_text(dumps(chat[:2])) == "system: Be kind.\n\nhuman: Größe?\n[image_url]\nand"


def test_what_was_asked_is_the_last_human_message() -> None:
    chat = [HumanMessage("first"), HumanMessage("second"), AIMessage("…"), ToolMessage("t", tool_call_id="1")]
    assert asked(dumps(chat)) == "second"
    assert asked(dumps([SystemMessage("Be kind."), AIMessage("Well.")])) == "Well."
    assert asked("plain") == "plain"


@pytest.mark.parametrize(
    "prompt",
    [
        *TRICKY,
        '[{"lc": 1',
        '[{"lc": 1}]',
        '[{"lc": 1, "kwargs": {}}, "text"]',
        '[{"lc": 1, "kwargs": [' + "[" * 100_000,
        '[{"lc":' + "1" * 5_000 + "}]",
    ],
    ids=lambda prompt: prompt[:30],
)
def test_any_other_text_is_itself(prompt: str) -> None:
    assert messages(prompt) == [Message(None, prompt)]
    assert prompt_text(prompt) == asked(prompt) == prompt


@pytest.mark.parametrize("content", ["null", "3", "{}", "[null, 3, {}]", '[{"text": null}]'])
@pytest.mark.parametrize("calls", ["null", "3", '["text", {}]'])
def test_fields_of_any_kind_can_be_shown(content: str, calls: str) -> None:
    prompt = f'[{{"lc": 1, "kwargs": {{"content": {content}, "tool_calls": {calls}}}}}]'
    (message,) = messages(prompt)
    assert message.role == "unknown"
    assert asked(prompt) == message.text
