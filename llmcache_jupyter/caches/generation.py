"""Generation: one answer of a model, for those who don't use LangChain; and how any answer is read.

LangChain's generations are read by their shape (`text`, `message`, `usage_metadata`), so that this
module needs no LangChain.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Generation:
    """One answer of a model: its text, and what the provider told about it."""

    text: str
    generation_info: dict[str, Any] | None = None


def answer_text(generations: Sequence[Any]) -> str:
    """The answers' text, one paragraph each; a tool call reads `name(argument=value)`."""
    return "\n\n".join(filter(None, map(generation_text, generations)))


def generation_text(generation: Any) -> str:
    """One answer's text, followed by its tool calls, a line each."""
    text, calls = str(getattr(generation, "text", "")), tool_calls(generation)
    return "\n".join(filter(None, [text, *map(tool_call_text, calls)])) if calls else text


def tool_calls(generation: Any) -> list[Mapping[str, Any]]:
    """The tool calls an answer asks for; empty for a plain answer."""
    return list(getattr(getattr(generation, "message", None), "tool_calls", None) or [])


def tool_call_text(call: Mapping[str, Any]) -> str:
    """A tool call as a person would write it: `search(query="cats")`."""
    arguments = call.get("args")
    if isinstance(arguments, Mapping):
        arguments = ", ".join(f"{name}={_plain(value)}" for name, value in arguments.items())
    return f"{call.get('name')}({arguments or ''})"


def total_tokens(generations: Sequence[Any]) -> int | None:
    """Tokens the provider counted for the request, or None where it did not tell.

    A request with `n > 1` states its whole usage on every generation: it is counted once.
    """
    for generation in generations:
        usage = getattr(getattr(generation, "message", None), "usage_metadata", None)
        tokens = usage.get("total_tokens") if isinstance(usage, Mapping) else None
        if isinstance(tokens, int):
            return tokens
    return None


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=repr)
