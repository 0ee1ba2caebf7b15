"""Copies of answers that share no mutable object with the original, fit to be stored or handed out.

`copy.deepcopy` would do, at ten times the time: an answer is mostly plain JSON values inside pydantic models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

from llmcache_jupyter.caches import Entry
from llmcache_jupyter.clients.pydantic_twin import twin

_PLAIN = frozenset({str, int, float, bool, bytes, type(None)})
_MOST_KNOWN = 256

Copier = Callable[[], Any]


def isolated(generations: Sequence[Any]) -> list[Any]:
    """The same generations, sharing nothing with the given ones.

    Raises:
        TypeError: an answer holds what cannot be copied (a lock, an open file inside a custom class).
    """
    try:
        return _list_copier([*generations])()  # type: ignore[no-any-return]
    except Exception as error:
        raise _cannot_copy(generations, error) from error


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


class Copies:
    """Copies of answers that are asked for again and again: of what parts one consists is found out once.

    - So much is known of 256 answers at most. They are held until `forget`.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[list[Any], Copier]] = {}

    def of(self, entry: Entry) -> list[Any]:
        """The entry's answer, `isolated`. Raises TypeError as that does."""
        try:
            known = self._known.get(entry.digest)
            if known is None or known[0] is not entry.generations:
                known = self._learn(entry)
            return known[1]()  # type: ignore[no-any-return]
        except Exception as error:
            raise _cannot_copy(entry.generations, error) from error

    def forget(self) -> None:
        """Hold on to no answer."""
        self._known = {}

    def _learn(self, entry: Entry) -> tuple[list[Any], Copier]:
        if len(self._known) >= _MOST_KNOWN:
            self._known = {}
        known = self._known[entry.digest] = entry.generations, _list_copier(entry.generations)
        return known


def _copier(value: Any) -> Copier | None:
    """What makes a copy at each call; None where the value can be shared."""
    kind = type(value)
    if kind in _PLAIN:
        return None
    if kind is dict:
        return _dict_copier(value)
    if kind is list:
        return _list_copier(value)
    if isinstance(value, str) and not kind.__dictoffset__:
        return None  # LangChain has a class of its own for a message's text
    if hasattr(kind, "__pydantic_fields__") and value.__pydantic_private__ is None:
        return _model_copier(value)
    return partial(deepcopy, value)


def _dict_copier(given: dict[Any, Any]) -> Copier:
    return _container_copier(given.copy, given.items())


def _list_copier(given: list[Any]) -> Copier:
    return _container_copier(given.copy, enumerate(given))


def _container_copier(shallow: Copier, parts: Iterable[tuple[Any, Any]]) -> Copier:
    copiers = [(place, copier) for place, part in parts if (copier := _copier(part)) is not None]
    if not copiers:
        return shallow

    def copy() -> Any:
        copied = shallow()
        for place, copier in copiers:
            copied[place] = copier()
        return copied

    return copy


def _model_copier(model: Any) -> Copier:
    extra = model.__pydantic_extra__
    copy_fields = _dict_copier(model.__dict__)
    copy_extra = None if extra is None else _dict_copier(extra)
    copy_names = model.__pydantic_fields_set__.copy
    return lambda: twin(model, copy_fields(), copy_names(), copy_extra and copy_extra())


def _cannot_copy(generations: Sequence[Any], error: Exception) -> TypeError:
    kinds = ", ".join(sorted({type(generation).__name__ for generation in generations}))
    return TypeError(f"an answer of type {kinds} cannot be copied ({error})")
