"""What a prompt says: its messages by role, read from the text that a key holds.

A completion prompt is the text itself. A chat prompt is JSON, written by `langchain_core.load.dumps`: a list
of `{"lc": 1, "type": "constructor", "id": [..., "HumanMessage"], "kwargs": {...}}`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from llmcache_jupyter.caches.generation import tool_call_text


@dataclass(frozen=True, slots=True)
class Message:
    """One message as a person would read it. `role` is None for a prompt that isn't a chat."""

    role: str | None
    text: str


def messages(prompt: str) -> list[Message]:
    """The prompt's messages in order. Text that isn't a serialised chat is one message without a role."""
    chat = serialised_chat(prompt)
    if chat is None:
        return [Message(None, prompt)]
    return [_message(fields) for fields in chat]


def prompt_text(prompt: str) -> str:
    """The whole prompt as text, `role: text`, a paragraph a message."""
    return "\n\n".join(f"{m.role}: {m.text}" if m.role else m.text for m in messages(prompt))


def asked(prompt: str) -> str:
    """What a person would say they asked: the text of the last human message, or the last message's."""
    said = messages(prompt)
    human = [message for message in said if message.role == "human"]
    return (human or said)[-1].text


def serialised_chat(prompt: str) -> list[dict[str, Any]] | None:
    """The messages' fields where `prompt` is a serialised chat, or None."""
    if not prompt.startswith('[{"lc":'):
        return None
    try:
        chat = json.loads(prompt)
    except (ValueError, RecursionError):
        return None
    fields = [message.get("kwargs") for message in chat if isinstance(message, dict)]
    said = [part for part in fields if isinstance(part, dict)]
    return said if len(said) == len(chat) else None


def _message(fields: dict[str, Any]) -> Message:
    role = str(fields.get("role") or fields.get("type") or "unknown").replace("AIMessageChunk", "ai")
    calls = fields.get("tool_calls")
    calls = (
        [tool_call_text(call) for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    )
    return Message(role, "\n".join(filter(None, [_content_text(fields.get("content")), *calls])))


def _content_text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(map(_block_text, content))
    return content if isinstance(content, str) else ""


def _block_text(block: Any) -> str:
    if isinstance(block, dict):
        return str(block["text"]) if "text" in block else f"[{block.get('type', 'content')}]"
    return str(block)
