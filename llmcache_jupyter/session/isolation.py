"""Copies of answers that share no mutable object with the original, fit to be stored or handed out.

`copy.deepcopy` would do, at ten times the time: an answer is mostly plain JSON values inside pydantic models.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from llmcache_jupyter.clients.pydantic_twin import twin

_PLAIN = frozenset({str, int, float, bool, bytes, type(None)})


def isolated(generations: Sequence[Any]) -> list[Any]:
    """The same generations, sharing nothing with the given ones.

    Raises:
        TypeError: an answer holds what cannot be copied (a lock, an open file inside a custom class).
    """
    try:
        return [_copy(generation) for generation in generations]
    except Exception as error:
        kinds = ", ".join(sorted({type(generation).__name__ for generation in generations}))
        raise TypeError(f"an answer of type {kinds} cannot be copied ({error})") from error


def storable(generations: Sequence[Any]) -> list[Any]:
    """`isolated`, as an answer is stored: without its message id, and structured output as data.

    - The id goes because two calls may be given this answer, and LangGraph takes two messages with one id
      for one message.
    - The data becomes the class as it is defined when the answer is used, not as it was when stored.
    """
    copies = isolated(generations)
    for message in filter(None, (getattr(copy, "message", None) for copy in copies)):
        message.id = None
        parsed = message.additional_kwargs.get("parsed")
        if hasattr(parsed, "model_dump"):
            message.additional_kwargs["parsed"] = parsed.model_dump(
                mode="json", by_alias=True, round_trip=True, warnings=False
            )
    return copies


def _copy(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is dict:
        return _copy_dict(value)
    if kind is list:
        return [_copy(part) for part in value]
    if hasattr(kind, "__pydantic_fields__") and value.__pydantic_private__ is None:
        return _copy_model(value)
    if isinstance(value, str) and not hasattr(value, "__dict__"):
        return value  # LangChain has a class of its own for a message's text
    return deepcopy(value)


def _copy_model(model: Any) -> Any:
    extra = model.__pydantic_extra__
    return twin(
        model,
        _copy_dict(model.__dict__),
        model.__pydantic_fields_set__.copy(),
        None if extra is None else _copy_dict(extra),
    )


def _copy_dict(given: dict[Any, Any]) -> dict[Any, Any]:
    copied = given.copy()
    for name, part in given.items():
        kind = type(part)
        if kind not in _PLAIN:  # most are: no call for those
            copied[name] = _copy_dict(part) if kind is dict else _copy(part)
    return copied
