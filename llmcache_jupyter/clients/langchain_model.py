"""LangChain's model objects: which one is asking the cache, and what it says about itself.

LangChain hands a cache only a text about the model. The model is known to the frame of LangChain's that
called. Imports nothing of LangChain itself.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from threading import Thread
from types import FrameType
from typing import Any, TypeAlias, get_args

from llmcache_jupyter.clients.own_code import is_own

_CHAT = frozenset({"_generate_with_cache", "_agenerate_with_cache"})
_TEXT = frozenset({"get_prompts", "aget_prompts", "update_cache", "aupdate_cache"})
_ASKING = _CHAT | _TEXT
_HOME = "langchain_core.language_models"
# LangChain's own fields on which no answer depends: who looks on, who waits how long, and how often
_BESIDES = frozenset(
    "async_client async_timeout cache callback_manager callbacks custom_get_token_ids "
    "default_request_timeout max_retries metadata name profile rate_limiter request_timeout tags timeout "
    "verbose".split()
)
_ALWAYS_BESIDES = frozenset("cache callback_manager callbacks custom_get_token_ids rate_limiter".split())
_OPENAI = "https://api.openai.com"
_EACH_CLIENTS = frozenset({"accept", "accept-encoding", "connection", "user-agent"})
_CREDENTIAL = re.compile(r"(token_provider|credentials?)$")
_CONNECTION = re.compile(r"(^|_)(client|session)$")


Asking: TypeAlias = tuple[Any, dict[str, Any]]
"""A model that asks the cache, and the arguments of its call."""


def asking(frame: FrameType | None) -> Asking | None:
    """The model of LangChain's that is asking the cache; None if none is.

    - `frame`: what called the cache.
    """
    while frame is not None:
        name = frame.f_code.co_name
        if name in _ASKING and frame.f_globals.get("__name__", "").startswith(_HOME):
            asker = frame if name in _CHAT else frame.f_back
            told = asker.f_locals if asker is not None else {}
            return (told["self"], told.get("kwargs") or {}) if "self" in told else None
        frame = frame.f_back
    return None


def is_calling(sender: Thread | asyncio.Task[Any]) -> bool:
    """Whether the thread or task may be within a call of a model of LangChain's."""
    if not isinstance(sender, Thread):
        return not sender.done()
    frame = sys._current_frames().get(sender.ident or 0)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(_HOME):
            return True
        frame = frame.f_back
    return False


def is_serialisable(model: Any) -> bool:
    """Whether LangChain can write the model down in full."""
    try:
        return bool(model.is_lc_serializable())
    except Exception:
        return False


def serialised(model: Any) -> dict[str, Any]:
    """The model as LangChain writes it for a cache, made from its fields as they are now."""
    from langchain_core.load import dumpd

    written: dict[str, Any] = dumpd(model)
    _drop_addresses(written, 1)
    fields = written.get("kwargs", {})
    for name, value in fields.items():  # set later, a number is not made the kind that the field declares
        if type(value) is int and _is_float(type(model).model_fields.get(name)):
            fields[name] = float(value)
    return written


def real_address(model: Any) -> str | None:
    """Where the model's calls go, if no field tells it, or one tells another address; else None.

    - OpenAI's client takes it from `OPENAI_BASE_URL`; LangChain writes down only what it was given.
    - The client keeps the address that it was made with, when the field is changed, or in a copy.
    """
    told = getattr(model, "openai_api_base", "")
    address = str(getattr(_openai_client(model, ""), "base_url", None) or "").rstrip("/")
    if told == "" or not address:
        return None
    if told is None:
        return None if address.startswith(_OPENAI) else address
    return None if told.rstrip("/") == address else address


