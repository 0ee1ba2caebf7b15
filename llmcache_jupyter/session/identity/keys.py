"""Canonical keys: two calls that send the same thing to the model have the same key.

LangChain's key of a chat holds fields of earlier answers that are never sent. A hit even adds one of its own
(`usage_metadata.total_cost`), so that the turn after a hit would never be a hit itself. Those fields are left
out here, and nothing else:

- of AI messages: `usage_metadata`; `id`; `additional_kwargs["parsed"]` (the answer once more, as an
  object); a `refusal` that is None; what `response_metadata` tells about the call; traces of streaming;
- of tool messages: `artifact`;
- of the model's configuration: who asks (credentials, organization, proxy), how patiently (time limits,
  retries; in a call's arguments, too), whether tokens are counted, and the model object's own name. So a
  recorded answer is found without a key, too.

And what is the same in another writing has one: an address with a slash at its end, or OpenAI's own when it
is given; 0 and 0.0 among a call's arguments.

In the other direction, LangChain's key of a structured answer holds only its class's name: a class of that
name with other fields sends another schema. Its schema becomes part of the key, in place of its module.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from llmcache_jupyter.caches import Key
from llmcache_jupyter.caches.credentials import (
    CALLERS_FIELD,
    is_callers,
    without_callers,
    without_credentials,
)
from llmcache_jupyter.caches.llm_string import redact, serialised_model
from llmcache_jupyter.clients.langchain import class_being_sent
from llmcache_jupyter.session.identity.schema import schema_digest

# what an answer tells about the call that made it; no client sends these back
_ABOUT_THE_CALL = frozenset(
    "created created_at done done_reason eval_count eval_duration finish_reason headers load_duration "
    "logprobs model model_name prompt_eval_count prompt_eval_duration service_tier stop_reason "
    "stop_sequence system_fingerprint token_usage total_duration usage".split()
)
_PATIENCE = frozenset({"request_timeout", "timeout"})
_NOT_SENT = _PATIENCE | frozenset(
    "default_request_timeout max_retries name openai_organization openai_proxy stream_usage".split()
)
_OPENAI = "https://api.openai.com/v1"  # where its client asks when it is told nothing
_NOTHING = object()
_ADDRESS = re.compile(r"(base|url|endpoint|host)$")
_USER = re.compile(r"(?<=://)[^/@\s]+@")
_CLASS = re.compile(r"<class '([^']+)'>")


def canonical_key(prompt: str, llm_string: str) -> Key:
    """The key under which a call that sends the same thing is found, however its history got there."""
    kept = _without_caller_and_secrets(llm_string)
    return _canonical_prompt(prompt), _with_schemas(kept) if "<class '" in kept else kept


@lru_cache(maxsize=256)  # a call asks for it at its lookup and at its update, and again when it is repeated
def _canonical_prompt(prompt: str) -> str:
    if '"AIMessage' not in prompt and '"ToolMessage' not in prompt:
        return prompt
    if not prompt.startswith('[{"lc":'):
        return prompt
    try:
        chat = json.loads(prompt)
        for message in chat:
            _drop_unsent(message)
        return json.dumps(chat)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return prompt


def _drop_unsent(message: dict[str, Any]) -> None:
    name, fields = message["id"][-1], message["kwargs"]
    if name in ("AIMessage", "AIMessageChunk"):
        _drop_unsent_of_answer(fields)
        message["id"][-1], fields["type"] = "AIMessage", "ai"
    elif name in ("ToolMessage", "ToolMessageChunk"):
        fields.pop("artifact", None)


def _drop_unsent_of_answer(fields: dict[str, Any]) -> None:
    for name in ("usage_metadata", "id", "tool_call_chunks", "chunk_position"):
        fields.pop(name, None)
    additional = fields.pop("additional_kwargs", {})
    additional.pop("parsed", None)
    if additional.get("refusal") is None:
        additional.pop("refusal", None)
    told = fields.pop("response_metadata", {})
    kept = {name: value for name, value in told.items() if name not in _ABOUT_THE_CALL}
    if not str(kept.get("id", "")).startswith("resp_"):  # OpenAI's Responses API sends only these back
        kept.pop("id", None)
    if isinstance(fields.get("content"), str):  # it says how to read content blocks, and text has none
        kept.pop("model_provider", None)
    if additional:
        fields["additional_kwargs"] = additional
    if kept:
        fields["response_metadata"] = kept


@lru_cache(maxsize=256)
def _without_caller_and_secrets(llm_string: str) -> str:
    return _without_secrets(_without_caller(llm_string) if llm_string.startswith('{"') else llm_string)


def _without_caller(llm_string: str) -> str:
    """A model that LangChain serialised, without what is said about who calls it and how patiently."""
    try:
        model, end = serialised_model(llm_string)
        fields = model["kwargs"]
        is_described = model.get("type") == "described"
        # what the user's own class calls a key may be one of music
        is_left_out = is_callers if is_described or "code" in model else _is_callers_field
        not_sent = frozenset() if is_described else _NOT_SENT
        sent = {
            name: _what_is_sent(name, value, is_left_out)
            for name, value in fields.items()
            if name not in not_sent
        }
        kept = {name: value for name, value in sent.items() if value is not _NOTHING}
        call = _call_as_sent(llm_string[end:])
        if kept == fields and model["name"] == model["id"][-1]:
            return llm_string[:end] + call
        model |= {"kwargs": kept, "name": model["id"][-1]}
        return json.dumps(model, sort_keys=True) + call
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return llm_string


def _call_as_sent(written: str) -> str:
    """The arguments of a call as LangChain wrote them, without how patiently it is made, and 0.0 as 0."""
    try:
        given = ast.literal_eval(written.removeprefix("---"))
        sent = [(name, _as_sent(value)) for name, value in given if name not in _PATIENCE]
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # it holds an object
        return written
    return written if repr(sent) == repr(given) else f"---{sent}"


def _as_sent(value: Any) -> Any:
    return int(value) if type(value) is float and value.is_integer() else value


def _without_secrets(llm_string: str) -> str:
    """The text without credentials. Two texts stay two, unless only what surely is a credential differs."""
    certain = without_callers(llm_string)
    kept = redact(without_credentials(llm_string))
    if kept == certain:
        return kept
    mark = hashlib.blake2b(certain.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return with_pairs(kept, {"redacted": mark})


def with_pairs(llm_string: str, pairs: Mapping[str, Any]) -> str:
    """The llm_string with these pairs at the end of its list."""
    if not pairs:
        return llm_string
    if llm_string.endswith(")]"):
        return f"{llm_string[:-1]}, {str(sorted(pairs.items()))[1:]}"
    return f"{llm_string}---{sorted(pairs.items())}"


def _is_callers_field(name: str, _value: Any) -> bool:
    return bool(CALLERS_FIELD.search(name))


def _what_is_sent(name: str, value: Any, is_left_out: Callable[[str, Any], bool]) -> Any:
    """The field's value without credentials; `_NOTHING` where it says nothing to the model.

    - `is_left_out`: whether a text by this name only tells who asks.
    """
    # langchain-openai 1.1 writes it where it is not set, later versions don't
    if name == "output_version" and value is None:
        return _NOTHING
    if isinstance(value, dict):
        if value.get("type") == "secret":
            return _NOTHING
        if name.endswith("headers"):
            kept = {header: text for header, text in value.items() if not CALLERS_FIELD.search(header)}
            return kept or _NOTHING
    if isinstance(value, str):
        if is_left_out(name, value):
            return _NOTHING
        if _ADDRESS.search(name):
            address = without_callers(_USER.sub("", value)).rstrip("/")
            return _NOTHING if address == _OPENAI else address
    return value


def _with_schemas(llm_string: str) -> str:
    return _CLASS.sub(lambda match: _with_schema(match.group(), match.group(1)), llm_string)


def _with_schema(text: str, dotted_name: str) -> str:
    try:
        schema = schema_digest(class_being_sent(text) or _class_by_name(dotted_name))
    except Exception:  # a class with fields that no schema can describe; no model is sent those
        return text
    # the model is told the class's name, and not where it is from
    return f"<class '{dotted_name.rpartition('.')[2]}' schema {schema}>" if schema else text


def _class_by_name(dotted_name: str) -> Any:
    """What goes by this name now, or None."""
    parts = dotted_name.split(".")
    for split in range(len(parts) - 1, 0, -1):
        found: Any = sys.modules.get(".".join(parts[:split]))
        for part in parts[split:]:
            found = getattr(found, part, None)
        if isinstance(found, type):
            return found
    return None
