"""LangChain's model objects: which one is asking the cache, and what it says about itself.

LangChain hands a cache only a text about the model. The model is known to the frame of LangChain's that
called. Imports nothing of LangChain itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from types import FrameType
from typing import Any, get_args

_CHAT = frozenset({"_generate_with_cache", "_agenerate_with_cache"})
_TEXT = frozenset({"get_prompts", "aget_prompts", "update_cache", "aupdate_cache"})
_ASKING = _CHAT | _TEXT
_HOME = "langchain_core.language_models"
# what no answer depends on: who looks on, who waits how long, and how often
_BESIDES = frozenset(
    "async_client async_timeout cache callback_manager callbacks custom_get_token_ids "
    "default_request_timeout max_retries metadata name profile rate_limiter request_timeout tags timeout "
    "verbose".split()
)
_OPENAI = "https://api.openai.com/"
_CONNECTION = re.compile(r"(^|_)(client|session)$")


def asking(frame: FrameType | None) -> tuple[Any, dict[str, Any]] | None:
    """The model of LangChain's that is asking the cache, and the arguments of its call; None if none is.

    - `frame`: what called the cache.
    """
    while frame is not None:
        name = frame.f_code.co_name
        if name in _ASKING and frame.f_globals["__name__"].startswith(_HOME):
            asker = frame if name in _CHAT else frame.f_back
            told = asker.f_locals if asker is not None else {}
            return (told["self"], told.get("kwargs") or {}) if "self" in told else None
        frame = frame.f_back
    return None


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


def unwritten_address(model: Any) -> str | None:
    """Where the model's calls go, if that is not the service's own address and no field tells it.

    - OpenAI's client takes it from `OPENAI_BASE_URL`; LangChain writes down only what it was given.
    """
    if getattr(model, "openai_api_base", "") is not None:
        return None
    client = getattr(model, "root_client", None) or getattr(getattr(model, "client", None), "_client", None)
    address = str(getattr(client, "base_url", None) or _OPENAI)
    return None if address.startswith(_OPENAI) else address.rstrip("/")


def llm_string_head(written: dict[str, Any]) -> str:
    """The beginning of the llm_string of a model that is written so."""
    return json.dumps(written, sort_keys=True) + "---"


def settings(model: Any) -> Iterator[tuple[str, Any]]:
    """The model's fields that its answers may depend on, by name; the private ones too."""
    fields = getattr(type(model), "model_fields", {})
    by_class = vars(model)
    for name, field in fields.items():
        value = by_class.get(name)
        if name in _BESIDES or (_is_connection(model, name, field) and not _is_plain(value)):
            continue
        yield name, value
    yield from (model.__pydantic_extra__ or {}).items()
    yield from private_settings(model).items()


def private_settings(model: Any) -> dict[str, Any]:
    """The private attributes that hold plain data, of a model that is not LangChain's own."""
    if not model.__pydantic_private__ or type(model).__module__.startswith("langchain"):
        return {}
    private = model.__pydantic_private__.items()
    return {name: value for name, value in private if _is_plain(value) and not _CONNECTION.search(name)}


def set_fields(model: Any) -> dict[str, Any]:
    """The fields whose values LangChain writes down, as they are now."""
    fields = type(model).model_fields
    now = vars(model)
    return {
        name: now.get(name) for name, field in fields.items() if not field.exclude and name not in _BESIDES
    }


def _is_connection(model: Any, name: str, field: Any) -> bool:
    """Whether the field is made from others, as its author says, or as libraries do."""
    if field.exclude:
        return True
    owner = next((cls for cls in type(model).__mro__ if name in vars(cls).get("__annotations__", {})), None)
    return bool(_CONNECTION.search(name)) and owner is not None and owner.__module__ != "__main__"


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