def sent_by_client(model: Any) -> dict[str, dict[str, str]]:
    """What an HTTP client of the user's own adds to each call of the model: headers and parameters.

    - OpenAI's takes one, as `http_client`, and LangChain writes nothing down about it.
    """
    found: dict[str, dict[str, str]] = {"client_headers": {}, "client_params": {}}
    for kind in ("", "async_"):
        client = getattr(_openai_client(model, kind), "_client", None)
        headers = dict(getattr(client, "headers", None) or {})
        found["client_headers"] |= {name: headers[name] for name in headers.keys() - _EACH_CLIENTS}
        found["client_params"] |= dict(getattr(client, "params", None) or {})
    return {kind: told for kind, told in found.items() if told}


def _openai_client(model: Any, kind: str) -> Any:
    """The OpenAI SDK's client that the model calls through, if it does. `kind`: "async_" is its other one.

    - A model of another library may make a client as it is asked for one: only what is there is looked at.
    """
    fields = vars(model)
    return fields.get(f"root_{kind}client") or getattr(fields.get(f"{kind}client"), "_client", None)


def is_model(value: Any) -> bool:
    """Whether it is one of LangChain's models."""
    return any(
        cls.__name__ == "BaseLanguageModel" and cls.__module__.startswith(_HOME)
        for cls in type(value).__mro__
    )


def llm_string_head(written: dict[str, Any]) -> str:
    """The beginning of the llm_string of a model that is written so."""
    return json.dumps(written, sort_keys=True) + "---"


def settings(model: Any) -> Iterator[tuple[str, Any]]:
    """The model's fields that its answers may depend on, by name."""
    fields = getattr(type(model), "model_fields", {})
    by_class = vars(model)
    for name, field in fields.items():
        value = by_class.get(name)
        if _is_besides(model, name) or (_is_connection(name, field, value) and not _is_plain(value)):
            continue
        yield name, value
    yield from (model.__pydantic_extra__ or {}).items()


def private_settings(model: Any) -> dict[str, Any]:
    """The private attributes that the user's own classes give the model."""
    private = model.__pydantic_private__
    if not private:
        return {}
    installed = {
        name
        for cls in type(model).__mro__
        if not is_own(cls.__module__)
        for name in vars(cls).get("__private_attributes__", {})
    }
    return {name: value for name, value in private.items() if name not in installed}


def set_fields(model: Any) -> dict[str, Any]:
    """The fields whose values LangChain writes down, as they are now."""
    fields = type(model).model_fields
    now = vars(model)
    return {
        name: now.get(name)
        for name, field in fields.items()
        if not field.exclude and not _is_besides(model, name)
    }


def proves_caller(model: Any, name: str) -> bool:
    """Whether an installed class has the field for what proves who asks, an object or a function."""
    return bool(_CREDENTIAL.search(name)) and not _is_users(model, name)


def _is_besides(model: Any, name: str) -> bool:
    """Whether no answer depends on the field: LangChain has it so, and the user's class none of that name."""
    if name in _BESIDES:
        return name in _ALWAYS_BESIDES or not _is_users(model, name)
    return proves_caller(model, name)


def _is_users(model: Any, name: str) -> bool:
    """Whether the user's class declares the field."""
    owner = next((cls for cls in type(model).__mro__ if name in vars(cls).get("__annotations__", {})), None)
    return owner is not None and is_own(owner.__module__)


def _is_connection(name: str, field: Any, value: Any) -> bool:
    """Whether the field is made from others, as its author says, or is a library's connection."""
    return bool(field.exclude) or (bool(_CONNECTION.search(name)) and not is_own(type(value).__module__))


def _is_float(field: Any) -> bool:
    kinds = get_args(getattr(field, "annotation", None)) or (getattr(field, "annotation", None),)
    return float in kinds and int not in kinds


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    return value is None or isinstance(value, str | bytes | int | float | bool)


def _drop_addresses(written: Any, depth: int) -> None:
    """What LangChain drops from a model before it is a key: the text of objects that it cannot write."""
    if depth > 100 or not isinstance(written, dict):
        return
    if written.get("type") == "not_implemented":
        written.pop("repr", None)
    written.pop("graph", None)
    for value in written.get("kwargs", {}).values():
        _drop_addresses(value, depth + 1)
