"""A value as plain data that is the same in every kernel: what tells two models of one name apart."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from llmcache_jupyter.caches.credentials import is_callers, tells_caller
from llmcache_jupyter.caches.llm_string import SECRET_NAME
from llmcache_jupyter.session.identity.function_code import kept_by
from llmcache_jupyter.session.identity.known_kinds import (
    CONTENTS,
    is_connection,
    is_named_tuple,
    is_plain,
    text_of,
)
from llmcache_jupyter.session.identity.object_fields import fields_of

_DEEPEST = 8
_MOST = 2000
_MUCH = 1000

Opaque = Callable[[Any], str]
Code = str | dict[str, str]
CodeOf = Callable[[type | FunctionType], Code | None]
Below = Callable[[Any], Any]
Counted = Callable[[Any, dict[str, Any]], dict[str, Any]]


class Description:
    """Describes values. What no data stands for is given to `opaque`, which names that very object.

    - Equal descriptions mean equal values, as far as data, classes and functions go.
    - Secrets are left out: fields named like one, and pydantic's SecretStr.
    - `code`: tells the code of a class or a function of the user's own.
    - `model`: tells what stands for a value that is a model of LangChain's; None where it is none.
    - `counted`: tells what counts of an object that is described so.
    """

    def __init__(
        self,
        opaque: Opaque,
        code: CodeOf,
        model: Callable[[Any], str | None] = lambda _: None,
        counted: Counted = lambda _, told: told,
    ) -> None:
        self._opaque = opaque
        self._code = code
        self._model = model
        self._counted = counted
        self._count = 0
        self._functions: set[FunctionType] = set()

    def of(self, value: Any, depth: int = 0) -> Any:
        """The value as JSON can write it."""
        self._count += 1
        if value is None or type(value) in (bool, int, float, str):
            return value
        if depth > _DEEPEST or self._count > _MOST:
            return self._of_much(value)
        below = partial(self.of, depth=depth + 1)
        try:
            if type(value) in (list, tuple, dict) and len(value) > _MUCH and is_plain(value):
                return {"<data>": digest_of(repr(value))}
            return self._of_collection(value, below)
        except Exception:  # an object that refuses to be looked at
            return {"<object>": self._opaque(value)}

    def of_names(self, named: Mapping[str, Any], below: Below | None = None) -> dict[str, Any]:
        """What goes by these names, whose order says nothing, as JSON can write it."""
        below = below or self.of
        return {name: _of_name(name, value, below, tells_caller) for name, value in sorted(named.items())}

    def _of_much(self, value: Any) -> Any:
        """A digest of what is too much, or too deep, to be told: it has to be data through and through."""
        try:
            # to JSON, a tuple is a list, and the key 1 is "1"
            return {"<data>": digest_of(f"{json.dumps(value)} {value!r}")}
        except (TypeError, ValueError, RecursionError):
            return {"<object>": self._opaque(value)}

    def _of_collection(self, value: Any, below: Below) -> Any:
        kind = type(value)
        if kind is list:
            return [below(part) for part in value]
        if kind is dict:
            return self._of_dict(value, below)
        if kind in CONTENTS:
            return {f"<{kind.__name__}>": below(CONTENTS[kind](value))}
        if kind in (tuple, set, frozenset):
            parts = [below(part) for part in value]
            return {f"<{kind.__name__}>": parts if kind is tuple else sorted(parts, key=_sortable)}
        if isinstance(value, FunctionType | MethodType | BuiltinFunctionType | partial):
            return self._of_callable(value, below)
        return self._of_object(class_name(kind), value, below)

    def _of_callable(self, value: Any, below: Below) -> Any:
        if isinstance(value, FunctionType):
            return self._of_function(value, below)
        if isinstance(value, MethodType):
            return {"<method>": value.__name__, "of": below(value.__self__)}
        if isinstance(value, partial):
            return {"<partial>": below(value.func), "with": below([list(value.args), value.keywords])}
        if inspect.ismodule(value.__self__):
            return {"<function>": f"{value.__module__}.{value.__qualname__}"}
        return {"<method>": value.__name__, "of": below(value.__self__)}

    def _of_object(self, name: str, value: Any, below: Below) -> Any:
        if isinstance(value, type):
            return {"<class>": class_name(value), "code": self._code(value)}
        if (model := self._model(value)) is not None:
            return {"<model>": model}
        if hasattr(value, "get_secret_value"):
            return {"<secret>": name}
        if isinstance(value, Enum):
            return self._with_code(value, {f"<{name}>": value.name, "value": below(value.value)})
        if (text := text_of(value)) is not None:
            return {"<path>" if isinstance(value, PurePath) else f"<{name}>": text}
        return self._of_fields(name, value, below)

    def _of_fields(self, name: str, value: Any, below: Below) -> Any:
        fields = value._asdict() if is_named_tuple(value) else fields_of(value)
        if fields is None or is_connection(value):
            return {"<object>": self._opaque(value)}
        told = {"<of>": name, "fields": _of_fields(fields, below)}
        return self._counted(value, self._with_code(value, told))

    def _with_code(self, value: Any, told: dict[str, Any]) -> dict[str, Any]:
        code = self._code(type(value))
        return {**told, "code": code} if code else told

    def _of_function(self, function: FunctionType, below: Below) -> Any:
        told: dict[str, Any] = {"<function>": f"{function.__module__}.{function.__qualname__}"}
        if function in self._functions:  # it knows one that knows it
            return told
        self._functions.add(function)
        told["code"] = self._code(function)
        if kept := kept_by(function):
            told["with"] = below(kept)
        return told

    def _of_dict(self, value: dict[Any, Any], below: Below) -> Any:
        if not all(isinstance(name, str) for name in value):
            return {"<dict>": [[below(name), below(value)] for name, value in value.items()]}
        told = self.of_names(value, below)
        if list(value) != list(told):
            told["<order>"] = list(value)
        return told


def _of_fields(named: Mapping[str, Any], below: Below) -> dict[str, Any]:
    return {name: _of_name(name, value, below, is_callers) for name, value in sorted(named.items())}


def _of_name(name: str, value: Any, below: Below, is_left_out: Callable[[str, Any], bool]) -> Any:
    """The value; of what is named like a secret only a digest, and nothing of what just tells who asks."""
    if not SECRET_NAME.search(name):
        return below(value)
    if is_left_out(name, value):
        return {"<secret>": ""}
    return {"<secret>": digest_of(json.dumps(below(value), sort_keys=True))}


def class_name(cls: type) -> str:
    """The class's name with its module."""
    return f"{cls.__module__}.{cls.__qualname__}"


def digest_of(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _sortable(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
