"""How LangChain's generations become JSON values and are built again. Imports LangChain when one is built.

Only the fields named here are read, into only the classes named here, by their ordinary constructors or
after the same checks: a hostile file reaches no other one. Nothing of `langchain_core.load` takes part
(CVE-2025-68664 was in its `loads`), so that a dictionary which looks like one of its constructors or secrets
stays a dictionary.
"""

from __future__ import annotations

from functools import cache, partial
from importlib import import_module
from typing import Any

from llmcache_jupyter.caches import codec
from llmcache_jupyter.clients.langchain_answer import PlainAnswers
from llmcache_jupyter.errors import DecodingError, EncodingError

_GENERATIONS = (
    "langchain_core.outputs.generation.Generation",
    "langchain_core.outputs.generation.GenerationChunk",
)
_CHAT_GENERATION = "langchain_core.outputs.chat_generation.ChatGeneration"
_CHAT_GENERATIONS = (
    _CHAT_GENERATION,
    "langchain_core.outputs.chat_generation.ChatGenerationChunk",
)
_MESSAGE = "langchain_core.messages.ai.AIMessage"
_MESSAGE_CHUNK = "langchain_core.messages.ai.AIMessageChunk"
_FIELDS = (
    "content",
    "additional_kwargs",
    "response_metadata",
    "name",
    "id",
    "tool_calls",
    "invalid_tool_calls",
    "usage_metadata",
)
_NOTHING: tuple[Any, ...] = (None, [], {})
_MESSAGE_FIELDS = {_MESSAGE: _FIELDS, _MESSAGE_CHUNK: (*_FIELDS, "tool_call_chunks", "chunk_position")}


def register() -> None:
    """Teach the codec LangChain's generations, without importing LangChain."""
    for name in _GENERATIONS:
        codec.register(name, _take, partial(_build, name))
    for name in _CHAT_GENERATIONS:
        codec.register(name, _take_chat, partial(_build_chat, name))


def _take(generation: Any) -> codec.Fields:
    return {"text": generation.text, "generation_info": generation.generation_info}


def _take_chat(generation: Any) -> codec.Fields:
    return {"message": _take_message(generation.message), "generation_info": generation.generation_info}


def _take_message(message: Any) -> codec.Fields:
    name = codec.class_name(message)
    if name not in _MESSAGE_FIELDS:
        raise EncodingError(f"a message of type {name} cannot be written to a store")
    if message.__pydantic_extra__:
        extra = ", ".join(map(repr, message.__pydantic_extra__))
        raise EncodingError(f"a message with fields of its own ({extra}) cannot be written to a store")
    values = vars(message)
    told = {"type": name, "content": message.content}
    for field in _MESSAGE_FIELDS[name]:
        value = values.get(field)
        if value or value not in _NOTHING:
            told[field] = value
    parsed = message.additional_kwargs.get("parsed")
    if hasattr(parsed, "model_dump"):  # structured output is kept as data: its class may change meanwhile
        told["additional_kwargs"] = message.additional_kwargs | {"parsed": _data_of(parsed)}
    return told


def _data_of(parsed: Any) -> Any:
    try:
        return parsed.model_dump(mode="json", by_alias=True, round_trip=True, warnings=False)
    except Exception as error:  # a field's own type or serializer
        name = codec.class_name(parsed)
        told = f"a structured answer of type {name} cannot be written to a store: {error}"
        raise EncodingError(told) from None


def _build(name: str, fields: codec.Fields) -> Any:
    return _class(name)(text=fields["text"], generation_info=fields["generation_info"])


def _build_chat(name: str, fields: codec.Fields) -> Any:
    message, info = fields["message"], fields["generation_info"]
    if message["type"] == _MESSAGE and name == _CHAT_GENERATION:
        plain = _plain_answers().build(message, info)
        if plain is not None:
            return plain
    return _class(name)(message=_build_message(message), generation_info=info)


def _build_message(fields: codec.Fields) -> Any:
    name = fields["type"]
    if name not in _MESSAGE_FIELDS:
        raise DecodingError(f"{str(name)[:80]!r} is no type of message that answers")
    known = {field: fields[field] for field in _MESSAGE_FIELDS[name] if field in fields}
    return _class(name)(**known)


@cache
def _plain_answers() -> PlainAnswers:
    return PlainAnswers(_class(_CHAT_GENERATION), _class(_MESSAGE))


@cache
def _class(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)
